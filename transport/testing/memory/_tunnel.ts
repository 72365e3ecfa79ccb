/** Tunnels in memory: two ends, or one whose bytes come back. */

import type { Tunnel } from "../../connector.ts";
import { ByteQueue } from "../scripts/byte_queue.ts";

/** One end of a tunnel. It ends when either end is closed, or with its hop. */
export class MemoryTunnel implements Tunnel {
  /** Where it leads to, as `hostname:port` or a path. */
  readonly target: string;
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly closed: Promise<void>;
  readonly #queues: readonly ByteQueue[];

  /** @param outgoing What the other end reads. Default: what this one reads. */
  constructor(
    target: string,
    incoming: ByteQueue,
    outgoing: ByteQueue = incoming,
  ) {
    this.target = target;
    this.#queues = [incoming, outgoing];
    this.closed = incoming.over().then(() => outgoing.over());
    this.readable = incoming.stream();
    this.writable = new WritableStream({
      write: async (chunk) => {
        if (!outgoing.isOver) await outgoing.push(chunk);
        else throw new TypeError(`The tunnel to ${target} has ended`);
      },
      close: () => outgoing.end(),
      abort: () => outgoing.end(),
    });
  }

  close(): void {
    for (const queue of this.#queues) queue.end();
  }

  /** Breaks it off, at both ends: what is unread is lost. */
  fail(error: unknown): void {
    for (const queue of this.#queues) queue.end({ error });
  }
}

/** Both ends of a tunnel. */
export function tunnelPair(target: string): [MemoryTunnel, MemoryTunnel] {
  const [one, other] = [new ByteQueue(), new ByteQueue()];
  return [
    new MemoryTunnel(target, one, other),
    new MemoryTunnel(target, other, one),
  ];
}
