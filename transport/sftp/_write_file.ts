import { showType } from "../options/show_value.ts";
import { abortable } from "../abort.ts";
import { diagnosed, lookAtTarget } from "./_diagnose.ts";
import { aboutPath, operationError, quotedPath, SftpError } from "./errors.ts";
import type { SftpFileInfo } from "./file.ts";
import { type OpenFile, openFile } from "./_open_file.ts";
import { PacketType } from "./packets.ts";
import { SftpCall } from "./_call.ts";
import { cleanedUp, finished, unfinishedName } from "./_unfinished.ts";
import { WriteBehind, writeSource } from "./_write_behind.ts";
import type { SftpOpenOptions, SftpWriteFileOptions } from "./options.ts";

/** What a file can be written from. */
export type Content = Uint8Array | ReadableStream<Uint8Array>;

/**
 * Checks data before the file is opened, which may empty it.
 *
 * @throws {TypeError} If it cannot be written.
 */
export function checkContent(data: unknown): void {
  if (data instanceof Uint8Array) return;
  const isStream = typeof data === "object" && data !== null &&
    "getReader" in data && "locked" in data;
  if (isStream && data.locked !== true) return;
  throw new TypeError(
    `Cannot write a file: the data is ${
      isStream ? "a locked stream" : showType(data)
    }, must be a Uint8Array or a ReadableStream of them`,
  );
}

/** Writes a file in its place. */
export async function writeFile(
  call: SftpCall,
  data: Content,
  options: SftpWriteFileOptions,
): Promise<void> {
  const { append = false, create = true, createNew = false, mode } = options;
  const how: SftpOpenOptions = {
    write: true,
    append,
    truncate: !append && !createNew,
    create,
    createNew,
    ...(mode === undefined ? {} : { mode }),
  };
  const file = await openOrCancel(call, how, data);
  try {
    await writeAll(call, file, data, [
      ...setMode(file, mode, call),
      () => abortable(file.close(), call.signal),
    ]);
  } catch (error) {
    await cleanedUp(file.close());
    throw error;
  }
}

/** Writes a file beside it, and gives that its name. */
export async function writeFileAtomically(
  call: SftpCall,
  data: Content,
  options: SftpWriteFileOptions,
): Promise<void> {
  let old: Target;
  try {
    old = await target(call, options);
  } catch (error) {
    cancel(data, error);
    throw error;
  }
  const slash = old.path.lastIndexOf("/") + 1;
  const [folder, name] = [old.path.slice(0, slash), old.path.slice(slash)];
  const unfinished = unfinishedName(name);
  const temporary = call.at(folder + unfinished);
  const mode = options.mode ?? old.mode;
  const how = {
    write: true,
    createNew: true,
    ...(mode === undefined ? {} : { mode }),
  };
  let file: OpenFile | undefined;
  let fate: "gone" | "left" = "gone";
  try {
    file = await openOrCancel(temporary, how, data);
    const opened = file;
    await writeAll(temporary, opened, data, [
      () => setOwner(opened, old, call),
      ...setMode(opened, mode, call),
      () => opened.sync({ signal: call.signal }),
      () => abortable(opened.close(), call.signal),
    ]);
    // Not before all of that has succeeded.
    await moveInto(temporary, old.path, options.createNew ?? false);
  } catch (error) {
    fate = await discard(temporary, file) ? "gone" : "left";
    // The caller knows nothing of the temporary file.
    throw aboutPath(error, temporary.path, call);
  } finally {
    finished(unfinished, folder, fate);
  }
}

/** Removes the temporary file, also if a request to open it was given up. */
async function discard(
  { protocol, path, signal }: SftpCall,
  file: OpenFile | undefined,
): Promise<boolean> {
  if (file === undefined && !signal?.aborted) return true;
  // Not with the signal of the call: it may be what ended the writing.
  let isGone = false;
  const removing = new SftpCall(protocol, "remove", path);
  await cleanedUp(
    file?.close(),
    removing.entry(PacketType.REMOVE).then(() => isGone = true, (error) => {
      isGone = isNotFound(error);
    }),
  );
  return isGone;
}

