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
  type Operation,
  type Read,
  readChanges,
  readText,
  then,
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

const close: Read = (packet, { handles }) => {
  const name = packet.bytes();
  return {
    operation: "close",
    path: handles.pathOf(name),
    run() {
      const handle = handles.take(name);
      return "file" in handle ? then(handle.file.close(), done) : done();
    },
  };
};

const read: Read = (packet, { handles }) => {
  const name = packet.bytes();
  const offset = packet.u64();
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
  const offset = packet.u64();
  const data = packet.bytes();
  return {
    operation: "write",
    path: handles.pathOf(name),
    offset,
    length: data.length,
    run: () => then(handles.file(name).file.write(offset, data), done),
  };
};

const stat: Read = (packet, { files }) => {
  const path = readText(packet);
  const run = () => then(files.stat(path), attributesAnswer);
  return { operation: "stat", path, run };
};

const lstat: Read = (packet, { files }) => {
  const path = readText(packet);
  const run = () => then(files.lstat(path), attributesAnswer);
  return { operation: "lstat", path, run };
};

const fstat: Read = (packet, { handles }) => {
  const name = packet.bytes();
  return {
    operation: "fstat",
    path: handles.pathOf(name),
    run: () => then(handles.file(name).file.stat(), attributesAnswer),
  };
};

const setstat: Read = (packet, { files }) => {
  const path = readText(packet);
  const changes = readChanges(packet);
  const run = () => then(files.change(path, changes), done);
  return { operation: "setstat", path, run };
};

const fsetstat: Read = (packet, { handles }) => {
  const name = packet.bytes();
  const changes = readChanges(packet);
  return {
    operation: "fsetstat",
    path: handles.pathOf(name),
    run: () => then(handles.file(name).file.change(changes), done),
  };
};

const opendir: Read = (packet, { files, handles }) => {
  const path = readText(packet);
  return {
    operation: "opendir",
    path,
    run() {
      handles.checkRoom();
      return then(
        files.readDir(path),
        (found) =>
          then(
            withDots(files, path, found),
            (entries) => handleAnswer(handles.add({ path, entries, given: 0 })),
          ),
      );
    },
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

const readdir: Read = (packet, { handles }) => {
  const name = packet.bytes();
  return {
    operation: "readdir",
    path: handles.pathOf(name),
    run() {
      const folder = handles.folder(name);
      const end = folder.given + ENTRIES_AT_A_TIME;
      const entries = folder.entries.slice(folder.given, end);
      folder.given += entries.length;
      return entries.length === 0
        ? statusAnswer(Status.EOF)
        : entriesAnswer(entries);
    },
  };
};

const remove: Read = (packet, { files }) => {
  const path = readText(packet);
  const run = () => then(files.remove(path), done);
  return { operation: "remove", path, run };
};

const mkdir: Read = (packet, { files }) => {
  const path = readText(packet);
  const { mode = 0o777 } = readChanges(packet);
  const run = () => then(files.makeDir(path, mode), done);
  return { operation: "mkdir", path, run };
};

const rmdir: Read = (packet, { files }) => {
  const path = readText(packet);
  const run = () => then(files.removeDir(path), done);
  return { operation: "rmdir", path, run };
};

const realpath: Read = (packet, { files }) => {
  const path = readText(packet) || ".";
  const run = () => then(files.realPath(path), nameAnswer);
  return { operation: "realpath", path, run };
};

const readlink: Read = (packet, { files }) => {
  const path = readText(packet);
  const run = () => then(files.readLink(path), nameAnswer);
  return { operation: "readlink", path, run };
};

/** The target comes first, unlike in the draft: so does OpenSSH. */
const symlink: Read = (packet, { files }) => {
  const target = readText(packet);
  const path = readText(packet);
  const run = () => then(files.symlink(target, path), done);
  return { operation: "symlink", path, target, run };
};

/** RENAME never replaces anything. */
const rename: Read = (packet, { files }) => {
  const path = readText(packet);
  const target = readText(packet);
  const run = () =>
    then(files.lstat(path), ({ mode }) =>
      (mode & S_IFMT) === S_IFREG
        ? then(
          files.link(path, target),
          () => then(files.remove(path), done),
        )
        : then(
          isMissing(files, target),
          (isFree) => {
            if (!isFree) throw new FileError("EEXIST");
            return then(files.rename(path, target), done);
          },
        ));
  return { operation: "rename", path, target, run };
};

async function isMissing(files: ServedFiles, path: string): Promise<boolean> {
  try {
    await files.stat(path);
    return false;
  } catch {
    return true;
  }
}

const READS: Readonly<Record<number, Read>> = {
  [PacketType.OPEN]: open,
  [PacketType.CLOSE]: close,
  [PacketType.READ]: read,
  [PacketType.WRITE]: write,
  [PacketType.STAT]: stat,
  [PacketType.LSTAT]: lstat,
  [PacketType.FSTAT]: fstat,
  [PacketType.SETSTAT]: setstat,
  [PacketType.FSETSTAT]: fsetstat,
  [PacketType.OPENDIR]: opendir,
  [PacketType.READDIR]: readdir,
  [PacketType.REMOVE]: remove,
  [PacketType.MKDIR]: mkdir,
  [PacketType.RMDIR]: rmdir,
  [PacketType.REALPATH]: realpath,
  [PacketType.READLINK]: readlink,
  [PacketType.SYMLINK]: symlink,
  [PacketType.RENAME]: rename,
};

/** How a type of request is read; `undefined` if it is none of version 3. */
export function operationOf(type: number): Read | undefined {
  return READS[type];
}

/** What is answered to a request that nobody knows. */
export function unknownOperation(): Operation {
  const run = () => statusAnswer(Status.OP_UNSUPPORTED);
  return { operation: "unknown", run };
}
