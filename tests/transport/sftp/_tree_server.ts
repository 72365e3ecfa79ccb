// A server whose folders have what a test says, however many that are.

import {
  type PacketReader,
  PacketType,
} from "../../../transport/sftp/packets.ts";
import { FakeServer, u32 } from "./_fake_server.ts";

const ENCODER = new TextEncoder();

/** The mode of a folder. */
export const FOLDER = 0o040755;
/** The mode of a file. */
export const FILE = 0o100644;

/** The code behind the last name of a folder that can be read. */
export const EOF = 1;
/** That of one that is gone. */
export const GONE = 2;
/** That of one that may not be read. */
export const DENIED = 3;

/** How many names an answer has at most. */
const NAMES = 200;

/** What a folder has: the name and mode of each entry. */
export type Entries = readonly (readonly [name: string, mode: number])[];

/** Joins the parts of an answer. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, it) => sum + it.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** An entry of a NAME, without a long name. */
function entry([name, mode]: Entries[number]): Uint8Array {
  const text = ENCODER.encode(name);
  const bytes = new Uint8Array(text.length + 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, text.length);
  bytes.set(text, 4);
  view.setUint32(text.length + 8, 4);
  view.setUint32(text.length + 12, mode);
  return bytes;
}

/** What comes behind the id of each NAME that lists a folder. */
function answers(entries: Entries): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < entries.length; at += NAMES) {
    const some = entries.slice(at, at + NAMES);
    found.push(joined([Uint8Array.from(u32(some.length)), ...some.map(entry)]));
  }
  return found;
}

/**
 * Starts a server on which all is a folder that a client names, and all that is
 * to be removed can be.
 *
 * @param list What a folder has, by its path. Called once for each.
 * @param end The code of the status behind the last name, by the path.
 */
export function treeServer(
  list: (path: string) => Entries,
  end: (path: string) => number = () => EOF,
): FakeServer {
  const left = new Map<string, { answers: Uint8Array[]; code: number }>();
  const encoded = new WeakMap<Entries, Uint8Array[]>();
  const answersOf = (entries: Entries) => {
    const known = encoded.get(entries) ?? answers(entries);
    encoded.set(entries, known);
    return [...known];
  };
  let handles = 0;
  const text = (body: PacketReader) => new TextDecoder().decode(body.bytes());
  const names = (id: number, content: Uint8Array, server: FakeServer) => {
    const head = [...u32(5 + content.length), PacketType.NAME, ...u32(id)];
    server.raw(joined([Uint8Array.from(head), content]));
  };
  return new FakeServer(({ type, id, body }, server) => {
    switch (type) {
      case PacketType.STAT:
      case PacketType.LSTAT: {
        const mode = [...u32(4), ...u32(FOLDER)];
        return server.packet(PacketType.ATTRS, ...u32(id), ...mode);
      }
      case PacketType.REALPATH: {
        const [answer] = answers([[`/${text(body)}`, FOLDER]]);
        return names(id, answer!, server);
      }
      case PacketType.OPENDIR: {
        const handle = `h${++handles}`;
        const path = text(body);
        left.set(handle, { answers: answersOf(list(path)), code: end(path) });
        return server.handle(id, handle);
      }
      case PacketType.READDIR: {
        const { answers, code } = left.get(text(body))!;
        const answer = answers.shift();
        if (answer === undefined) return server.status(id, code);
        return names(id, answer, server);
      }
      default:
        return server.status(id, 0);
    }
  });
}

/** How many folders a path has below its first one. */
export function depthOf(path: string): number {
  return path.split("/").length - 1;
}
