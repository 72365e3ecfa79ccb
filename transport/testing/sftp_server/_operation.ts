/** What an SFTP server does for one request: the shape that all of them have. */

import type { PacketReader } from "../../sftp/packets.ts";
import { decodeFileName } from "../../sftp/names.ts";
import { done, type SftpAnswer } from "./_answers.ts";
import type { Handles } from "./_handles.ts";
import type { SftpOperation, SftpRequest } from "./request.ts";
import {
  type FileChanges,
  FileError,
  type ServedFiles,
} from "./served_files.ts";

/** What requests work on. */
export interface ServerState {
  readonly files: ServedFiles;
  readonly handles: Handles;
}

/** A request that was read: what it asks for, and how that is done. */
export interface DecodedRequest extends Omit<SftpRequest, "number"> {
  /** Does it; a failure is answered with a status. */
  run(): SftpAnswer;
}

/** Reads a request behind its id. Throws if it is malformed. */
export type Read = (packet: PacketReader, state: ServerState) => DecodedRequest;

/** Does a request; nothing is answered with "Success". */
type Run<Args extends readonly unknown[]> = (
  state: ServerState,
  ...args: Args
) => SftpAnswer | void;

/** A request that names a path, and then what `more` reads. */
export function onPath<More = void>(
  operation: SftpOperation,
  run: Run<[path: string, more: More]>,
  more: (packet: PacketReader) => More = () => undefined as More,
): Read {
  return (packet, state) => {
    const path = readText(packet);
    const rest = more(packet);
    return { operation, path, run: () => run(state, path, rest) ?? done() };
  };
}

/** A request that names two paths: the one that is asked about comes first. */
export function onTwoPaths(
  operation: SftpOperation,
  run: Run<[path: string, target: string]>,
  order: "path first" | "target first" = "path first",
): Read {
  return (packet, state) => {
    const both = [readText(packet), readText(packet)] as [string, string];
    if (order === "target first") both.reverse();
    const [path, target] = both;
    return {
      operation,
      path,
      target,
      run: () => run(state, ...both) ?? done(),
    };
  };
}

/** A request that names a handle, and then what `more` reads. */
export function onHandle<More = void>(
  operation: SftpOperation,
  run: Run<[name: Uint8Array, more: More]>,
  more: (packet: PacketReader) => More = () => undefined as More,
): Read {
  return (packet, state) => {
    const name = packet.bytes();
    const rest = more(packet);
    return {
      operation,
      path: state.handles.pathOf(name),
      run: () => run(state, name, rest) ?? done(),
    };
  };
}

/** Reads a path or a name. */
export function readText(packet: PacketReader): string {
  return decodeFileName(packet.bytes());
}

/** Reads an offset or a size. One that no file can have is answered with a failure. */
export function readPosition(packet: PacketReader): number {
  const position = Number(packet.u64());
  if (!Number.isSafeInteger(position)) throw new FileError("EINVAL");
  return position;
}

/** Reads attributes: those that are to change. */
export function readChanges(packet: PacketReader): FileChanges {
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
