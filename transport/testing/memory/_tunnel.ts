/** Tunnels in memory: two ends, or one whose bytes come back. */

import type { Tunnel } from "../../connector.ts";
import { BytePipe } from "./_byte_pipe.ts";

/** What both ends of a tunnel share. */
class Link {
  readonly pipes: readonly BytePipe[];
  readonly closed: Promise<void>;
  #resolve!: () => void;

  constructor(count: number) {
    this.closed = new Promise((resolve) => this.#resolve = resolve);
    const ended = () => {
      if (this.pipes.every((pipe) => pipe.isOver)) this.#resolve();
    };
    this.pipes = Array.from({ length: count }, () => new BytePipe(ended));
  }

  end(): void {
    for (const pipe of this.pipes) pipe.end();
  }

  fail(error: unknown): void {
    for (const pipe of this.pipes) pipe.fail(error);
  }
}

/** One end of a tunnel. It ends when either end is closed, or with its hop. */
export class MemoryTunnel implements Tunnel {
  /** Where it leads to, as `hostname:port` or a path. */
  readonly target: string;
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly closed: Promise<void>;
  readonly #link: Link;

  constructor(target: string, link: Link, side: number) {
    const incoming = link.pipes[side]!;
    const outgoing = link.pipes[1 - side] ?? incoming;
    this.target = target;
    this.#link = link;
    this.closed = link.closed;
    this.readable = incoming.readable;
    this.writable = new WritableStream({
      write: async (chunk) => {
        if (!outgoing.isOver) await outgoing.write(chunk);
        else throw new TypeError(`The tunnel to ${target} has ended`);
      },
      close: () => outgoing.end(),
      abort: () => outgoing.end(),
    });
  }

  close(): void {
    this.#link.end();
  }

  /** Breaks it off, at both ends. */
  fail(error: unknown): void {
    this.#link.fail(error);
  }
}

/** Returns a tunnel to something that sends back what it gets. */
export function echoTunnel(target: string): MemoryTunnel {
  return new MemoryTunnel(target, new Link(1), 0);
}

/** Both ends of a tunnel. */
export function tunnelPair(target: string): [MemoryTunnel, MemoryTunnel] {
  const link = new Link(2);
  return [
    new MemoryTunnel(target, link, 0),
    new MemoryTunnel(target, link, 1),
  ];
}
