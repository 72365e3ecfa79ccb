/**
 * The two windows of a channel: what may come, and what may be sent.
 *
 * @module
 */

import { type PacketTransport, ProtocolViolation } from "./packet_transport.ts";
import { CHANNEL_WINDOW_ADJUST, sendData, sendMessage } from "./_wire.ts";

/** What a server may send before it hears that there is room again. */
export const WINDOW_BYTES = 2 * 1024 * 1024;
/** The largest piece of data that goes either way. */
export const PACKET_BYTES = 32 * 1024;
/** With this little left the window is opened again. */
const REFILL_BYTES = WINDOW_BYTES / 2;
/** As much as OpenSSH's client puts up with: there are servers that miscount. */
const TOLERATED_BYTES = WINDOW_BYTES / 10;
/**
 * The smallest packets that a server may ask for. Real ones ask for 16 KiB and
 * more; with a few bytes each a channel costs more than it carries, and with
 * none it would never end.
 */
const MIN_PACKET_BYTES = 512;
/**
 * With so much unsent the far side's window counts no more: one of 4 GiB would
 * have us read a whole input into memory that a server does not take.
 */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024;
/** RFC 4254 section 5.2. */
const MAX_WINDOW_BYTES = 2 ** 32 - 1;

/** What the server may send on a channel. */
export class InboundWindow {
  readonly #transport: PacketTransport;
  #bytes = WINDOW_BYTES;

  constructor(transport: PacketTransport) {
    this.#transport = transport;
  }

  /**
   * Counts what has come.
   *
   * @throws {ProtocolViolation} If it is more than we granted.
   */
  take(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes >= -TOLERATED_BYTES) return;
    throw new ProtocolViolation(
      `the server sent ${-this.#bytes} bytes more on a channel than its ` +
        "window allows",
    );
  }

  /** Grants the whole window again, once half of it is used. */
  refill(remoteId: number): void {
    if (this.#bytes > REFILL_BYTES) return;
    const more = WINDOW_BYTES - this.#bytes;
    this.#bytes = WINDOW_BYTES;
    sendMessage(this.#transport, CHANNEL_WINDOW_ADJUST, [remoteId, more]);
  }
}

/**
 * Checks the largest piece of data that the server takes on a channel.
 *
 * @throws {ProtocolViolation} If it is too small.
 */
export function checkPackets(maxPacket: number): void {
  if (maxPacket >= MIN_PACKET_BYTES) return;
  throw new ProtocolViolation(
    `the server takes packets of ${maxPacket} bytes at most, must be at ` +
      `least ${MIN_PACKET_BYTES}`,
  );
}

/** What we may send on a channel, and what waits for the window or the link. */
export class OutboundWindow {
  readonly #transport: PacketTransport;
  readonly #remoteId: number;
  readonly #maxPacket: number;
  /** What its transport likes best. */
  readonly #usualPacket: number;
  #bytes: number;
  #rest: Uint8Array | undefined;
  #onSent: (() => void) | undefined;

  /**
   * @param transport Carries the data.
   * @param remoteId The server's number of the channel.
   * @param bytes What it lets us send at first.
   * @param maxPacket The largest piece of data that it takes.
   * @throws {ProtocolViolation} If that is too small.
   */
  constructor(
    transport: PacketTransport,
    remoteId: number,
    bytes: number,
    maxPacket: number,
  ) {
    checkPackets(maxPacket);
    this.#transport = transport;
    this.#remoteId = remoteId;
    this.#bytes = bytes;
    this.#maxPacket = Math.min(maxPacket, PACKET_BYTES);
    const usual = transport.usualDataBytes ?? PACKET_BYTES;
    this.#usualPacket = Math.min(maxPacket, usual);
  }

  /** Whether a write waits for the window. */
  get isFull(): boolean {
    return this.#rest !== undefined;
  }

  /**
   * Sends data, as the window allows. One write at a time.
   *
   * @returns `undefined` if all of it was sent, else a promise that resolves
   * when it was, or after `drop()`.
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    // One that waits may have been given room in this turn.
    this.retry(false);
    this.#rest = this.#push(chunk);
    if (this.#rest === undefined) return undefined;
    return new Promise((resolve) => this.#onSent = resolve);
  }

  /**
   * The server opens the window: `retry()` is due.
   *
   * @throws {ProtocolViolation} If it opens it further than there are numbers.
   */
  open(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > MAX_WINDOW_BYTES) {
      throw new ProtocolViolation("the server opened a window too far");
    }
  }

  /**
   * Sends what waits and may be sent.
   *
   * @param isTurn Whether a packet may go although much is unsent again.
   */
  retry(isTurn: boolean): void {
    if (this.#rest === undefined) return;
    this.#rest = this.#push(this.#rest, isTurn);
    if (this.#rest === undefined) this.drop();
  }

  /** Forgets what waits; the write resolves. */
  drop(): void {
    this.#rest = undefined;
    const onSent = this.#onSent;
    this.#onSent = undefined;
    onSent?.();
  }

  /** The usual size, unless that takes one packet more. */
  #packetFor(bytes: number): number {
    const [usual, most] = [this.#usualPacket, this.#maxPacket];
    return Math.ceil(bytes / usual) > Math.ceil(bytes / most) ? most : usual;
  }

  /** Sends what may be sent, and returns the rest. */
  #push(chunk: Uint8Array, isTurn = false): Uint8Array | undefined {
    let at = 0;
    while (at < chunk.length) {
      const mayGo = (isTurn && at === 0) ||
        this.#transport.unsentBytes < MAX_UNSENT_BYTES;
      if (!mayGo) return chunk.subarray(at);
      const size = Math.min(
        chunk.length - at,
        this.#bytes,
        this.#packetFor(chunk.length - at),
      );
      if (size === 0) return chunk.subarray(at);
      this.#bytes -= size;
      sendData(this.#transport, this.#remoteId, chunk.subarray(at, at + size));
      at += size;
    }
    return undefined;
  }
}
