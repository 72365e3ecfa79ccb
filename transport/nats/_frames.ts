/**
 * What goes over the bus: frames, subjects, and the checks of what comes.
 *
 * @module
 */

/** What a frame is: its first byte. Then come four bytes of its number. */
export const Frame = {
  /** Opens a stream: what is wanted, as JSON. */
  open: 1,
  /**
   * The channel is open; with one byte of 1, the command waits for `go`. Left
   * out for a command that is collected and does not wait.
   */
  opened: 2,
  /** What was asked for is there: JSON, or nothing. */
  started: 3,
  /** Standard output, or bytes of a tunnel to the client. */
  out: 4,
  /** Standard error. */
  err: 5,
  /** The end, in order: the code in four bytes, or the status as JSON. */
  exit: 6,
  /** The end: an error, as JSON. */
  fail: 7,
  /** Standard input, or bytes of a tunnel to the worker. */
  input: 8,
  /** No more bytes in this direction. */
  eof: 9,
  /** A signal for the process: its name, as JSON. */
  signal: 10,
  /** The new size of the terminal, as JSON. */
  resize: 11,
  /** End it. */
  stop: 12,
  /** It was ended, as asked; of a connection: why, as JSON. */
  closed: 13,
  /** So many more bytes may be sent: four bytes. */
  credit: 14,
  /** Take no new work here: the host moves. */
  drain: 15,
  /** Nobody knows this stream. */
  reset: 16,
  /** The host has taken a connection: the name of its stream, as JSON. */
  incoming: 17,
  /** The command waits, and runs after `go` alone. */
  queued: 18,
  /** Run the command that waits. */
  go: 19,
} as const;

/** Bytes before the payload of a frame. */
export const HEADER_BYTES = 5;
/** The most bytes of data in a frame. */
export const CHUNK_BYTES = 128 * 1024;
/** The most bytes of JSON: what a NATS server takes by default is 1 MiB. */
const MAX_JSON_BYTES = 1000 * 1024;

const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The peer sent what no peer may send. */
export class Violation extends Error {}

/** Makes a frame. */
export function busFrame(
  type: number,
  seq: number,
  payload: Uint8Array = NOTHING,
): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  frame[0] = type;
  new DataView(frame.buffer).setUint32(1, seq);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Makes four bytes of a number. */
export function wordBytes(word: number): Uint8Array {
  return Uint8Array.of(word >>> 24, word >>> 16, word >>> 8, word);
}

/** A number of four bytes. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0);
}

/** JSON as bytes. */
export function jsonBytes(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/**
 * Parses JSON that came from the bus.
 *
 * @throws {Violation} If it is none.
 */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length > MAX_JSON_BYTES) throw new Violation("JSON is too long");
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    throw new Violation("JSON is malformed");
  }
}

/**
 * Parses a JSON object that came from the bus.
 *
 * @throws {Violation} If it is none.
 */
export function parseObject(bytes: Uint8Array): Record<string, unknown> {
  const value = parseJson(bytes);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Violation("JSON is no object");
  }
  return value as Record<string, unknown>;
}

const ID = /^[0-9a-f]{32}$/;

/** Whether a value is the name of a stream. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && ID.test(value);
}

/** A name that nobody can guess. */
export function newId(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/** One part of a subject. */
const TOKEN = /^[A-Za-z0-9_%-]{1,255}$/;

/** Whether a value can be a part of a subject as it is. */
export function isToken(value: unknown): value is string {
  return typeof value === "string" && TOKEN.test(value);
}

/** What the subjects of peers look like: workers, or clients. */
export function peersOf(prefix: string, kind: "w" | "c"): RegExp {
  return new RegExp(
    `^${prefix}\\.${kind}\\.[A-Za-z0-9_-]{1,255}\\.[0-9a-f]{32}$`,
  );
}

/** A name of a host as one part of a subject. */
export function tokenOf(name: string): string {
  return encodeURIComponent(name).replace(
    /[.*!'()~]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The name that a part of a subject stands for; `undefined` if it is none. */
export function hostOfToken(token: string | undefined): string | undefined {
  if (!isToken(token)) return undefined;
  try {
    const name = decodeURIComponent(token);
    return tokenOf(name) === token ? name : undefined;
  } catch {
    return undefined;
  }
}

/** A promise, and what settles it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** `Promise.withResolvers()`, which Node 20 lacks. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
