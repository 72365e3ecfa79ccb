/** The requests of SFTP version 3, each as OpenSSH's sftp-server does it. */

import { OpenFlag, PacketType, Status } from "../../sftp/packets.ts";
import {
  attributesAnswer,
  dataAnswer,
  done,
  entriesAnswer,
  handleAnswer,
  nameAnswer,
  statusAnswer,
} from "./_answers.ts";
import {
  type DecodedRequest,
  onHandle,
  onPath,
  onTwoPaths,
  type Read,
  readChanges,
  readPosition,
  readText,
  type ServerState,
  then,
} from "./_operation.ts";
import {
  type FileAttributes,
  FileError,
  type MaybePromise,
  type OpenHow,
  type ServedEntry,
  type ServedFiles,
} from "./served_files.ts";

/** The most that one READ gives and one WRITE takes, in bytes. */
export const MAX_DATA_BYTES: number = 255 * 1024;

/** How many entries one READDIR gives. */
const ENTRIES_AT_A_TIME = 100;
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

const open: Read = (packet, { files, handles }) => {
  const path = readText(packet);
  const flags = packet.u32();
  const how = openHow(flags, readChanges(packet).mode ?? 0o666);
  return {
    operation: "open",
    path,
    run() {
      handles.checkRoom();
      return then(
        files.open(path, how),
        (file) => handleAnswer(handles.add({ path, file, append: how.append })),
      );
    },
  };
};

function openHow(flags: number, mode: number): OpenHow {
  const has = (flag: number) => (flags & flag) !== 0;
  return {
    read: has(OpenFlag.READ) || !has(OpenFlag.WRITE),
    write: has(OpenFlag.WRITE),
    append: has(OpenFlag.APPEND),
    create: has(OpenFlag.CREATE),
    truncate: has(OpenFlag.TRUNCATE),
    exclusive: has(OpenFlag.EXCLUSIVE),
    mode,
  };
}

const read: Read = (packet, { handles }) => {
  const name = packet.bytes();
  const offset = readPosition(packet);
  const length = Math.min(packet.u32(), MAX_DATA_BYTES);
  return {
    operation: "read",
    path: handles.pathOf(name),
    offset,
    length,
    run: () =>
      then(
        handles.file(name).file.read(offset, length),
        (data) =>
          data.length === 0 ? statusAnswer(Status.EOF) : dataAnswer(data),
      ),
  };
};

const write: Read = (packet, { handles }) => {
  const name = packet.bytes();
  const offset = readPosition(packet);
  const data = packet.bytes();
  return {
    operation: "write",
    path: handles.pathOf(name),
    offset,
    length: data.length,
    run: () => then(handles.file(name).file.write(offset, data), done),
  };
};

/** What cannot be looked at is left out, as OpenSSH does. */
async function withDots(
  files: ServedFiles,
  path: string,
  entries: readonly ServedEntry[],
): Promise<ServedEntry[]> {
  const dots: ServedEntry[] = [];
  for (const name of [".", ".."]) {
    try {
      dots.push({ name, attributes: await files.lstat(`${path}/${name}`) });
    } catch {
      // A folder that may be read and not entered.
    }
  }
  return [...dots, ...entries];
}

async function isMissing(files: ServedFiles, path: string): Promise<boolean> {
  try {
    await files.stat(path);
    return false;
  } catch {
    return true;
  }
}

/** RENAME never replaces anything. */
function rename(
  { files }: ServerState,
  path: string,
  target: string,
): MaybePromise<void> {
  const isFile = ({ mode }: FileAttributes) => (mode & S_IFMT) === S_IFREG;
  return then(files.lstat(path), async (attributes) => {
    if (isFile(attributes)) {
      await files.link(path, target);
      return await files.remove(path);
    }
    if (!await isMissing(files, target)) throw new FileError("EEXIST");
    await files.rename(path, target);
  });
}

const READS: Readonly<Record<number, Read>> = {
  [PacketType.OPEN]: open,
  [PacketType.CLOSE]: onHandle("close", ({ handles }, name) => {
    const handle = handles.take(name);
    return "file" in handle ? handle.file.close() : undefined;
  }),
  [PacketType.READ]: read,
  [PacketType.WRITE]: write,
  [PacketType.STAT]: onPath(
    "stat",
    ({ files }, path) => then(files.stat(path), attributesAnswer),
  ),
  [PacketType.LSTAT]: onPath(
    "lstat",
    ({ files }, path) => then(files.lstat(path), attributesAnswer),
  ),
  [PacketType.FSTAT]: onHandle(
    "fstat",
    ({ handles }, name) =>
      then(handles.file(name).file.stat(), attributesAnswer),
  ),
  [PacketType.SETSTAT]: onPath(
    "setstat",
    ({ files }, path, changes) => files.change(path, changes),
    readChanges,
  ),
  [PacketType.FSETSTAT]: onHandle(
    "fsetstat",
    ({ handles }, name, changes) => handles.file(name).file.change(changes),
    readChanges,
  ),
  [PacketType.OPENDIR]: onPath("opendir", async ({ files, handles }, path) => {
    handles.checkRoom();
    const found = await files.readDir(path);
    const entries = await withDots(files, path, found);
    return handleAnswer(handles.add({ path, entries, given: 0 }));
  }),
  [PacketType.READDIR]: onHandle("readdir", ({ handles }, name) => {
    const folder = handles.folder(name);
    const end = folder.given + ENTRIES_AT_A_TIME;
    const entries = folder.entries.slice(folder.given, end);
    folder.given += entries.length;
    return entries.length === 0
      ? statusAnswer(Status.EOF)
      : entriesAnswer(entries);
  }),
  [PacketType.REMOVE]: onPath(
    "remove",
    ({ files }, path) => files.remove(path),
  ),
  [PacketType.MKDIR]: onPath(
    "mkdir",
    ({ files }, path, { mode = 0o777 }) => files.makeDir(path, mode),
    readChanges,
  ),
  [PacketType.RMDIR]: onPath(
    "rmdir",
    ({ files }, path) => files.removeDir(path),
  ),
  [PacketType.REALPATH]: onPath(
    "realpath",
    ({ files }, path) => then(files.realPath(path || "."), nameAnswer),
  ),
  [PacketType.READLINK]: onPath(
    "readlink",
    ({ files }, path) => then(files.readLink(path), nameAnswer),
  ),
  // The target comes first, unlike in the draft: so does OpenSSH.
  [PacketType.SYMLINK]: onTwoPaths(
    "symlink",
    ({ files }, path, target) => files.symlink(target, path),
    "target first",
  ),
  [PacketType.RENAME]: onTwoPaths("rename", rename),
};

/** How a type of request is read; `undefined` if it is none of version 3. */
export function operationOf(type: number): Read | undefined {
  return READS[type];
}

/** What is answered to a request that nobody knows. */
export function unknownOperation(): DecodedRequest {
  const run = () => statusAnswer(Status.OP_UNSUPPORTED);
  return { operation: "unknown", run };
}
