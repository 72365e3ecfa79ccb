import {
  diagnosed,
  lookForEntries,
  lookForExisting,
  lookForFile,
} from "./_diagnose.ts";
import type { SftpCall } from "./_call.ts";
import { operationError, quotedPath, SftpError } from "./errors.ts";
import type { SftpDirEntry } from "./file.ts";
import { PacketType } from "./packets.ts";

/** How many requests are in flight for one folder. */
const REQUESTS = 4;

/** How many answers in a row may name nothing: a server could have no end of them. */
const MAX_EMPTY = 1000;

/** Reads a folder; the handle is closed also if the reader stops early. */
export async function* readDir(
  call: SftpCall,
): AsyncGenerator<SftpDirEntry, void, undefined> {
  const handle = await diagnosed(
    call,
    () => call.openDir(),
    lookForFile,
    ["SSH_SFTP_FAILURE", "SSH_SFTP_NOT_FOUND"],
  );
  const stop = new AbortController();
  const signal = call.signal === undefined
    ? stop.signal
    : AbortSignal.any([call.signal, stop.signal]);
  const reading = call.withSignal(signal);
  const inFlight: Promise<SftpDirEntry[] | null>[] = [];
  let empty = 0;
  try {
    for (;;) {
      while (inFlight.length < REQUESTS) {
        const entries = reading.readDir(handle);
        entries.catch(() => {}); // seen when its turn comes, if it comes
        inFlight.push(entries);
      }
      const entries = await inFlight.shift();
      if (entries === null || entries === undefined) return;
      empty = entries.length === 0 ? empty + 1 : 0;
      if (empty > MAX_EMPTY) {
        throw call.protocol.broken(
          `more than ${MAX_EMPTY} answers without a name to a READDIR`,
        );
      }
      yield* entries;
    }
  } finally {
    stop.abort(new DOMException("No longer needed", "AbortError"));
    call.closeUnobserved(handle);
  }
}

/**
 * Makes a folder and those above it. Begins at the last one, since most often
 * only that is missing.
 */
export async function makeFolders(
  call: SftpCall,
  mode: number | undefined,
): Promise<void> {
  try {
    await makeFolder(call, mode);
  } catch (error) {
    const above = parent(call.path);
    const isMissing = error instanceof SftpError &&
      error.code === "SSH_SFTP_NOT_FOUND";
    if (!isMissing || above === undefined) throw error;
    await makeFolders(call.at(above), mode);
    await makeFolder(call, mode);
  }
}

/** Makes one folder, or takes one that exists for success. */
async function makeFolder(
  call: SftpCall,
  mode: number | undefined,
): Promise<void> {
  try {
    await diagnosed(
      call,
      () => call.entry(PacketType.MKDIR, mode),
      lookForExisting,
      ["SSH_SFTP_FAILURE", "SSH_SFTP_PERMISSION_DENIED"],
    );
  } catch (error) {
    const exists = error instanceof SftpError &&
      error.code === "SSH_SFTP_ALREADY_EXISTS";
    if (!exists) throw error;
    const { isDirectory } = await call.stat(PacketType.STAT);
    if (!isDirectory) {
      throw operationError("SSH_SFTP_NOT_A_DIRECTORY", call, { cause: error });
    }
  }
}

/** The folder above a path; `undefined` if there is none to make. */
function parent(path: string): string | undefined {
  const trimmed = path.replace(/\/+$/, "");
  const above = trimmed.slice(0, trimmed.lastIndexOf("/") + 1)
    .replace(/\/+$/, "");
  return above === "" ? undefined : above;
}

/** How deep a tree may be: no path of a real system has that many folders. */
export const MAX_DEPTH = 1000;

/** How many characters a path may have below the top: PATH_MAX of Linux. */
export const MAX_PATH = 4096;

/** How many of them there are for each entry, where many paths are kept. */
export const CHARACTERS_PER_ENTRY = 256;

/** How many folders one folder may have that is removed: they are kept in mind. */
const MAX_FOLDERS = 100_000;

/** How many may wait in all of a tree. */
const MAX_WAITING = 250_000;

/** How many entries of one folder are removed at a time. */
const AT_A_TIME = 64;

/** Removes a file, a link or an empty folder. */
export async function remove(call: SftpCall): Promise<void> {
  // The kind decides the request: on some systems REMOVE damages a folder.
  const { isDirectory } = await call.stat(PacketType.LSTAT);
  if (isDirectory) await removeFolder(call);
  else await call.entry(PacketType.REMOVE);
}

