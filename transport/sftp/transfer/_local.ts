import type { Stats } from "node:fs";
import { type FileHandle, lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { quotedPath } from "../errors.ts";
import { type SourceInfo, transferError } from "./_plan.ts";

/** How much is read from a local file at once. */
const CHUNK_BYTES = 256 * 1024;

/** What a local file is. */
export interface LocalEntry {
  readonly path: string;
  readonly kind: "file" | "folder" | "link" | "other";
  readonly info: SourceInfo;
}

/** Looks at a path that the caller named: links are followed. */
export async function lookAt(path: string): Promise<LocalEntry> {
  return entryOf(path, await stat(path));
}

/** Looks at what a folder has, and follows no link. */
export async function entriesOf(
  folder: string,
): Promise<(LocalEntry & { readonly name: string })[]> {
  const names = await readdir(folder);
  return await Promise.all(names.map(async (name) => {
    const path = join(folder, name);
    const entry = await lookIfThere(path);
    if (entry === undefined) throw vanished(path, name);
    return { name, ...entry };
  }));
}

function vanished(path: string, name: string): Error {
  // What is not UTF-8 becomes U+FFFD, which names another file, or none.
  const why = name.includes("\ufffd")
    ? "its name is not UTF-8"
    : "it was removed meanwhile";
  return transferError("SSH_SFTP_TRANSFER_REFUSED", path, why);
}

/** Looks at a path; `undefined` if there is nothing. Follows no link. */
export async function lookIfThere(
  path: string,
): Promise<LocalEntry | undefined> {
  try {
    return entryOf(path, await lstat(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** What is known of an open file. */
export async function infoOf(file: FileHandle): Promise<SourceInfo> {
  return sourceInfo(await file.stat());
}

/**
 * Reads an open file: up to an offset, or to its end if that is `Infinity`. A
 * piece is read while the one before it is used.
 *
 * @param path What an error is to call the file.
 */
export async function* readLocal(
  file: FileHandle,
  offset: number,
  end: number,
  path: string,
): AsyncGenerator<Uint8Array> {
  let next = readChunk(file, offset, end);
  try {
    for (;;) {
      const chunk = await next.catch((error) => {
        throw withPath("read", path, error);
      });
      if (chunk.length === 0) return;
      offset += chunk.length;
      next = readChunk(file, offset, end);
      next.catch(() => {}); // seen when its turn comes, if it comes
      yield chunk;
    }
  } finally {
    // Not under way any more when the file is closed.
    await next.catch(() => {});
  }
}

/** Reads some bytes; none at the end. */
async function readChunk(
  file: FileHandle,
  offset: number,
  end: number,
): Promise<Uint8Array> {
  // A new buffer each time: the last one may still be on its way.
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, end - offset));
  if (buffer.length === 0) return buffer;
  const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
  return buffer.subarray(0, bytesRead);
}

/**
 * Writes all of the data.
 *
 * @param path What an error is to call the file.
 */
export async function writeLocal(
  file: FileHandle,
  data: Uint8Array,
  offset: number,
  path: string,
): Promise<void> {
  try {
    await writeAll(file, data, offset);
  } catch (error) {
    throw withPath("write", path, error);
  }
}

async function writeAll(
  file: FileHandle,
  data: Uint8Array,
  offset: number,
): Promise<void> {
  for (let at = 0; at < data.length;) {
    const { bytesWritten } = await file.write(
      data,
      at,
      data.length - at,
      offset + at,
    );
    at += bytesWritten;
  }
}

/**
 * Adds the path to what a runtime throws for an open file: they leave it out,
 * and who copies a folder would not know which disk is full.
 */
function withPath(verb: string, path: string, error: unknown): unknown {
  if (!(error instanceof Error) || "path" in error) return error;
  return named(verb, path, error);
}

/**
 * Names the file in what a runtime throws for the unfinished one beside it,
 * whose name means nothing to the caller.
 *
 * @param path The file that it is to become.
 * @param error The error, which is changed.
 */
export function aboutFinalName(path: string, error: unknown): unknown {
  return error instanceof Error ? named("write", path, error) : error;
}

function named(verb: string, path: string, error: Error): Error {
  const { message, stack } = error;
  // Such as ", open '/srv/.sshpool-....tmp'".
  const what = message.replace(/, \w+ '[^']*'$/, "");
  error.message = `Cannot ${verb} ${quotedPath(path)}: ${what}`;
  if (stack !== undefined) {
    error.stack = stack.replace(message, () => error.message);
  }
  return Object.assign(error, { path });
}

function entryOf(path: string, stats: Stats): LocalEntry {
  const kind = stats.isFile()
    ? "file"
    : stats.isDirectory()
    ? "folder"
    : stats.isSymbolicLink()
    ? "link"
    : "other";
  return { path, kind, info: sourceInfo(stats) };
}

function sourceInfo({ size, mode, atimeMs, mtimeMs }: Stats): SourceInfo {
  return {
    size,
    mode: mode & 0o777,
    atime: Math.max(0, Math.floor(atimeMs / 1000)),
    mtime: Math.max(0, Math.floor(mtimeMs / 1000)),
  };
}
