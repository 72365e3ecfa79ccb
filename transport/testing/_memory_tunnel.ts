/** A forward through a memory connection: it echoes what is written to it. */

import type { Tunnel } from "../connector.ts";

/** Ends when it is closed from either side, or when its hop ends. */
export class MemoryTunnel implements Tunnel {
  /** What it leads to, as `hostname:port`. */
  readonly target: string;
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly closed: Promise<void>;
  #controller!: TransformStreamDefaultController<Uint8Array>;
  #resolve!: () => void;

  constructor(target: string) {
    this.target = target;
    const echo = new TransformStream<Uint8Array, Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      flush: () => this.#resolve(),
    });
    this.readable = echo.readable;
    this.writable = echo.writable;
    this.closed = new Promise((resolve) => this.#resolve = resolve);
  }

  close(): void {
    this.#controller.terminate();
    this.#resolve();
  }
}
