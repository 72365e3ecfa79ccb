/** The extensions of OpenSSH's sftp-server that a client here asks for. */

import type { PacketReader } from "../../sftp/packets.ts";
import { done, numbersAnswer, spaceAnswer } from "./_answers.ts";
import { MAX_HANDLES } from "./_handles.ts";
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
import { MAX_DATA_BYTES, unknownOperation } from "./_operations.ts";
import { FileError, type ServedFile } from "./served_files.ts";

/** The longest packet that is taken, in bytes. */
export const MAX_REQUEST_BYTES: number = 256 * 1024;

const COPY_BYTES = 64 * 1024;

/** Replaces what has the new name, as POSIX has it. */
const posixRename = onTwoPaths(
  "posix-rename",
  ({ files }, path, target) => files.rename(path, target),
);

const hardlink = onTwoPaths(
  "hardlink",
  ({ files }, path, target) => files.link(target, path),
  "target first",
);

const lsetstat = onPath(
  "lsetstat",
  ({ files }, path, changes) => {
    // A link has no size to change; not looked at otherwise.
    if (changes.size !== undefined) throw new FileError("EINVAL");
    return files.change(path, changes, { isLink: true });
  },
  readChanges,
);

const statvfs = onPath(
  "statvfs",
  ({ files }, path) => spaceAnswer(files.space(path)),
);

/** Of the whole file system: the file may have lost its name. */
const fstatvfs = onHandle("fstatvfs", ({ files, handles }, name) => {
  handles.file(name);
  return spaceAnswer(files.space("/"));
});

const fsync = onHandle(
  "fsync",
  ({ handles }, name) => handles.file(name, "ENOENT").file.sync(),
);

const limits: Read = () => ({
  operation: "limits",
  run: () =>
    numbersAnswer(
      MAX_REQUEST_BYTES,
      MAX_DATA_BYTES,
      MAX_DATA_BYTES,
      MAX_HANDLES,
    ),
});

const copyData: Read = (packet, { handles }) => {
  const from = packet.bytes();
  const [offset, length] = [readPosition(packet), readPosition(packet)];
  const [to, toOffset] = [packet.bytes(), readPosition(packet)];
  return {
    operation: "copy-data",
    path: handles.pathOf(from),
    target: handles.pathOf(to),
    offset,
    length,
    run() {
      const [source, target] = [handles.file(from), handles.file(to)];
      // As in OpenSSH: one path, and not one file, is what is refused.
      if (source.path === target.path) throw new FileError("EIO");
      copy(source.file, target.file, { offset, length, toOffset });
      return done();
    },
  };
};

/** Copies; a length of 0 is all that there is. */
function copy(
  source: ServedFile,
  target: ServedFile,
  range: { offset: number; length: number; toOffset: number },
): void {
  const { offset, toOffset, length } = range;
  let at = 0;
  while (length === 0 || at < length) {
    const wanted = length === 0
      ? COPY_BYTES
      : Math.min(COPY_BYTES, length - at);
    const data = source.read(offset + at, wanted);
    if (data.length === 0) return;
    target.write(toOffset + at, data);
    at += data.length;
  }
}

interface Extension {
  readonly version: string;
  readonly read: Read;
}

const EXTENSIONS: Readonly<Record<string, Extension>> = {
  "posix-rename@openssh.com": { version: "1", read: posixRename },
  "statvfs@openssh.com": { version: "2", read: statvfs },
  "fstatvfs@openssh.com": { version: "2", read: fstatvfs },
  "hardlink@openssh.com": { version: "1", read: hardlink },
  "fsync@openssh.com": { version: "1", read: fsync },
  "lsetstat@openssh.com": { version: "1", read: lsetstat },
  "limits@openssh.com": { version: "1", read: limits },
  "copy-data": { version: "1", read: copyData },
};

/** The names of all extensions. */
export const EXTENSION_NAMES: readonly string[] = Object.keys(EXTENSIONS);

/** Names with their versions, as VERSION has them. */
export function withVersions(names: readonly string[]): [string, string][] {
  return names.map((name) => {
    const extension = EXTENSIONS[name];
    if (extension !== undefined) return [name, extension.version];
    throw new TypeError(
      `Cannot start an SFTP server: ${JSON.stringify(name)} is no extension ` +
        `that it has, must be one of ${EXTENSION_NAMES.join(", ")}`,
    );
  });
}

/** Reads EXTENDED behind its id; what was not announced is not answered. */
export function readExtended(
  packet: PacketReader,
  state: ServerState,
  names: readonly string[],
): DecodedRequest {
  const name = readText(packet);
  const extension = names.includes(name) ? EXTENSIONS[name] : undefined;
  return extension?.read(packet, state) ?? unknownOperation();
}
