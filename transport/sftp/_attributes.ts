import {
  type AttributeChanges,
  type PacketReader,
  type PacketWriter,
  protocolError,
} from "./packets.ts";
import { decodeFileName } from "./names.ts";
import type { SftpDirEntry, SftpFileInfo, SftpFileSystemInfo } from "./file.ts";

const HAS_SIZE = 1;
const HAS_OWNER = 2;
const HAS_MODE = 4;
const HAS_TIMES = 8;
const HAS_EXTENDED = 0x80000000;

/** Of the flags of a file system. */
const READ_ONLY = 1n;

const MAX_ID = 0xffffffff;
/** With the kind of the file, as `stat` tells it. */
const MAX_MODE = 0o177777;

/** A number that does not fit would become another one on its way. */
function checkNumber(
  name: string,
  value: number | undefined,
  highest: number,
): void {
  if (value === undefined) return;
  if (Number.isInteger(value) && value >= 0 && value <= highest) return;
  throw new RangeError(
    `Cannot set ${name}: it is ${value}, must be a whole number from 0 to ${highest}`,
  );
}

/**
 * Turns a time into what SFTP version 3 can carry: 32 bits of seconds.
 *
 * @throws {RangeError} If it is before 1970 or after 2106.
 */
export function seconds(name: string, time: number | Date): number {
  const value = Math.floor(
    typeof time === "number" ? time : time.getTime() / 1000,
  );
  if (value >= 0 && value <= 0xffffffff) return value;
  throw new RangeError(
    `Cannot set ${name} to ${value} seconds since 1970: allowed are 0 to ${0xffffffff}`,
  );
}

/**
 * Writes attributes.
 *
 * @throws {RangeError} If a number is out of range.
 */
export function writeAttributes(
  packet: PacketWriter,
  { size, owner, mode, times }: AttributeChanges,
): PacketWriter {
  checkNumber("size", size, Number.MAX_SAFE_INTEGER);
  checkNumber("uid", owner?.uid, MAX_ID);
  checkNumber("gid", owner?.gid, MAX_ID);
  checkNumber("mode", mode, MAX_MODE);
  packet.u32(
    (size === undefined ? 0 : HAS_SIZE) |
      (owner === undefined ? 0 : HAS_OWNER) |
      (mode === undefined ? 0 : HAS_MODE) |
      (times === undefined ? 0 : HAS_TIMES),
  );
  if (size !== undefined) packet.u64(size);
  if (owner !== undefined) packet.u32(owner.uid).u32(owner.gid);
  if (mode !== undefined) packet.u32(mode);
  if (times !== undefined) packet.u32(times.atime).u32(times.mtime);
  return packet;
}

/** Reads attributes. */
export function readAttributes(packet: PacketReader): SftpFileInfo {
  const flags = packet.u32();
  // Nearly so large where it is beyond what a number holds exactly: who works
  // with it checks that.
  const size = flags & HAS_SIZE ? Number(packet.u64()) : 0;
  const uid = flags & HAS_OWNER ? packet.u32() : null;
  const gid = flags & HAS_OWNER ? packet.u32() : null;
  const mode = flags & HAS_MODE ? packet.u32() : null;
  const atime = flags & HAS_TIMES ? date(packet.u32()) : null;
  const mtime = flags & HAS_TIMES ? date(packet.u32()) : null;
  if (flags & HAS_EXTENDED) skipExtended(packet);
  return { ...typeOf(mode), size, mtime, atime, mode, uid, gid };
}

/** Each pair takes 8 bytes at least, so a huge count soon meets the end. */
function skipExtended(packet: PacketReader): void {
  for (let count = packet.u32(); count > 0; count--) {
    packet.bytes();
    packet.bytes();
  }
}

function date(seconds: number): Date {
  return new Date(seconds * 1000);
}

function typeOf(mode: number | null) {
  const type = mode === null ? 0 : mode & 0o170000;
  return {
    isFile: type === 0o100000,
    isDirectory: type === 0o040000,
    isSymlink: type === 0o120000,
  };
}

interface Named {
  readonly name: string;
  readonly info: SftpFileInfo;
  readonly nlink: number | null;
}

/** Reads the names of an answer, with the attributes of each. */
export function readNames(
  packet: PacketReader,
): Named[] {
  const count = packet.u32();
  // Two lengths and the flags of the attributes are the least a name takes.
  if (count * 12 > packet.left) {
    throw protocolError(`${count} names in ${packet.left} bytes`);
  }
  return Array.from({ length: count }, () => {
    const name = decodeFileName(packet.bytes());
    const longName = packet.bytes();
    const info = readAttributes(packet);
    const nlink = linksIn(longName);
    return info.mode === null
      ? { name, nlink, info: guess(info, longName) }
      : { name, nlink, info };
  });
}

/** The number behind the permissions of a line as of `ls -l`. */
function linksIn(longName: Uint8Array): number | null {
  const start = String.fromCharCode(...longName.subarray(0, 24));
  const [, count] = /^[-bcdlps][-A-Za-z]{9}[.+@]? +(\d{1,9}) /.exec(start) ??
    [];
  return count === undefined || count === "0" ? null : Number(count);
}

/** The first letter of a line as of `ls -l` tells what an old server does not. */
function guess(info: SftpFileInfo, longName: Uint8Array): SftpFileInfo {
  const letter = String.fromCharCode(longName[0] ?? 0);
  return {
    ...info,
    isFile: letter === "-",
    isDirectory: letter === "d",
    isSymlink: letter === "l",
  };
}

/** No system has longer names: 255 characters are the most, of up to 4 bytes. */
const MAX_NAME = 1024;

/** Makes the entries of a folder; `.` and `..` are left out. */
export function dirEntries(packet: PacketReader): SftpDirEntry[] {
  return readNames(packet)
    .filter(({ name }) => name !== "." && name !== "..")
    .map(({ name, info, nlink }) => {
      if (name === "" || /[/\0]/.test(name)) {
        throw protocolError(
          `a folder has an entry whose name is empty, or has "/" or NUL in it`,
        );
      }
      if (name.length > MAX_NAME) {
        throw protocolError(
          `a folder has a name of ${name.length} characters, more than ${MAX_NAME}`,
        );
      }
      const { isFile, isDirectory, isSymlink } = info;
      return { name, isFile, isDirectory, isSymlink, nlink, info };
    });
}

/** Reads the answer of `statvfs@openssh.com`. */
export function readFileSystem(packet: PacketReader): SftpFileSystemInfo {
  packet.u64(); // block size
  const unit = packet.u64();
  const [blocks, free, available] = [packet.u64(), packet.u64(), packet.u64()];
  const [files, freeFiles] = [packet.u64(), packet.u64()];
  packet.u64(); // free files for users other than root
  packet.u64(); // file system id
  const flags = packet.u64();
  return {
    totalBytes: Number(blocks * unit),
    freeBytes: Number(free * unit),
    availableBytes: Number(available * unit),
    totalFiles: Number(files),
    freeFiles: Number(freeFiles),
    isReadOnly: (flags & READ_ONLY) !== 0n,
  };
}
