import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { SftpFile } from "../file.ts";
import type { Context, Item, SourceInfo } from "./_plan.ts";

/**
 * How much of the end of an unfinished file is compared with its source. More
 * than the 4 MiB that were on their way when the transfer was cut: only there
 * can a write have failed before one that succeeded.
 */
const TAIL_BYTES = 5 * 1024 * 1024;

/**
 * The path of a file while it is unfinished, beside what it will be. Fixed for
 * one version of a source if the transfer is to be resumed, else new.
 *
 * @param folder The folder of the target, with a separator at its end.
 * @param name The name of the target.
 */
export function partialPath(
  folder: string,
  name: string,
  info: SourceInfo,
  resume: boolean,
): string {
  if (!resume) return `${folder}.sshpool-${randomUUID()}.tmp`;
  const digits = createHash("sha256")
    .update(JSON.stringify([name, info.size, info.mtime]))
    .digest("hex").slice(0, 16);
  return `${folder}.sshpool-${digits}.part`;
}

/** Whether a target is what the transfer would make of the source. */
export function isDone(
  source: SourceInfo,
  target: SourceInfo | undefined,
): boolean {
  return target !== undefined && source.mtime !== undefined &&
    source.size === target.size && source.mtime === target.mtime;
}

/** Counts a file that needs no copying. */
export function countDone({ from, info }: Item, { tally }: Context): void {
  tally.add(from, info.size);
  tally.done(from);
}

/**
 * Compares the end of what is there with the source, of which the file on the
 * server is the one or the other.
 *
 * @param size How much there is.
 */
export async function isSameTail(
  remote: SftpFile,
  local: FileHandle,
  size: number,
  signal: AbortSignal,
): Promise<boolean> {
  let offset = Math.max(0, size - TAIL_BYTES);
  for await (const theirs of remote.readRange({ offset, end: size, signal })) {
    const ours = new Uint8Array(theirs.length);
    const { bytesRead } = await local.read(ours, 0, ours.length, offset);
    if (bytesRead < ours.length || Buffer.compare(theirs, ours) !== 0) {
      return false;
    }
    offset += theirs.length;
  }
  return offset === size;
}