interface Target {
  readonly path: string;
  readonly mode: number | undefined;
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/** Where the file is to be: at the end of a link, if the path is one. */
async function target(
  call: SftpCall,
  { create = true, createNew = false }: SftpWriteFileOptions,
): Promise<Target> {
  const found = await lookAt(call, create);
  if (found === undefined) return { path: call.path, mode: undefined };
  if (createNew) throw operationError("SSH_SFTP_ALREADY_EXISTS", call);
  if (found.isDirectory) {
    throw operationError("SSH_SFTP_IS_A_DIRECTORY", call);
  }
  if (!found.isSymlink) return { path: call.path, ...replaced(found, call) };
  const path = await call.name(PacketType.REALPATH);
  const real = await lookAt(call.at(path), create);
  return real === undefined
    ? { path, mode: undefined }
    : { path, ...replaced(real, call) };
}

/** What a file keeps when it is replaced. */
function replaced(
  info: SftpFileInfo,
  { path, host }: SftpCall,
): Omit<Target, "path"> {
  const { mode, uid, gid, isFile } = info;
  if (!isFile && mode !== null && mode > 0o7777) {
    throw new SftpError(
      "SSH_SFTP_TRANSFER_REFUSED",
      `Cannot write ${quotedPath(path)} atomically: it is no regular file, ` +
        "which a new file must not replace",
      { path, host },
    );
  }
  const owner = uid === null || gid === null ? undefined : { uid, gid };
  return { mode: permissions(info), owner };
}

/** Keeps owner and group, where we may set them. */
async function setOwner(
  file: OpenFile,
  { owner }: Target,
  { signal }: SftpCall,
): Promise<void> {
  if (owner === undefined) return;
  try {
    await file.setAttributes({ owner }, { signal });
  } catch (error) {
    if (!(error instanceof SftpError) || error.status === undefined) {
      throw error;
    }
  }
}

/** Gives `undefined` where there is nothing, if a file may be made there. */
function lookAt(
  call: SftpCall,
  create: boolean,
): Promise<SftpFileInfo | undefined> {
  return call.stat(PacketType.LSTAT).catch((error) => {
    if (create && isNotFound(error)) return undefined;
    throw error;
  });
}

/** Gives the temporary file its name. A new one must replace nothing. */
async function moveInto(
  temporary: SftpCall,
  to: string,
  isNew: boolean,
): Promise<void> {
  if (!isNew || !temporary.protocol.has("hardlink@openssh.com", "1")) {
    const renaming = temporary.at(temporary.path, "rename");
    await diagnosed(
      renaming,
      () => renaming.rename(to),
      lookAtTarget(to),
    );
    return;
  }
  // A link, unlike a rename, never replaces what came there meanwhile.
  await temporary.at(to).link(temporary.path);
  await temporary.entry(PacketType.REMOVE);
}

async function openOrCancel(
  call: SftpCall,
  options: SftpOpenOptions,
  data: Content,
): Promise<OpenFile> {
  try {
    return await openFile(call, options);
  } catch (error) {
    cancel(data, error);
    throw error;
  }
}

function cancel(data: Content, reason: unknown): void {
  if (data instanceof ReadableStream && !data.locked) {
    data.cancel(reason).catch(() => {});
  }
}

function setMode(
  file: OpenFile,
  mode: number | undefined,
  { signal }: SftpCall,
): (() => Promise<void>)[] {
  return mode === undefined ? [] : [() => file.chmod(mode, { signal })];
}

/** Writes all, and does the rest, whose requests follow at once. */
async function writeAll(
  call: SftpCall,
  file: OpenFile,
  data: Content,
  rest: readonly (() => Promise<unknown>)[],
): Promise<void> {
  const writer = new WriteBehind(call, file.handle, file.start);
  if (data instanceof Uint8Array) await writer.write(data);
  else await pump(call, data, writer);
  let ending: Promise<unknown> | undefined;
  await writer.finish(() => {
    ending = Promise.all(rest.map((step) => step()));
    // What went wrong first is what is told: a failed write comes before it.
    ending.catch(() => {});
  });
  await ending;
}

/** Writes a stream. */
async function pump(
  call: SftpCall,
  data: ReadableStream<Uint8Array>,
  writer: WriteBehind,
): Promise<void> {
  const reader = data.getReader();
  try {
    await writeSource(call, writer, () => reader.read());
  } catch (error) {
    // Not waited for: what the source does then is its own affair.
    reader.cancel(error).catch(() => {});
    throw error;
  } finally {
    reader.releaseLock();
  }
}

function permissions({ mode }: { mode: number | null }): number | undefined {
  return mode === null ? undefined : mode & 0o7777;
}

function isNotFound(error: unknown): boolean {
  return error instanceof SftpError && error.code === "SSH_SFTP_NOT_FOUND";
}
