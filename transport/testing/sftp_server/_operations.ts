/** The requests of SFTP version 3 and of its extensions, each as OpenSSH's sftp-server does it. */

import { type PacketReader, PacketType, Status } from "../../sftp/packets.ts";
import { FileError } from "../files/file_error.ts";
import { kindOf, TypeBits } from "../files/file_node.ts";
import type { MemoryTree, ServedFile } from "../files/memory_tree.ts";
import {
  attributesAnswer,
  dataAnswer,
  entriesAnswer,
  handleAnswer,
  nameAnswer,
  numbersAnswer,
  statusAnswer,
} from "./_answers.ts";
import { type FolderEntry, MAX_HANDLES } from "./_handles.ts";
import {
  type DecodedRequest,
  MAX_DATA_BYTES,
  on,
  type Reader,
  readText,
  type ServerState,
} from "./_request.ts";
import type { SftpOperation } from "./request.ts";

/** The longest packet that is taken, in bytes. */
export const MAX_REQUEST_BYTES: number = 256 * 1024;

/** How many entries one READDIR gives. */
const ENTRIES_AT_A_TIME = 100;
/** How much a copy moves at a time. */
const COPY_BYTES = 64 * 1024;
/** A file system with as much room as no test fills, as statvfs has it. */
const SPACE = [4096, 4096, ...Array(6).fill(2 ** 28) as number[], 0, 0, 255];
const LIMITS = [MAX_REQUEST_BYTES, MAX_DATA_BYTES, MAX_DATA_BYTES, MAX_HANDLES];

function withDots(files: MemoryTree, path: string): FolderEntry[] {
  const dots = [".", ".."].map((name) => ({
    name,
    attributes: files.stat(`${path}/${name}`),
  }));
  return [...dots, ...files.readDir(path)];
}

/** Copies; a range of 0 is all that there is. */
function copy(
  source: ServedFile,
  target: ServedFile,
  at: { offset: number; range: number; toOffset: number },
): void {
  const end = at.range || Infinity;
  for (let done = 0; done < end;) {
    const wanted = Math.min(COPY_BYTES, end - done);
    const data = source.read(at.offset + done, wanted);
    if (data.length === 0) return;
    target.write(at.toOffset + done, data);
    done += data.length;
  }
}

