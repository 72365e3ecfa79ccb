/**
 * The audit in a ping: what is lost on the bus is lost, and not silent.
 *
 * @module
 */

import { wordAt } from "./_frames.ts";
import type { Stream } from "./_stream.ts";

/** The name of a stream. */
const ID_BYTES = 16;
/** One stream in a ping: its name, and how many frames were sent. */
export const AUDIT_BYTES = ID_BYTES + 4;
/** Streams that one ping audits: the rest has its turn with the next. */
export const AUDITED = 4_000;

/** The streams of a peer, by their names. */
type Streams = ReadonlyMap<string, Stream>;

/** Makes the audit of what was sent on some streams. */
export function auditOf(streams: readonly Stream[]): Uint8Array {
  const bytes = new Uint8Array(streams.length * AUDIT_BYTES);
  const view = new DataView(bytes.buffer);
  streams.forEach(({ id, sent }, index) => {
    writeId(bytes, index * AUDIT_BYTES, id);
    view.setUint32(index * AUDIT_BYTES + ID_BYTES, sent);
  });
  return bytes;
}

/** How many streams an audit names. */
export function countOf(audit: Uint8Array): number {
  return audit.length / AUDIT_BYTES;
}

/**
 * Compares the audit of one peer with what was received here, and loses the
 * streams with it that are not complete.
 *
 * @returns The verdict: the streams that are not known here, or not complete.
 */
export function verdictOn(
  audit: Uint8Array,
  streams: Streams,
  remote: string,
): Uint8Array {
  const bad: string[] = [];
  const end = Math.min(audit.length, AUDITED * AUDIT_BYTES);
  for (let at = 0; at + AUDIT_BYTES <= end; at += AUDIT_BYTES) {
    const id = readId(audit, at);
    const stream = streams.get(id);
    const isOurs = stream?.remote === remote;
    if (isOurs && stream.received === wordAt(audit, at + ID_BYTES)) continue;
    bad.push(id);
    // Whoever else has learnt the name of a stream does not disturb it.
    if (!isOurs) continue;
    const message = "frames were lost on the bus";
    stream.lose({ message, isUndelivered: false });
  }
  const bytes = new Uint8Array(bad.length * ID_BYTES);
  bad.forEach((id, index) => writeId(bytes, index * ID_BYTES, id));
  return bytes;
}

/** Loses the streams with one peer that its verdict names. */
export function heed(
  verdict: Uint8Array,
  streams: Streams,
  remote: string,
): void {
  for (let at = 0; at + ID_BYTES <= verdict.length; at += ID_BYTES) {
    const stream = streams.get(readId(verdict, at));
    if (stream?.remote !== remote) continue;
    const message = "the other side does not know it, or not all of it";
    stream.lose({ message, isUndelivered: false });
  }
}

function writeId(bytes: Uint8Array, at: number, id: string): void {
  for (let i = 0; i < ID_BYTES; i++) {
    bytes[at + i] = parseInt(id.slice(2 * i, 2 * i + 2), 16);
  }
}

/** Each byte as text: a ping names thousands of streams. */
const HEX = Array.from(
  { length: 256 },
  (_, byte) => byte.toString(16).padStart(2, "0"),
);

function readId(bytes: Uint8Array, at: number): string {
  let id = "";
  for (let i = 0; i < ID_BYTES; i++) id += HEX[bytes[at + i]!];
  return id;
}
