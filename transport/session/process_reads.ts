/**
 * Reading the output of a process as text or as bytes.
 *
 * @module
 */

import { collectBytes } from "../bytes.ts";
import type { ExecResult, RemoteProcess } from "../process.ts";

type Outputs = Pick<RemoteProcess, "stdin" | "stdout" | "stderr" | "status">;

/** Closes standard input, and collects both outputs and the status. */
export async function collectOutput(
  process: Outputs,
): Promise<ExecResult<Uint8Array>> {
  closeInput(process);
  const [stdout, stderr, status] = await Promise.all([
    // What is left. Not by `Response`, which refuses a stream of which somebody
    // has read the beginning.
    collectBytes(process.stdout),
    collectBytes(process.stderr),
    process.status,
  ]);
  return { ...status, stdout, stderr };
}

/** Reads standard output line by line; leaving the loop stops the process. */
export async function* linesOf(
  process: Outputs,
): AsyncGenerator<string, void, undefined> {
  discardErrors(process);
  const splitter = new LineSplitter();
  for await (const chunk of process.stdout) yield* splitter.push(chunk);
  yield* splitter.end();
}

/** Closes standard input, and reads standard output as text. */
export async function textOf(process: Outputs): Promise<string> {
  readAlong(process);
  return newDecoder().decode(await collectBytes(process.stdout));
}

/** A byte order mark is kept, as the process wrote it. */
function newDecoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** Makes lines of pieces of UTF-8, which may end anywhere. */
class LineSplitter {
  readonly #decoder = newDecoder();
  /** The pieces of a line that has no end yet: joined once, at its end. */
  #open: string[] = [];

  *push(chunk: Uint8Array): Generator<string, void, undefined> {
    const text = this.#decoder.decode(chunk, { stream: true });
    let from = 0;
    for (;;) {
      const end = text.indexOf("\n", from);
      if (end === -1) break;
      this.#open.push(text.slice(from, end));
      yield this.#line();
      from = end + 1;
    }
    if (from < text.length) this.#open.push(text.slice(from));
  }

  *end(): Generator<string, void, undefined> {
    const rest = this.#decoder.decode();
    if (rest !== "") this.#open.push(rest);
    if (this.#open.length > 0) yield this.#line();
  }

  #line(): string {
    const line = this.#open.join("");
    this.#open = [];
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