const READERS: Readonly<Record<SftpOperation, Reader>> = {
  open: on(["path", "flags", "changes"], (it) => {
    const { files, path, flags, changes: { mode = 0o666 } } = it;
    const open = () => ({ path, file: files.open(path, flags, mode) });
    return handleAnswer(it.handles.add(open));
  }),
  close: on(["handle"], (it) => it.handles.close(it.handle)),
  read: on(["handle", "offset", "length"], (it) => {
    const data = it.handles.file(it.handle).read(it.offset, it.length);
    return data.length === 0 ? statusAnswer(Status.EOF) : dataAnswer(data);
  }),
  write: on(["handle", "offset", "data"], (it) => {
    it.handles.file(it.handle).write(it.offset, it.data);
  }),
  stat: on(["path"], (it) => attributesAnswer(it.files.stat(it.path))),
  lstat: on(["path"], (it) => attributesAnswer(it.files.stat(it.path, false))),
  fstat: on(["handle"], (it) => {
    return attributesAnswer(it.handles.file(it.handle).stat());
  }),
  setstat: on(
    ["path", "changes"],
    (it) => it.files.change(it.path, it.changes),
  ),
  fsetstat: on(["handle", "changes"], (it) => {
    it.handles.file(it.handle).change(it.changes);
  }),
  lsetstat: on(["path", "changes"], (it) => {
    // A link has no size to change; not looked at otherwise.
    if (it.changes.size !== undefined) throw new FileError("EINVAL");
    it.files.change(it.path, it.changes, true);
  }),
  opendir: on(["path"], ({ files, handles, path }) => {
    const open = () => ({ path, entries: withDots(files, path) });
    return handleAnswer(handles.add(open));
  }),
  readdir: on(["handle"], (it) => {
    const left = it.handles.get(it.handle)?.entries;
    if (left === undefined) throw new FileError("EIO");
    const entries = left.splice(0, ENTRIES_AT_A_TIME);
    return entries.length === 0
      ? statusAnswer(Status.EOF)
      : entriesAnswer(entries);
  }),
  remove: on(["path"], (it) => it.files.remove(it.path)),
  mkdir: on(["path", "changes"], (it) => {
    it.files.makeDir(it.path, it.changes.mode ?? 0o777);
  }),
  rmdir: on(["path"], (it) => it.files.removeDir(it.path)),
  realpath: on(["path"], (it) => nameAnswer(it.files.realPath(it.path || "."))),
  readlink: on(["path"], (it) => nameAnswer(it.files.readLink(it.path))),
  // The target comes first, unlike in the draft: so does OpenSSH.
  symlink: on(["target", "path"], (it) => it.files.symlink(it.target, it.path)),
  hardlink: on(["target", "path"], (it) => it.files.link(it.target, it.path)),
  rename: on(["path", "target"], ({ files, path, target }) => {
    // It replaces nothing; but as for OpenSSH what is no file may take the
    // place of a link to nowhere.
    const isFile = kindOf(files.stat(path, false).mode) === TypeBits.FILE;
    if (files.exists(target, !isFile)) throw new FileError("EEXIST");
    files.rename(path, target);
  }),
  "posix-rename": on(["path", "target"], (it) => {
    it.files.rename(it.path, it.target);
  }),
  fsync: on(["handle"], (it) => void it.handles.file(it.handle, "ENOENT")),
  statvfs: on(["path"], (it) => {
    it.files.stat(it.path);
    return numbersAnswer(SPACE);
  }),
  fstatvfs: on(["handle"], (it) => {
    it.handles.file(it.handle);
    return numbersAnswer(SPACE);
  }),
  limits: on([], () => numbersAnswer(LIMITS)),
  "copy-data": on(
    ["handle", "offset", "range", "toHandle", "toOffset"],
    ({ handles, handle, toHandle, ...at }) => {
      const [source, target] = [handles.file(handle), handles.file(toHandle)];
      // As in OpenSSH: one path, and not one file, is what is refused.
      if (handles.get(handle)?.path === handles.get(toHandle)?.path) {
        throw new FileError("EIO");
      }
      copy(source, target, at);
    },
  ),
  unknown: on([], () => statusAnswer(Status.OP_UNSUPPORTED)),
};

/** All extensions, with their versions. */
export const EXTENSIONS: Readonly<Record<string, string>> = {
  "posix-rename@openssh.com": "1",
  "statvfs@openssh.com": "2",
  "fstatvfs@openssh.com": "2",
  "hardlink@openssh.com": "1",
  "fsync@openssh.com": "1",
  "lsetstat@openssh.com": "1",
  "limits@openssh.com": "1",
  "copy-data": "1",
};

/** By the number of their type. */
const OPERATIONS = new Map<number, SftpOperation>(
  (Object.keys(READERS) as SftpOperation[]).map((name) => [
    PacketType[name.toUpperCase() as keyof typeof PacketType] ?? NaN,
    name,
  ]),
);

/**
 * Reads a request behind its id.
 *
 * @param extensions Those that were announced; no other is answered.
 * @throws If it is malformed.
 */
export function readRequest(
  packet: PacketReader,
  state: ServerState,
  extensions: readonly string[],
): DecodedRequest {
  let operation = OPERATIONS.get(packet.type) ?? "unknown";
  if (packet.type === PacketType.EXTENDED) {
    const name = readText(packet);
    const isKnown = extensions.includes(name) &&
      Object.hasOwn(EXTENSIONS, name);
    operation = isKnown ? name.split("@")[0] as SftpOperation : "unknown";
  }
  return { operation, ...READERS[operation](packet, state) };
}
