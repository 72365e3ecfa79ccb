/**
 * The encoding of SFTP version 3 (draft-ietf-secsh-filexfer-02): one class that
 * writes requests, and one that reads answers and trusts no length in them.
 *
 * @module
 */

import { SftpError } from "./errors.ts";
import { encodeFileName } from "./names.ts";

/** The types of packets. */
export const PacketType = {
  INIT: 1,
  VERSION: 2,
  OPEN: 3,
  CLOSE: 4,
  READ: 5,
  WRITE: 6,
  LSTAT: 7,
  FSTAT: 8,
  SETSTAT: 9,
  FSETSTAT: 10,
  OPENDIR: 11,
  READDIR: 12,
  REMOVE: 13,
  MKDIR: 14,
  RMDIR: 15,
  REALPATH: 16,
  STAT: 17,
  RENAME: 18,
  READLINK: 19,
  SYMLINK: 20,
  STATUS: 101,
  HANDLE: 102,
  DATA: 103,
  NAME: 104,
  ATTRS: 105,
  EXTENDED: 200,
  EXTENDED_REPLY: 201,
} as const;

/** The status codes. */
export const Status = {
  OK: 0,
  EOF: 1,
  NO_SUCH_FILE: 2,
  PERMISSION_DENIED: 3,
  FAILURE: 4,
  BAD_MESSAGE: 5,
  NO_CONNECTION: 6,
  CONNECTION_LOST: 7,
  OP_UNSUPPORTED: 8,
} as const;

/** The flags of an open. */
export const OpenFlag = {
  READ: 1,
  WRITE: 2,
  APPEND: 4,
  CREATE: 8,
  TRUNCATE: 16,
  EXCLUSIVE: 32,
} as const;

/** What a file is to become. Owner and group go together, and both times. */
export interface AttributeChanges {
  readonly size?: number | undefined;
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  readonly mode?: number | undefined;
  /** In seconds since 1970. */
  readonly times?:
    | { readonly atime: number; readonly mtime: number }
    | undefined;
}

/** The largest answer that is accepted; servers stay below 256 KiB and a bit. */
export const MAX_PACKET_BYTES = 1024 * 1024;

/**
 * Makes the error of a broken answer.
 *
 * @param detail What is wrong with it.
 * @returns The error.
 */
export function protocolError(detail: string): SftpError {
  return new SftpError(
    "SSH_SFTP_PROTOCOL",
    `Cannot understand the SFTP server: ${detail}`,
  );
}

/** Writes one packet. The first 4 bytes are its length, set at the end. */
export class PacketWriter {
  /** The type of the packet. */
  readonly type: number;
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 5;
  readonly #hasId: boolean;

  /**
   * Begins a packet.
   *
   * @param type Its type. Room for an id follows, except in INIT and VERSION.
   */
  constructor(type: number) {
    this.type = type;
    this.#bytes[4] = type;
    this.#hasId = type !== PacketType.INIT && type !== PacketType.VERSION;
    if (this.#hasId) this.#length = 9;
  }

  /** Adds a 32-bit number. */
  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value >>> 0);
    this.#length += 4;
    return this;
  }

  /** Adds a 64-bit number. */
  u64(value: number): this {
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, BigInt(value));
    this.#length += 8;
    return this;
  }

  /** Adds bytes with their length before them. */
  bytes(value: Uint8Array): this {
    this.u32(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** Adds a path or a name with its length before it. */
  text(value: string): this {
    return this.bytes(encodeFileName(value));
  }

  /**
   * Ends the packet.
   *
   * @param id The id of the request; not used where there is none.
   * @param payloadBytes How many bytes are sent after what this returns, as
   * part of the packet.
   * @returns The packet.
   */
  finish(id: number, payloadBytes = 0): Uint8Array {
    this.#view.setUint32(0, this.#length - 4 + payloadBytes);
    if (this.#hasId) this.#view.setUint32(5, id);
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array((this.#length + count) * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/**
 * Begins a request of an extension.
 *
 * @param name The name of the extension, such as `"fsync@openssh.com"`.
 * @returns The packet, to be filled in.
 */
export function extended(name: string): PacketWriter {
  return new PacketWriter(PacketType.EXTENDED).text(name);
}

/** Reads one answer. Throws a protocol error rather than reading past its end. */
export class PacketReader {
  /** The type of the packet. */
  readonly type: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 1;

  /**
   * Takes a packet without its length field.
   *
   * @param bytes The packet, one byte at least.
   */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.type = bytes[0] ?? 0;
  }

  /** How many bytes are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Reads a 32-bit number. */
  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  /** Reads a 64-bit number: who makes it a `number` says what becomes of large ones. */
  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8));
  }

  /** Reads bytes that have their length before them: a view, not a copy. */
  bytes(): Uint8Array {
    const length = this.u32();
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  #advance(count: number): number {
    const start = this.#at;
    if (count > this.left) {
      throw protocolError(
        `a field of ${count} bytes in a packet (type ${this.type}) with ${this.left} bytes left`,
      );
    }
    this.#at += count;
    return start;
  }
}
