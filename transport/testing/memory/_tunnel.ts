/** Tunnels in memory: two ends, or one whose bytes come back. */

import type { Tunnel } from "../../connector.ts";
import { Gate } from "../scripts/outcome.ts";

/** As much as an SSH window: a writer ahead of its reader by more has to wait. */
export const PIPE_BYTES = 2 * 1024 * 1024;

/** What is written can be read, in order; the end comes after it. */
class BytePipe {
  readonly readable: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #isOver = false;
  readonly #room = new Gate();
  #ended: () => void;

  /** @param ended Called once, when nothing more can go through. */
  constructor(ended: () => void = () => {}) {
    this.#ended = ended;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#room.open(),
      cancel: () => this.#end(),
    }, {
      highWaterMark: PIPE_BYTES,
      size: (chunk) => chunk?.byteLength ?? 0,
    });
  }

  /** Whether nothing more can go through. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Writes a chunk, which is copied. After the end it is dropped.
   *
   * @returns A promise if the writer is to wait for the reader.
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#isOver || chunk.length === 0) return undefined;
    this.#controller.enqueue(chunk.slice());
    if ((this.#controller.desiredSize ?? 0) > 0) return undefined;
    return this.#room.wait();
  }

  /** Nothing more is written: what was written can still be read. */
  end(): void {
    if (!this.#isOver) this.#controller.close();
    this.#end();
  }

  /** It breaks off: what is unread is lost. */
  fail(error: unknown): void {
    // Also after the end: what is unread is lost.
    this.#controller.error(error);
    this.#end();
  }

  #end(): void {
    const wasOver = this.#isOver;
    this.#isOver = true;
    this.#room.open();
    if (!wasOver) this.#ended();
  }
}

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
