import { collectBytes, joinBytes } from "../bytes.ts";
import type { Handle, SftpCall } from "./_call.ts";
import { diagnosed, lookForFolder } from "./_diagnose.ts";
import { quotedPath, SftpError } from "./errors.ts";
import type { SftpReadFileOptions } from "./options.ts";
import { OpenFlag } from "./packets.ts";

/** What is asked for ahead of the reader at most, however small it is. */
const MAX_REQUESTS = 128;

/** How many pieces a stretch is kept in: each takes memory beside its bytes. */
const MAX_PIECES = 64;

/** Options of {@linkcode readAhead}. */
export interface ReadAheadOptions {
  /** Where to begin. */
  readonly offset?: number | undefined;
  /** Where to stop, without asking for more; by default at the end of file. */
  readonly end?: number | undefined;
  /** Whether a piece is no longer needed when the next is asked for. */
  readonly reuse?: boolean | undefined;
  /** See `SftpRangeOptions.onSent`. */
  readonly onSent?: (() => void) | undefined;
}

/**
 * Reads a file in order, with many requests in flight.
 *
 * ```
 *   given | 256K | 256K | 128K ... | 256K |  asked next
 *            ^ head           ^ a short answer: the rest is asked for again
 * ```
 *
 * The window begins with two requests and doubles, so that a small file costs
 * few of them. The size that `stat` tells is never trusted: a file ends where
 * the server says so.
 */
export async function* readAhead(
  call: SftpCall,
  handle: Handle,
  { offset = 0, end = Infinity, reuse = false, onSent }: ReadAheadOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const stop = new AbortController();
  const signal = call.signal === undefined
    ? stop.signal
    : AbortSignal.any([call.signal, stop.signal]);
  const reading = call.withSignal(signal);
  const inFlight: Promise<Slot>[] = [];
  let count = end === Infinity ? 2 : MAX_REQUESTS;
  let chunk = call.protocol.maxReadBytes;
  let next = offset;
  const { requests } = call.protocol;
  const { buffers } = requests;
  const asked = () => {
    if (next >= end && call.protocol.keepsOrder) onSent?.();
  };
  const ask = () => {
    if (next >= end) return;
    const most = Math.min(count, Math.ceil(requests.windowBytes / chunk));
    while (inFlight.length < most && next < end) {
      const length = Math.min(chunk, end - next);
      const range = { offset: next, length, asked };
      const slot = fill(reading, handle, range);
      slot.catch(() => {}); // seen when its turn comes, if it comes
      inFlight.push(slot);
      next += length;
    }
    asked();
  };
  if (reuse) buffers.enter();
  try {
    for (;;) {
      ask();
      const head = inFlight.shift();
      if (head === undefined) return;
      const { pieces, isLast, largest } = await head;
      for (const piece of pieces) {
        yield piece;
        if (reuse) buffers.giveBack(piece);
      }
      if (isLast) return;
      count = Math.min(count * 2, MAX_REQUESTS);
      // A server that answers with less than it is asked for has its own limit.
      chunk = Math.min(call.protocol.maxReadBytes, Math.max(largest, 4096));
    }
  } finally {
    if (reuse) buffers.leave();
    stop.abort(new DOMException("No longer needed", "AbortError"));
  }
}

interface Slot {
  readonly pieces: readonly Uint8Array[];
  /** Whether the file ended in it. */
  readonly isLast: boolean;
  /** The largest answer. */
  readonly largest: number;
}

interface Stretch {
  readonly offset: number;
  readonly length: number;
  /** Called after each request but the first. */
  asked(): void;
}

/** Reads one stretch until it is full or the file ends. */
async function fill(
  call: SftpCall,
  handle: Handle,
  { offset, length, asked }: Stretch,
): Promise<Slot> {
  let pieces: Uint8Array[] = [];
  let [filled, largest] = [0, 0];
  while (filled < length) {
    const [from, count] = [offset + filled, length - filled];
    const reading = call.read(handle, from, count);
    if (filled > 0) asked();
    const piece = await reading;
    if (piece === null) return { pieces, isLast: true, largest };
    pieces.push(piece);
    if (pieces.length > MAX_PIECES) pieces = [joinBytes(pieces)];
    filled += piece.length;
    largest = Math.max(largest, piece.length);
  }
  return { pieces, isLast: false, largest };
}

/** How much a file may have that is read whole, in bytes. */
const MAX_FILE_BYTES = 1024 * 1024 * 1024;

/** Reads all of a file. */
export async function readFile(
  call: SftpCall,
  { maxBytes = MAX_FILE_BYTES }: SftpReadFileOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  let left = maxBytes;
  const count = (length: number) => {
    if ((left -= length) >= 0) return;
    const { path, host } = call;
    throw new SftpError(
      "SSH_SFTP_TRANSFER_REFUSED",
      `Cannot read ${quotedPath(path)}: it has more than ${maxBytes} bytes, ` +
        "which maxBytes allows",
      { host, path },
    );
  };
  const handle = await call.open(OpenFlag.READ);
  try {
    return await diagnosed(
      call,
      () => collectBytes(readAhead(call, handle), count),
      lookForFolder,
    );
  } finally {
    call.closeUnobserved(handle);
  }
}
