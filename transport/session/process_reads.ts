/**
 * Reading the output of a process as text or as bytes.
 *
 * @module
 */

import { collectBytes } from "../bytes.ts";
import { OutputLimitError } from "../errors.ts";
import type { ExecResult, RemoteProcess } from "../process.ts";

type Outputs = Pick<RemoteProcess, "stdin" | "stdout" | "stderr" | "status">;

/**
 * Closes standard input, and collects both outputs and the status.
 *
 * @param onBytes Told of each piece; may throw.
 */
export async function collectOutput(
  process: Outputs,
  onBytes?: (length: number) => void,
): Promise<ExecResult<Uint8Array>> {
  closeInput(process);
  const [stdout, stderr, status] = await Promise.all([
    // What is left. Not by `Response`, which refuses a stream of which somebody
    // has read the beginning.
    collectBytes(process.stdout, onBytes),
    collectBytes(process.stderr, onBytes),
    process.status,
  ]);
  return { ...status, stdout, stderr };
}

/** Longer lines are none: as much as exec() collects, by default. */
const MAX_LINE_LENGTH = 64 * 1024 * 1024;

/** Reads standard output line by line; leaving the loop stops the process. */
export async function* linesOf(
  process: Outputs,
): AsyncGenerator<string, void, undefined> {
  discardErrors(process);
  const decoder = newDecoder();
  const splitter = new LineSplitter();
  for await (const chunk of process.stdout) {
    yield* splitter.push(decoder.decode(chunk, { stream: true }));
    if (splitter.openLength > MAX_LINE_LENGTH) {
      throw new OutputLimitError(
        `Cannot read a line of more than ${MAX_LINE_LENGTH} characters`,
        { hint: "read `stdout`, which has no lines" },
      );
    }
  }
  yield* splitter.push(decoder.decode());
  yield* splitter.end();
}

/** Closes standard input, and reads standard output as text. */
export async function textOf(
  process: Outputs,
  onBytes?: (length: number) => void,
): Promise<string> {
  readAlong(process);
  return newDecoder().decode(await collectBytes(process.stdout, onBytes));
}

/** A byte order mark is kept, as the process wrote it. */
function newDecoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** Makes lines of text that comes in pieces. */
export class LineSplitter {
  /** The pieces of a line that has no end yet: joined once, at its end. */
  #open: string[] = [];
  #openLength = 0;

  /** How much there is of a line that has no end yet. */
  get openLength(): number {
    return this.#openLength;
  }

  /** Takes the next piece, and gives the lines that it ends, without their ends. */
  *push(text: string): Generator<string, void, undefined> {
    let from = 0;
    for (;;) {
      const end = text.indexOf("\n", from);
      if (end === -1) break;
      this.#open.push(text.slice(from, end));
      yield this.#line();
      from = end + 1;
    }
    if (from === text.length) return;
    this.#open.push(text.slice(from));
    this.#openLength += text.length - from;
  }

  /** Gives what has no end, if there is anything. */
  *end(): Generator<string, void, undefined> {
    if (this.#open.length > 0) yield this.#line();
  }

  #line(): string {
    const line = this.#open.join("");
    this.#open = [];
    this.#openLength = 0;
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  }
}

/** The holder of its lock closes it. */
function closeInput({ stdin }: Outputs): void {
  if (!stdin.locked) stdin.close().catch(() => {});
}

/** An output that nobody reads would stop the process in the end. */
function discardErrors({ stderr }: Outputs): void {
  if (!stderr.locked) stderr.pipeTo(new WritableStream()).catch(() => {});
}

/** Closes standard input and discards standard error, for a reader of standard output alone. */
export function readAlong(process: Outputs): void {
  closeInput(process);
  discardErrors(process);
}
