import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { SftpFile } from "../file.ts";
import { isUnicodeFileName } from "../names.ts";
import type { Sftp } from "../sftp.ts";
import { readLocal } from "./_local.ts";
import type { RemoteHash } from "./remote_hash.ts";

/** Below this a file is read back sooner than a command is run, in bytes. */
const HASH_BYTES = 4 * 1024 * 1024;

/** What is compared: a file of the server with a local one. */
export interface Compared {
  readonly sftp: Sftp;
  readonly remote: SftpFile;
  /** The path of the file on the server. */
  readonly path: string;
  readonly local: FileHandle;
  /** How much of them is compared; both have to have it. */
  readonly size: number;
}

/**
 * Compares two files: what an attribute says of them proves nothing. A large one
 * is hashed where it is, if the host can; otherwise, and if the hashes differ, it
 * is read back.
 *
 * @param files The files.
 * @param context The signal, and what hashes on the host.
 */
export async function isSameContent(
  files: Compared,
  { signal, hash }: {
    readonly signal: AbortSignal;
    readonly hash?: RemoteHash | undefined;
  },
): Promise<boolean> {
  const { size, path } = files;
  const canHash = hash !== undefined && size >= HASH_BYTES &&
    isUnicodeFileName(path);
  if (canHash && await hasSameHash(files, hash, signal)) return true;
  return await hasSameBytes(files, signal);
}

async function hasSameHash(
  { sftp, local, path, size }: Compared,
  hash: RemoteHash,
  signal: AbortSignal,
): Promise<boolean> {
  // A shell may begin in another folder than the SFTP server.
  const real = await sftp.realPath(path, { signal });
  const [theirs, ours] = await Promise.all([
    hash(real, size, signal),
    hashOf(local, size, path),
  ]);
  signal.throwIfAborted();
  return theirs === ours;
}

async function hashOf(
  file: FileHandle,
  size: number,
  path: string,
): Promise<string> {
  const hash = createHash("sha256");
  const range = { start: 0, end: size };
  for await (const piece of readLocal(file, path, range)) hash.update(piece);
  return hash.digest("hex");
}

async function hasSameBytes(
  { remote, local, size }: Compared,
  signal: AbortSignal,
): Promise<boolean> {
  let offset = 0;
  const range = { end: size, reuse: true, signal };
  for await (const theirs of remote.readRange(range)) {
    const ours = new Uint8Array(theirs.length);
    const { bytesRead } = await local.read(ours, 0, ours.length, offset);
    if (bytesRead < ours.length || Buffer.compare(theirs, ours) !== 0) {
      return false;
    }
    offset += theirs.length;
  }
  return offset === size;
}
