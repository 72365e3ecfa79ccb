/** How an SFTP server reads a request, and the shape that all of them have. */

import {
  type AttributeChanges,
  type PacketReader,
  type PacketWriter,
  Status,
} from "../../sftp/packets.ts";
import { decodeFileName } from "../../sftp/names.ts";
import { FileError } from "../files/file_error.ts";
import type { MemoryTree } from "../files/memory_tree.ts";
import { statusAnswer } from "./_answers.ts";
import type { Handles } from "./_handles.ts";
import type { SftpRequest } from "./request.ts";

/** The most that one READ gives and one WRITE takes, in bytes. */
export const MAX_DATA_BYTES: number = 255 * 1024;

/** What requests work on. */
export interface ServerState {
  readonly files: MemoryTree;
  readonly handles: Handles;
}

/** A request that was read: what it asks for, and how that is done. */
export interface DecodedRequest extends Omit<SftpRequest, "number"> {
  /** Does it; a failure is answered with a status. */
  run(): PacketWriter;
}

/** Reads the fields of a request. Throws if it is malformed. */
export type Reader = (
  packet: PacketReader,
  state: ServerState,
) => Omit<DecodedRequest, "operation">;

/** The fields of requests, and how each is read. */
const FIELDS = {
  path: readText,
  target: readText,
  handle: (packet: PacketReader) => packet.bytes(),
  toHandle: (packet: PacketReader) => packet.bytes(),
  offset: readPosition,
  toOffset: readPosition,
  /** 0 is all that there is. */
  range: readPosition,
  length: (packet: PacketReader) => Math.min(packet.u32(), MAX_DATA_BYTES),
  data: (packet: PacketReader) => packet.bytes(),
  flags: (packet: PacketReader) => packet.u32(),
  changes: readChanges,
};

type Fields = {
  [Name in keyof typeof FIELDS]: ReturnType<(typeof FIELDS)[Name]>;
};

/**
 * Makes the reader of a kind of request.
 *
 * @param names Its fields, in their order.
 * @param run Does it; nothing is answered with "Success".
 */
export function on<Name extends keyof Fields>(
  names: readonly Name[],
  run: (it: ServerState & Pick<Fields, Name>) => PacketWriter | void,
): Reader {
  return (packet, state) => {
    const fields: Partial<Fields> = Object.fromEntries(
      names.map((name) => [name, FIELDS[name](packet)]),
    );
    const pathOf = (handle: Uint8Array | undefined) =>
      handle && state.handles.get(handle)?.path;
    return {
      path: fields.path ?? pathOf(fields.handle),
      target: fields.target ?? pathOf(fields.toHandle),
      offset: fields.offset,
      length: fields.length ?? fields.range ?? fields.data?.length,
      run: () =>
        run({ ...state, ...fields as Pick<Fields, Name> }) ??
          statusAnswer(Status.OK),
    };
  };
}

/** Reads a path or a name. */
export function readText(packet: PacketReader): string {
  return decodeFileName(packet.bytes());
}

/** Reads an offset or a size. One that no file can have is answered with a failure. */
function readPosition(packet: PacketReader): number {
  const position = Number(packet.u64());
  if (!Number.isSafeInteger(position)) throw new FileError("EINVAL");
  return position;
}

/** Reads attributes: those that are to change. */
function readChanges(packet: PacketReader): AttributeChanges {
  const flags = packet.u32();
  const changes = {
    size: flags & 1 ? readPosition(packet) : undefined,
    owner: flags & 2 ? { uid: packet.u32(), gid: packet.u32() } : undefined,
    mode: flags & 4 ? packet.u32() & 0o7777 : undefined,
    times: flags & 8 ? { atime: packet.u32(), mtime: packet.u32() } : undefined,
  };
  if (flags & 0x80000000) {
    for (let count = packet.u32(); count > 0; count--) {
      packet.bytes();
      packet.bytes();
    }
  }
  return changes;
}
