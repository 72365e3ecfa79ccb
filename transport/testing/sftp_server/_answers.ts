/** The answers of an SFTP server. */

import { PacketType, PacketWriter, Status } from "../../sftp/packets.ts";
import { FileError, type FileErrorCode } from "../files/file_error.ts";
import type { FileAttributes } from "../files/file_node.ts";
import type { FolderEntry } from "./_handles.ts";

const encoder = new TextEncoder();
const HAS_ALL = 1 | 2 | 4 | 8;

/** STATUS; with what OpenSSH says, unless there is a text. */
export function statusAnswer(status: number, text = ""): PacketWriter {
  const packet = new PacketWriter(PacketType.STATUS).u32(status);
  // Any text: a server's own words need not be a file name.
  packet.bytes(encoder.encode(text || (TEXTS[status] ?? "Unknown error")));
  return packet.bytes(new Uint8Array());
}

/** STATUS of a failure. */
export function failed(error: unknown): PacketWriter {
  if (error instanceof FileError) {
    const status = error.status ?? STATUSES[error.code] ?? Status.FAILURE;
    return statusAnswer(status, error.message);
  }
  const text = error instanceof Error ? error.message : String(error);
  return statusAnswer(Status.FAILURE, text);
}

/** HANDLE. */
export function handleAnswer(handle: Uint8Array): PacketWriter {
  return new PacketWriter(PacketType.HANDLE).bytes(handle);
}

/** DATA. */
export function dataAnswer(payload: Uint8Array): PacketWriter {
  return new PacketWriter(PacketType.DATA).bytes(payload);
}

/** ATTRS. */
export function attributesAnswer(attributes: FileAttributes): PacketWriter {
  return writeAll(new PacketWriter(PacketType.ATTRS), attributes);
}

/** NAME with one name and nothing else: of REALPATH and READLINK. */
export function nameAnswer(name: string): PacketWriter {
  const packet = new PacketWriter(PacketType.NAME).u32(1);
  return packet.text(name).text(name).u32(0);
}

/** NAME with the entries of a folder; the line of `ls -l` is the name alone. */
export function entriesAnswer(
  entries: readonly FolderEntry[],
): PacketWriter {
  const packet = new PacketWriter(PacketType.NAME).u32(entries.length);
  for (const { name, attributes } of entries) {
    packet.text(name).text(name);
    writeAll(packet, attributes);
  }
  return packet;
}

/** EXTENDED_REPLY of numbers. */
export function numbersAnswer(numbers: readonly number[]): PacketWriter {
  const packet = new PacketWriter(PacketType.EXTENDED_REPLY);
  for (const number of numbers) packet.u64(number);
  return packet;
}

/** VERSION. */
export function versionAnswer(
  extensions: readonly (readonly [name: string, version: string])[],
): PacketWriter {
  const packet = new PacketWriter(PacketType.VERSION).u32(3);
  for (const [name, version] of extensions) packet.text(name).text(version);
  return packet;
}

function writeAll(packet: PacketWriter, of: FileAttributes): PacketWriter {
  return packet.u32(HAS_ALL).u64(of.size).u32(of.uid).u32(of.gid)
    .u32(of.mode).u32(seconds(of.atime)).u32(seconds(of.mtime));
}

/** Times are 32 bits without a sign. */
function seconds(time: number): number {
  return Math.min(Math.max(Math.trunc(time), 0), 0xffffffff);
}

/** The status of each failure, as in OpenSSH. */
const STATUSES: Partial<Record<FileErrorCode, number>> = {
  ENOENT: Status.NO_SUCH_FILE,
  ENOTDIR: Status.NO_SUCH_FILE,
  EBADF: Status.NO_SUCH_FILE,
  ELOOP: Status.NO_SUCH_FILE,
  EPERM: Status.PERMISSION_DENIED,
  EACCES: Status.PERMISSION_DENIED,
  ENAMETOOLONG: Status.BAD_MESSAGE,
  EINVAL: Status.BAD_MESSAGE,
  ENOSYS: Status.OP_UNSUPPORTED,
};

const TEXTS = [
  "Success",
  "End of file",
  "No such file",
  "Permission denied",
  "Failure",
  "Bad message",
  "No connection",
  "Connection lost",
  "Operation unsupported",
];