/** Removes whatever it is, with all that is in it. */
export async function removeTree(
  call: SftpCall,
): Promise<void> {
  const { isDirectory } = await call.stat(PacketType.LSTAT);
  if (isDirectory) await removeContent(call);
  else await call.entry(PacketType.REMOVE);
}

/** What is above a folder of a tree that is removed. */
interface Above {
  readonly depth: number;
  /** How many folders wait to be removed there. */
  readonly waiting: number;
  /** Where in a path begins what is below the top. */
  readonly start: number;
}

async function removeContent(
  call: SftpCall,
  { depth, waiting, start }: Above = {
    depth: 0,
    waiting: 0,
    start: call.path.length + 1,
  },
): Promise<void> {
  if (depth >= MAX_DEPTH) {
    throw tooMany(call, `${MAX_DEPTH} folders in each other`);
  }
  const folders: string[] = [];
  const removals: Promise<void>[] = [];
  try {
    for await (const entry of readDir(call)) {
      const path = `${call.path}/${entry.name}`;
      if (path.length - start > MAX_PATH) {
        throw tooMany(call, `${MAX_PATH} characters in a path below the top`);
      }
      if (entry.isDirectory) {
        folders.push(entry.name);
        waiting += weight(entry.name);
      } else removals.push(unlessGone(call.at(path).entry(PacketType.REMOVE)));
      if (folders.length > MAX_FOLDERS) {
        throw tooMany(call, `${MAX_FOLDERS} folders beside each other`);
      }
      if (waiting > MAX_WAITING) {
        throw tooMany(call, `${MAX_WAITING} folders that wait to be removed`);
      }
      if (removals.length >= AT_A_TIME) await settled(removals);
    }
  } finally {
    // Also if the folder cannot be read on: they would reject with nobody there.
    await settled(removals);
  }
  folders.reverse();
  for (let name = folders.pop(); name !== undefined; name = folders.pop()) {
    waiting -= weight(name);
    const inner = call.at(`${call.path}/${name}`);
    await unlessGone(
      removeContent(inner, { depth: depth + 1, waiting, start }),
    );
  }
  await removeFolder(call);
}

/** What the name of a folder that waits counts: more than one if it is long. */
function weight({ length }: string): number {
  return Math.ceil(length / CHARACTERS_PER_ENTRY);
}

function tooMany({ path, host }: SftpCall, what: string): SftpError {
  return new SftpError(
    "SSH_SFTP_TRANSFER_REFUSED",
    `Cannot remove ${quotedPath(path.slice(0, 400))}: ` +
      `the server says that it has more than ${what}`,
    { host, path, mayHaveRun: true },
  );
}

/** Waits for all of them, so that nothing runs on behind a failure. */
async function settled(removals: Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(removals.splice(0));
  const failed = results.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

/** Waits for the end of an entry; one that is gone meanwhile is no failure. */
async function unlessGone(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (error instanceof SftpError && error.code === "SSH_SFTP_NOT_FOUND") {
      return;
    }
    throw error;
  }
}

function removeFolder(call: SftpCall): Promise<void> {
  return diagnosed(
    call,
    () => call.entry(PacketType.RMDIR),
    lookForEntries,
  );
}

/**
 * Makes a symbolic link. The draft has its two paths in one order, OpenSSH in
 * the other, and most servers follow OpenSSH. Of a server that is not known to,
 * the first link tells: where it is not what it should be, the one that was made
 * the wrong way round is removed, and the other order is kept.
 *
 * @param call Names the link.
 * @param target What the link says.
 */
export async function makeLink(call: SftpCall, target: string): Promise<void> {
  const { protocol } = call;
  await call.symlink(target, protocol.linkOrder ?? "target first");
  if (protocol.linkOrder !== undefined) return;
  if (await readLink(call) === target) {
    protocol.linkOrder = "target first";
    return;
  }
  const wrong = call.at(target);
  if (await readLink(wrong) !== call.path) return; // cannot be told
  protocol.linkOrder = "link first";
  await wrong.entry(PacketType.REMOVE);
  await call.symlink(target, protocol.linkOrder);
}

async function readLink(call: SftpCall): Promise<string | undefined> {
  try {
    return await call.name(PacketType.READLINK);
  } catch (error) {
    if (error instanceof SftpError && error.status !== undefined) {
      return undefined;
    }
    throw error;
  }
}
