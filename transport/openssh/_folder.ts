/**
 * The private folder of one connection, which holds its sockets: made for its
 * owner alone, and swept away by the next process if this one was killed.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { lstat, mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allowed } from "../host/local_user.ts";
import { hasSafeCharacters } from "./options.ts";

/** Six characters are added. */
const PREFIX = "sshpool.";
const NAME = /^sshpool\.[A-Za-z0-9]{6}$/;
/**
 * macOS takes no longer path of a unix socket. ssh binds a name that is 17
 * characters longer first, and the folder and its socket are added.
 */
const MAX_BASE_BYTES = 103 - 17 - "/sshpool.XXXXXX/c".length;
/** A folder without a socket may be one that was made just now. */
const FRESH_MS = 60_000;

/** Makes the folders of one connector. */
export class Folders {
  readonly #given: string | undefined;
  #swept: Promise<void> | undefined;

  /** @param base Where to make them. Default: the system's temporary folder. */
  constructor(base: string | undefined) {
    this.#given = base;
  }

  /**
   * Makes a folder. The first call removes what crashed processes left.
   *
   * @throws {TypeError} If no folder may hold the path of a socket.
   */
  async make(): Promise<string> {
    const base = this.#base();
    const folder = await mkdtemp(join(base, PREFIX));
    await (this.#swept ??= sweep(base, folder));
    return folder;
  }

  #base(): string {
    const given = this.#given;
    if (given !== undefined) {
      const fault = faultOf(given);
      if (fault === undefined) return given;
      throw new TypeError(
        `Cannot use the folder ${JSON.stringify(given)}: it has ${fault}`,
      );
    }
    const temporary = allowed(tmpdir);
    return temporary !== undefined && faultOf(temporary) === undefined
      ? temporary
      : "/tmp";
  }
}

function faultOf(base: string): string | undefined {
  const bytes = Buffer.byteLength(base);
  if (bytes > MAX_BASE_BYTES) {
    return `${bytes} bytes, must have at most ${MAX_BASE_BYTES} for the ` +
      "sockets in it";
  }
  return hasSafeCharacters(base)
    ? undefined
    : "white space, a quote, or one of \\ $ %, must have none";
}

/**
 * Removes a folder and all in it.
 *
 * @returns Settles when it is gone. Never rejects.
 */
export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => {});
}

/** Removes the folders in which nobody listens any more. */
async function sweep(base: string, own: string): Promise<void> {
  try {
    const { uid } = await lstat(own);
    const names = await readdir(base);
    await Promise.all(
      names.filter((name) => NAME.test(name)).map(async (name) => {
        const path = join(base, name);
        if (path !== own && await isLeft(path, uid)) await removeFolder(path);
      }),
    );
  } catch {
    // What cannot be read cannot be swept, and nothing depends on it.
  }
}

async function isLeft(path: string, uid: number): Promise<boolean> {
  try {
    const stats = await lstat(path);
    if (!stats.isDirectory() || stats.uid !== uid) return false;
    const sockets: string[] = [];
    for (const name of await readdir(path)) {
      const file = join(path, name);
      if ((await lstat(file)).isSocket()) sockets.push(file);
    }
    if (sockets.length === 0) return Date.now() - stats.mtimeMs > FRESH_MS;
    return (await Promise.all(sockets.map(isDead))).every((it) => it);
  } catch {
    // It is gone, or not ours to look into.
    return false;
  }
}

/** Whether nobody listens on a socket, which the system knows at once. */
function isDead(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", ({ code }: NodeJS.ErrnoException) => {
      resolve(code === "ECONNREFUSED" || code === "ENOENT");
    });
  });
}
