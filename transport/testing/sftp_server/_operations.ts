/** The requests of SFTP version 3 and of its extensions, each as OpenSSH's sftp-server does it. */

import { PacketType, Status } from "../../sftp/packets.ts";
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
  MAX_DATA_BYTES,
  type Read,
  readText,
  request,
  type ServerState,
} from "./_request.ts";

/** The longest packet that is taken, in bytes. */
export const MAX_REQUEST_BYTES: number = 256 * 1024;

/** How many entries one READDIR gives. */
const ENTRIES_AT_A_TIME = 100;
/** How much a copy moves at a time. */
const COPY_BYTES = 64 * 1024;
/** A file system with as much room as no test fills, as statvfs has it. */
const SPACE = [4096, 4096, ...Array(6).fill(2 ** 28) as number[], 0, 0, 255];

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

const REQUESTS: Readonly<Record<number, Read>> = {
  [PacketType.OPEN]: request(
    "open",
    ["path", "flags", "changes"],
    ({ files, handles }, { path, flags, changes: { mode = 0o666 } }) =>
      handleAnswer(
        handles.add(() => ({ path, file: files.open(path, flags, mode) })),
      ),
  ),
  [PacketType.CLOSE]: request(
    "close",
    ["handle"],
    ({ handles }, { handle }) => handles.close(handle),
  ),
  [PacketType.READ]: request(
    "read",
    ["handle", "offset", "length"],
    ({ handles }, { handle, offset, length }) => {
      const data = handles.file(handle).read(offset, length);
      return data.length === 0 ? statusAnswer(Status.EOF) : dataAnswer(data);
    },
  ),
  [PacketType.WRITE]: request(
    "write",
    ["handle", "offset", "data"],
    ({ handles }, { handle, offset, data }) =>
      handles.file(handle).write(offset, data),
  ),
  [PacketType.STAT]: request(
    "stat",
    ["path"],
    ({ files }, { path }) => attributesAnswer(files.stat(path)),
  ),
  [PacketType.LSTAT]: request(
    "lstat",
    ["path"],
    ({ files }, { path }) => attributesAnswer(files.lstat(path)),
  ),
  [PacketType.FSTAT]: request(
    "fstat",
    ["handle"],
    ({ handles }, { handle }) => attributesAnswer(handles.file(handle).stat()),
  ),
  [PacketType.SETSTAT]: request(
    "setstat",
    ["path", "changes"],
    ({ files }, { path, changes }) => files.change(path, changes),
  ),
  [PacketType.FSETSTAT]: request(
    "fsetstat",
    ["handle", "changes"],
    ({ handles }, { handle, changes }) => handles.file(handle).change(changes),
  ),
  [PacketType.OPENDIR]: request(
    "opendir",
    ["path"],
    ({ files, handles }, { path }) =>
      handleAnswer(
        handles.add(() => ({ path, entries: withDots(files, path) })),
      ),
  ),
  [PacketType.READDIR]: request(
    "readdir",
    ["handle"],
    ({ handles }, { handle }) => {
      const left = handles.get(handle)?.entries;
      if (left === undefined) throw new FileError("EIO");
      const entries = left.splice(0, ENTRIES_AT_A_TIME);
      return entries.length === 0
        ? statusAnswer(Status.EOF)
        : entriesAnswer(entries);
    },
  ),
  [PacketType.REMOVE]: request(
    "remove",
    ["path"],
    ({ files }, { path }) => files.remove(path),
  ),
  [PacketType.MKDIR]: request(
    "mkdir",
    ["path", "changes"],
    ({ files }, { path, changes: { mode = 0o777 } }) =>
      files.makeDir(path, mode),
  ),
  [PacketType.RMDIR]: request(
    "rmdir",
    ["path"],
    ({ files }, { path }) => files.removeDir(path),
  ),
  [PacketType.REALPATH]: request(
    "realpath",
    ["path"],
    ({ files }, { path }) => nameAnswer(files.realPath(path || ".")),
  ),
  [PacketType.READLINK]: request(
    "readlink",
    ["path"],
    ({ files }, { path }) => nameAnswer(files.readLink(path)),
  ),
  // The target comes first, unlike in the draft: so does OpenSSH.
  [PacketType.SYMLINK]: request(
    "symlink",
    ["target", "path"],
    ({ files }, { path, target }) => files.symlink(target, path),
  ),
  // It never replaces anything.
  [PacketType.RENAME]: request(
    "rename",
    ["path", "target"],
    ({ files }, { path, target }) => {
      // As OpenSSH: what is no file may take the place of a link to nowhere.
      const isFile = kindOf(files.lstat(path).mode) === TypeBits.FILE;
      if (files.exists(target, !isFile)) throw new FileError("EEXIST");
      files.rename(path, target);
    },
  ),
};

