/**
 * Reading the output of a process as text or as bytes.
 *
 * @module
 */

import type { ExecResult, RemoteProcess } from "./process.ts";

type Outputs = Pick<RemoteProcess, "stdin" | "stdout" | "stderr" | "status">;

/** Closes standard input, and collects both outputs and the status. */
export async function collectOutput(
  process: Outputs,
): Promise<ExecResult<Uint8Array>> {
  closeInput(process);
  const [stdout, stderr, status] = await Promise.all([
    bytesOf(process.stdout),
    bytesOf(process.stderr),
    process.status,
  ]);
  return { ...status, stdout, stderr };
}

/** Reads standard output line by line; leaving the loop stops the process. */
export async function* linesOf(
  process: Outputs,
): AsyncGenerator<string, void, undefined> {
  discardErrors(process);
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of process.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield withoutReturn(line);
  }
  rest += decoder.decode();
  if (rest !== "") yield withoutReturn(rest);
}

/** Closes standard input, and reads standard output as text. */
export async function textOf(process: Outputs): Promise<string> {
  closeInput(process);
  discardErrors(process);
  return new TextDecoder().decode(await bytesOf(process.stdout));
}

/** Whoever holds its lock closes it himself. */
function closeInput({ stdin }: Outputs): void {
  if (!stdin.locked) stdin.close().catch(() => {});
}

/** An output that nobody reads would stop the process in the end. */
function discardErrors({ stderr }: Outputs): void {
  if (!stderr.locked) stderr.pipeTo(new WritableStream()).catch(() => {});
}

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}

async function bytesOf(
  stream: ReadableStream<Uint8Array>,
): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
