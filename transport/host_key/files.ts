/**
 * known_hosts files on disk: each parsed once for each of its versions.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import { isForbidden } from "../host/forbidden.ts";
import { KnownHosts } from "./lookup.ts";

/** Larger files are refused: parsing one would stop everything for seconds. */
export const MAX_FILE_BYTES = 100 * 1024 * 1024;

/**
 * A file changed this recently may change again within the same tick of the
 * file system's clock, so its time stamp proves nothing yet.
 */
const SETTLED_MS = 2_000;

interface Version {
  /** Time stamp, size and inode; empty if they prove nothing. */
  readonly stamp: string;
  readonly text: string;
  readonly hosts: KnownHosts;
}

const EMPTY = new KnownHosts("");
const versions = new Map<string, Version>();
const loading = new Map<string, Promise<KnownHosts>>();

/** Why a file that is there cannot be used. The message has no path. */
export class UnreadableFileError extends Error {
  override readonly name = "UnreadableFileError";
}

/**
 * Reads a known_hosts file, or remembers it. A missing file has no keys.
 *
 * @param path Its path.
 * @returns Its keys.
 * @throws {UnreadableFileError} If it is there, or may be, and cannot be read:
 * taking that for "has no keys" would pass over its revocations.
 */
export function readKnownHosts(path: string): Promise<KnownHosts> {
  const running = loading.get(path);
  if (running !== undefined) return running;
  const started = rereadKnownHosts(path).finally(() => loading.delete(path));
  loading.set(path, started);
  return started;
}

/** As {@linkcode readKnownHosts}, but sees all that is written before the call. */
export async function rereadKnownHosts(path: string): Promise<KnownHosts> {
  try {
    const stats = await stat(path, { bigint: true });
    if (!isUsable(stats)) return EMPTY;
    return await readVersion(path, stats);
  } catch (error) {
    versions.delete(path);
    if (isMissing(error)) return EMPTY;
    throw explain(error);
  }
}

async function readVersion(
  path: string,
  stats: BigIntStats,
): Promise<KnownHosts> {
  const stamp = stampOf(stats);
  const cached = versions.get(path);
  if (cached !== undefined && cached.stamp === stamp) return cached.hosts;
  const text = (await readFile(path)).toString("latin1");
  const hosts = cached?.text === text ? cached.hosts : new KnownHosts(text);
  const settled = Date.now() - Number(stats.mtimeMs) > SETTLED_MS;
  versions.set(path, { stamp: settled ? stamp : "", text, hosts });
  return hosts;
}

function stampOf(stats: BigIntStats): string {
  return `${stats.mtimeNs} ${stats.size} ${stats.ino}`;
}

function isUsable(stats: BigIntStats): boolean {
  // /dev/null is how one says "none" in ssh_config; reading any other device
  // might never end.
  if (stats.isCharacterDevice()) return false;
  if (!stats.isFile()) throw new UnreadableFileError("it is not a file");
  if (stats.size > MAX_FILE_BYTES) {
    throw new UnreadableFileError(
      `it has ${stats.size} bytes, must have at most ${MAX_FILE_BYTES}`,
    );
  }
  return true;
}

function explain(error: unknown): Error {
  if (error instanceof UnreadableFileError) return error;
  const cause = error as NodeJS.ErrnoException;
  const why = isForbidden(error)
    ? "the runtime does not permit it"
    : cause.code === "EACCES" || cause.code === "EPERM"
    ? "its permissions do not allow it"
    : cause.message;
  return new UnreadableFileError(why, { cause });
}

/** Returns whether the error says that there is no such file. */
export function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
}

/** Returns the bytes of a file's text, for the code that writes to it. */
export function latin1Bytes(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}