/** Each extension, with the version that VERSION names. */
const EXTENSIONS: Readonly<Record<string, readonly [string, Read]>> = {
  // Replaces what has the new name.
  "posix-rename@openssh.com": [
    "1",
    request(
      "posix-rename",
      ["path", "target"],
      ({ files }, { path, target }) => files.rename(path, target),
    ),
  ],
  "statvfs@openssh.com": [
    "2",
    request(
      "statvfs",
      ["path"],
      ({ files }, { path }) => {
        files.stat(path);
        return numbersAnswer(SPACE);
      },
    ),
  ],
  "fstatvfs@openssh.com": [
    "2",
    request(
      "fstatvfs",
      ["handle"],
      ({ handles }, { handle }) => {
        handles.file(handle);
        return numbersAnswer(SPACE);
      },
    ),
  ],
  "hardlink@openssh.com": [
    "1",
    request(
      "hardlink",
      ["target", "path"],
      ({ files }, { path, target }) => files.link(target, path),
    ),
  ],
  "fsync@openssh.com": [
    "1",
    request(
      "fsync",
      ["handle"],
      ({ handles }, { handle }) => void handles.file(handle, "ENOENT"),
    ),
  ],
  "lsetstat@openssh.com": [
    "1",
    request(
      "lsetstat",
      ["path", "changes"],
      ({ files }, { path, changes }) => {
        // A link has no size to change; not looked at otherwise.
        if (changes.size !== undefined) throw new FileError("EINVAL");
        files.change(path, changes, true);
      },
    ),
  ],
  "limits@openssh.com": [
    "1",
    request("limits", [], () =>
      numbersAnswer([
        MAX_REQUEST_BYTES,
        MAX_DATA_BYTES,
        MAX_DATA_BYTES,
        MAX_HANDLES,
      ])),
  ],
  "copy-data": [
    "1",
    request(
      "copy-data",
      ["handle", "offset", "range", "toHandle", "toOffset"],
      ({ handles }, { handle, toHandle, ...at }) => {
        const [source, target] = [handles.file(handle), handles.file(toHandle)];
        // As in OpenSSH: one path, and not one file, is what is refused.
        if (handles.get(handle)?.path === handles.get(toHandle)?.path) {
          throw new FileError("EIO");
        }
        copy(source, target, at);
      },
    ),
  ],
};

/** The names of all extensions. */
export const EXTENSION_NAMES: readonly string[] = Object.keys(EXTENSIONS);

/** Returns the version of an extension. */
export function versionOf(name: string): string {
  return EXTENSIONS[name]![0];
}

/** Is answered to a request that nobody knows. */
const unknown: Read = request(
  "unknown",
  [],
  () => statusAnswer(Status.OP_UNSUPPORTED),
);

/**
 * Returns how a type of request is read behind its id.
 *
 * @param extensions The extensions that were announced; no other is answered.
 */
export function readerOf(type: number, extensions: readonly string[]): Read {
  if (type !== PacketType.EXTENDED) return REQUESTS[type] ?? unknown;
  return (packet, state: ServerState) => {
    const name = readText(packet);
    const read = extensions.includes(name) ? EXTENSIONS[name]?.[1] : undefined;
    return (read ?? unknown)(packet, state);
  };
}
