/**
 * A process that was started: its end, and what it says.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import process from "node:process";
import type { Readable } from "node:stream";

/** A line that is longer is no line of ssh. */
const MAX_LINE_CHARS = 64 * 1024;

/**
 * Reads a pipe line by line.
 *
 * @param stream The pipe.
 * @param onLine Gets each line.
 * @returns Settles at its end. Never rejects.
 */
export function readLines(
  stream: Readable,
  onLine: (line: string) => void,
): Promise<void> {
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (piece: string) => {
    if (!piece.includes("\n")) {
      if (text.length < MAX_LINE_CHARS) text += piece;
      return;
    }
    const lines = (text + piece).split(/\r?\n/);
    text = lines.pop()!.slice(0, MAX_LINE_CHARS);
    for (const line of lines) onLine(line);
  });
  stream.on("error", () => {});
  return new Promise((resolve) => stream.once("close", () => resolve()));
}

/** Lets this process end although a pipe is open. */
export function unrefPipe(stream: Readable): void {
  (stream as { unref?(): void }).unref?.();
}

/** Kills a process with the commands that it runs, such as a ProxyCommand. */
export function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {
    // The runtime may permit to kill this one, and no other.
    child.kill("SIGKILL");
  }
}

/** Waits for something that settles, but not longer than a time. */
export async function within(
  promise: Promise<unknown>,
  ms: number | undefined,
): Promise<void> {
  if (ms === undefined) return void await promise;
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([
    promise,
    new Promise((resolve) => timer = setTimeout(resolve, ms)),
  ]);
  clearTimeout(timer);
}
