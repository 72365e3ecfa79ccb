/**
 * A line that tells what a long bench is doing, on standard error.
 *
 * @module
 */

const encoder = new TextEncoder();
const write = (text: string) => Deno.stderr.writeSync(encoder.encode(text));

/** On a terminal the line is rewritten in place. */
const isTerminal = Deno.stderr.isTerminal();
const EVERY_MS = isTerminal ? 500 : 10_000;
const CLEAR = "\r\x1b[2K";

/** What there is to tell of a scenario that runs. */
export interface Status {
  readonly name: string;
  /** Runs that are done, warm-up included. */
  readonly done: number;
  /** Runs in all. */
  readonly total: number;
}

/** The progress of the scenarios of a file, one after another. */
export class Progress {
  #status: (() => Status) | undefined;
  #startedAt = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Begins to tell of a scenario, and ends to tell of the last. */
  begin(status: () => Status): void {
    this.end();
    this.#status = status;
    this.#startedAt = performance.now();
    this.#timer = setInterval(() => this.#tell(), EVERY_MS);
    Deno.unrefTimer(this.#timer as unknown as number);
  }

  /** Clears the line. */
  end(): void {
    if (this.#status === undefined) return;
    clearInterval(this.#timer);
    this.#status = undefined;
    if (isTerminal) write(CLEAR);
  }

  #tell(): void {
    const line = progressLine(
      this.#status!(),
      performance.now() - this.#startedAt,
    );
    write(isTerminal ? CLEAR + line.slice(0, columns()) : `${line}\n`);
  }
}

/** One line: what runs, how far it is, and for how long it has run. */
export function progressLine(
  { name, done, total }: Status,
  elapsedMs: number,
): string {
  const run = Math.min(done + 1, total);
  return `... ${name}: run ${run} of ${total}, ${
    Math.floor(elapsedMs / 1000)
  } s`;
}

function columns(): number {
  try {
    return Deno.consoleSize().columns - 1;
  } catch {
    return 79;
  }
}
