/**
 * The private folder of one connection, which holds its sockets: made for its
 * owner alone, and swept away by the next process if this one was killed.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { lstat, mkdtemp, readdir, rm, rmdir, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allowed } from "../host/local_user.ts";
import { Control, TERMINATE } from "./_control.ts";
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
/** How long a master may take to hear that it is to end, in milliseconds. */
const ANSWER_MS = 1000;

/** The socket of ssh, in the folder of a connection. */
export const MASTER_SOCKET = "c";
/** That of the process which started it: it listens as long as the process lives. */
export const OWNER_SOCKET = "s";
/** The one through which a ProxyCommand leads into a tunnel of ours. */
export const TUNNEL_SOCKET = "t";
/** The script that ssh runs to ask for passwords and the like. */
export const ASKPASS_SCRIPT = "a";

/** What a folder holds once its connection is made. */
const CONTENTS = [MASTER_SOCKET, OWNER_SOCKET, TUNNEL_SOCKET, ASKPASS_SCRIPT];

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
 * Removes a folder and all in it. What it holds goes by its name: to read a folder
 * takes a descriptor, of which none may be left. If that is not all, it is read,
 * again and again for a second.
 *
 * @returns Settles when it is gone. Never rejects.
 */
export async function removeFolder(path: string): Promise<void> {
  const names = CONTENTS.map((name) => join(path, name));
  await Promise.all(names.map((name) => unlink(name).catch(() => {})));
  const again = { maxRetries: 10, retryDelay: 20 };
  await rmdir(path)
    .catch(() => rm(path, { recursive: true, force: true, ...again }))
    .catch(() => {});
}

/**
 * Removes the folders whose process has ended, and ends the ssh that it left:
 * that one waits for the commands which run over it.
 */
async function sweep(base: string, own: string): Promise<void> {
  try {
    const { uid } = await lstat(own);
    const names = await readdir(base);
    await Promise.all(
      names.filter((name) => NAME.test(name)).map(async (name) => {
        const path = join(base, name);
        if (path === own || !await isLeft(path, uid)) return;
        await endMaster(join(path, MASTER_SOCKET));
        await removeFolder(path);
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
    const names = await readdir(path);
    return names.includes(OWNER_SOCKET)
      ? await isDead(join(path, OWNER_SOCKET))
      : Date.now() - stats.mtimeMs > FRESH_MS;
  } catch {
    // It is gone, or not ours to look into.
    return false;
  }
}

async function endMaster(path: string): Promise<void> {
  try {
    const control = await Control.open(path, { answerMs: ANSWER_MS });
    await control.ask(TERMINATE).finally(() => control.close());
  } catch {
    // It has ended already.
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
