/**
 * Unix sockets that only their owner can connect to.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  chmod,
  link,
  lstat,
  mkdtemp,
  rename,
  rmdir,
  unlink,
} from "node:fs/promises";
import type { Server } from "node:net";
import { dirname, join } from "node:path";
import { PATH_BYTES } from "../host/target.ts";

/**
 * Listens on a unix socket with mode 0600.
 *
 * The socket is made in a private folder beside its path, and moved to it once
 * its mode is right: there is no moment at which others can connect, and a
 * path that is in use is never touched.
 *
 * @param server The server.
 * @param path The path of the socket.
 * @param replace Whether a socket that is there already is replaced.
 * @returns Removes the socket, unless another has taken its place.
 * @throws The system's error, such as `EADDRINUSE` if the path is in use.
 */
export async function listenUnix(
  server: Server,
  path: string,
  replace: boolean,
): Promise<() => Promise<void>> {
  checkLength(dirname(path));
  const folder = await mkdtemp(join(dirname(path), ".s"));
  const draft = join(folder, "s");
  try {
    await listening(server, draft);
    await chmod(draft, 0o600);
    const { ino, dev } = await lstat(draft);
    await place(draft, path, replace);
    return async () => {
      try {
        const now = await lstat(path);
        if (now.ino === ino && now.dev === dev) await unlink(path);
      } catch {
        // It is gone already.
      }
    };
  } catch (error) {
    if (server.listening) server.close();
    throw error;
  } finally {
    // By their names: to read the folder takes a descriptor, and the socket
    // may have the last.
    await unlink(draft).catch(() => {});
    await rmdir(folder).catch(() => {});
  }
}

/** The socket is made in a folder with a name of its own first: see above. */
function checkLength(folder: string): void {
  const most = PATH_BYTES - "/.sXXXXXX/s".length;
  const length = Buffer.byteLength(folder);
  if (length <= most) return;
  throw new Error(
    `its folder has a path of ${length} bytes, must have ${most} at most`,
  );
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function place(
  draft: string,
  path: string,
  replace: boolean,
): Promise<void> {
  if (replace && await isSocket(path)) return await rename(draft, path);
  try {
    // Unlike a rename it fails if there is anything at the path.
    await link(draft, path);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "EEXIST") throw error;
    throw Object.assign(
      new Error(`EADDRINUSE: there is a file at the path`, { cause: error }),
      { code: "EADDRINUSE" },
    );
  }
}

async function isSocket(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSocket();
  } catch {
    return false;
  }
}
