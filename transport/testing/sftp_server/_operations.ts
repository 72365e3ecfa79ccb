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
} from "./_operation.ts";
import {
  FileError,
  type OpenHow,
  type ServedEntry,
  type ServedFiles,
} from "./served_files.ts";

/** The most that one READ gives and one WRITE takes, in bytes. */
export const MAX_DATA_BYTES: number = 255 * 1024;

/** How many entries one READDIR gives. */
const ENTRIES_AT_A_TIME = 100;

const open: Read = (packet, { files, handles }) => {
  const path = readText(packet);
  const flags = packet.u32();
  const how = openHow(flags, readChanges(packet).mode ?? 0o666);
  return {
    operation: "open",
    path,
    run() {
      handles.checkRoom();
      const file = files.open(path, how);
      return handleAnswer(handles.add({ path, file }));
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
    run() {
      const data = handles.file(name).file.read(offset, length);
      return data.length === 0 ? statusAnswer(Status.EOF) : dataAnswer(data);
    },
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
    run() {
      handles.file(name).file.write(offset, data);
      return done();
    },
  };
};

function withDots(files: ServedFiles, path: string): ServedEntry[] {
  const dots = [".", ".."].map((name) => ({
    name,
    attributes: files.lstat(`${path}/${name}`),
  }));
  return [...dots, ...files.readDir(path)];
}

/** RENAME never replaces anything. */
function rename({ files }: ServerState, path: string, target: string): void {
  files.lstat(path);
  if (exists(files, target)) throw new FileError("EEXIST");
  files.rename(path, target);
}

function exists(files: ServedFiles, path: string): boolean {
  try {
    files.lstat(path);
    return true;
  } catch {
    return false;
  }
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
    ({ files }, path) => attributesAnswer(files.stat(path)),
  ),
  [PacketType.LSTAT]: onPath(
    "lstat",
    ({ files }, path) => attributesAnswer(files.lstat(path)),
  ),
  [PacketType.FSTAT]: onHandle(
    "fstat",
    ({ handles }, name) => attributesAnswer(handles.file(name).file.stat()),
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
  [PacketType.OPENDIR]: onPath("opendir", ({ files, handles }, path) => {
    handles.checkRoom();
    const entries = withDots(files, path);
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
    ({ files }, path) => nameAnswer(files.realPath(path || ".")),
  ),
  [PacketType.READLINK]: onPath(
    "readlink",
    ({ files }, path) => nameAnswer(files.readLink(path)),
  ),
  // The target comes first, unlike in the draft: so does OpenSSH.
  [PacketType.SYMLINK]: onTwoPaths(
    "symlink",
    ({ files }, path, target) => files.symlink(target, path),
    "target first",
  ),
  [PacketType.RENAME]: onTwoPaths("rename", rename),
};

/**
 * Returns how a type of request is read; `undefined` if it is none of version
 * 3.
 */
export function operationOf(type: number): Read | undefined {
  return READS[type];
}

/** Returns what is answered to a request that nobody knows. */
export function unknownOperation(): DecodedRequest {
  const run = () => statusAnswer(Status.OP_UNSUPPORTED);
  return { operation: "unknown", run };
}
