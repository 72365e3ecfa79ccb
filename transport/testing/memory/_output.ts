/** What a scripted command writes, on its way to the client. */

import type { SessionListener } from "../../session/remote_session.ts";
import { PIPE_BYTES } from "../scripts/byte_queue.ts";

type Stream = "stdout" | "stderr";

interface Held {
  readonly stream: Stream;
  readonly bytes: Uint8Array;
  readonly sent: () => void;
}

/**
 * Both outputs, in order, with the flow control of one channel: when the client
 * has paused and a window is full, a writer has to wait.
 */
export class MemoryOutput {
  readonly #listener: Pick<SessionListener, "onStdout" | "onStderr">;
  readonly #held: Held[] = [];
  #window = PIPE_BYTES;
  #hasEnded = false;

  constructor(listener: Pick<SessionListener, "onStdout" | "onStderr">) {
    this.#listener = listener;
  }

  /** Sends a chunk; a promise if the writer is to wait. */
  write(stream: Stream, bytes: Uint8Array): Promise<void> | undefined {
    if (this.#hasEnded || bytes.length === 0) return undefined;
    if (this.#window > 0 && this.#held.length === 0) {
      this.#send(stream, bytes);
      return undefined;
    }
    return this.#hold(stream, bytes);
  }

  /**
   * Returns a promise if something is held: it resolves when the client has it.
   */
  flush(): Promise<void> | undefined {
    if (this.#held.length === 0) return undefined;
    return this.#hold("stdout", new Uint8Array());
  }

  /** The client takes more. */
  resume(): void {
    this.#window = PIPE_BYTES;
    while (this.#window > 0) {
      const held = this.#held.shift();
      if (held === undefined) return;
      this.#send(held.stream, held.bytes);
      held.sent();
    }
  }

  /** The channel has ended: what is held, or comes now, is dropped. */
  end(): void {
    this.#hasEnded = true;
    this.#held.length = 0;
  }

  #hold(stream: Stream, bytes: Uint8Array): Promise<void> {
    return new Promise((sent) => this.#held.push({ stream, bytes, sent }));
  }

  #send(stream: Stream, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#window -= bytes.length;
    const hasRoom = stream === "stdout"
      ? this.#listener.onStdout(bytes)
      : this.#listener.onStderr(bytes);
    if (hasRoom) this.#window = PIPE_BYTES;
  }
}
