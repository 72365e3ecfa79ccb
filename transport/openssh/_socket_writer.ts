/**
 * Writes packets to the control socket of a master.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { Outbox } from "../channels/outbox.ts";
import { PacketMemory } from "./_packet_memory.ts";

/** Packets from this size on are written without a copy. */
const LARGE_BYTES = 16 * 1024;

interface Piece {
  readonly bytes: Uint8Array;
  /** Called when its memory is no longer needed; it is written alone then. */
  readonly written?: () => void;
}

/**
 * Writes packets in order: small ones of a turn joined, large ones from memory
 * that is used again. One write at a time: what a socket is given meanwhile
 * Deno copies into one piece, as much garbage as data.
 */
export class SocketWriter {
  readonly #socket: Socket;
  readonly #onDrain: () => void;
  readonly #small: Outbox;
  readonly #large: PacketMemory;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  #isWriting = false;

  /**
   * @param socket Where to.
   * @param onDrain Called when all that was sent is with the system.
   */
  constructor(socket: Socket, onDrain: () => void) {
    this.#socket = socket;
    this.#onDrain = onDrain;
    this.#small = new Outbox((bytes) => this.#write({ bytes }));
    this.#large = new PacketMemory((bytes, written) =>
      this.#write({ bytes, written })
    );
  }

  /** Bytes that were sent and are not with the system. */
  get unsentBytes(): number {
    return this.#queuedBytes + this.#small.bytes + this.#large.bytes;
  }

  /** Returns memory for a packet. */
  alloc(size: number): Buffer {
    return (size < LARGE_BYTES ? undefined : this.#large.take(size)) ??
      Buffer.allocUnsafe(size);
  }

  /** Sends a packet of `alloc()`, at the latest at the end of the turn. */
  send(packet: Buffer): void {
    // What is held of the other kind goes first.
    if (this.#large.owns(packet)) {
      this.#small.flush();
      this.#large.send(packet);
    } else {
      this.#large.flush();
      this.#small.push(packet);
    }
  }

  /** Forgets what was not written. */
  drop(): void {
    this.#small.drop();
    this.#large.drop();
    this.#queue.length = 0;
  }

  #write(piece: Piece): void {
    this.#queue.push(piece);
    this.#queuedBytes += piece.bytes.length;
    if (!this.#isWriting) this.#next();
  }

  #next(): void {
    const piece = this.#take();
    this.#isWriting = piece !== undefined;
    if (piece === undefined) return this.#onDrain();
    this.#socket.write(piece.bytes, () => {
      this.#queuedBytes -= piece.bytes.length;
      piece.written?.();
      this.#next();
    });
  }

  /** Takes the next piece, or all small ones that are next, as one. */
  #take(): Piece | undefined {
    const queue = this.#queue;
    const end = queue.findIndex(({ written }) => written !== undefined);
    const small = end < 0 ? queue.length : end;
    if (small < 2) return queue.shift();
    const pieces = queue.splice(0, small).map(({ bytes }) => bytes);
    return { bytes: Buffer.concat(pieces) };
  }
}
