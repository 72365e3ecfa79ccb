/** An SFTP session within the process: a client's channel and the server behind it. */

import {
  SftpServer,
  type SftpServerParts,
} from "../sftp_server/sftp_server.ts";
import type { SftpTransport } from "../../sftp/transport.ts";
import type { Tunnel } from "../../connector.ts";
import { PIPE_BYTES } from "./_tunnel.ts";
import { sleep } from "../../abort.ts";

/** What an SFTP session within the process is made of. */
export interface SftpPipeParts
  extends Pick<SftpServerParts, "files" | "gate" | "extensions"> {
  /** How long bytes are on their way, either way, in milliseconds; 0 for no timer. */
  delayMs?(): number;
  /** Asked before bytes are delivered, either way: a promise holds them up. */
  hold?(): Promise<void> | undefined;
  /** Called once, when the channel has ended, whichever side has ended it. */
  onEnd?(): void;
}

/**
 * The client's end. Bytes are delivered in later turns, as over a network.
 */
export class SftpPipe implements SftpTransport {
  readonly #parts: SftpPipeParts;
  readonly #server: SftpServer;
  #receive: (bytes: Uint8Array) => void = () => {};
  #ended: (error?: Error) => void = () => {};
  #toServer: Promise<void> = Promise.resolve();
  #toClient: Promise<void> = Promise.resolve();
  /** Bytes on their way to the server. */
  #requestBytes = 0;
  /** Bytes on their way to the client. */
  #answerBytes = 0;
  readonly #over = new AbortController();
  #hasEnded = false;

  constructor(parts: SftpPipeParts) {
    this.#parts = parts;
    const { files, gate, extensions } = parts;
    this.#server = new SftpServer({
      files,
      extensions,
      ...gate && { gate },
      send: (bytes) => {
        this.#toClient = this.#after(this.#toClient, () => {
          this.#answerBytes -= bytes.length;
          this.#receive(bytes);
        });
        this.#answerBytes += bytes.length;
        return this.#answerBytes < PIPE_BYTES ? undefined : this.#toClient;
      },
      // What it has sent before comes first.
      end: () => void this.#after(this.#toClient, () => this.end()),
    });
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    // The client may use its memory again.
    const copy = bytes.slice();
    this.#requestBytes += copy.length;
    this.#toServer = this.#after(this.#toServer, () => {
      this.#requestBytes -= copy.length;
      return this.#server.receive(copy);
    });
    return this.#requestBytes < PIPE_BYTES ? undefined : this.#toServer;
  }

  onData(receive: (bytes: Uint8Array) => void): void {
    this.#receive = receive;
  }

  onEnd(ended: (error?: Error) => void): void {
    this.#ended = ended;
  }

  /** The client ends it, and hears nothing more. */
  close(): void {
    this.#finish();
  }

  /**
   * Ends it as a server does that has died, or as a lost connection does.
   *
   * @param error Why; none for a server that has died.
   */
  end(error?: Error): void {
    if (this.#hasEnded) return;
    this.#finish();
    this.#ended(error);
  }

  #finish(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#over.abort();
    this.#server.close();
    this.#parts.onEnd?.();
  }

  /** Never rejects: what holds bytes up for good drops them. */
  async #after(
    last: Promise<void>,
    deliver: () => Promise<void> | undefined | void,
  ): Promise<void> {
    // From now on: what is sent meanwhile is on its way at the same time.
    const arrived = this.#arrival();
    await last;
    try {
      await arrived;
      await this.#parts.hold?.();
      if (!this.#hasEnded) await deliver();
    } catch {
      // The connection has ended meanwhile.
    }
  }

  #arrival(): Promise<void> | undefined {
    const delayMs = this.#parts.delayMs?.() ?? 0;
    if (delayMs <= 0 || this.#hasEnded) return undefined;
    const arrived = sleep(delayMs, this.#over.signal);
    // It is awaited later.
    arrived.catch(() => {});
    return arrived;
  }
}

/** The client's end as streams. What nobody reads is kept. */
export class SftpPipeTunnel implements Tunnel {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly closed: Promise<void>;
  readonly #pipe: SftpPipe;
  #end!: (error?: Error) => void;

  constructor(pipe: SftpPipe) {
    this.#pipe = pipe;
    let isOver = false;
    let resolve!: () => void;
    this.closed = new Promise((done) => resolve = done);
    this.readable = new ReadableStream({
      start: (controller) => {
        pipe.onData((bytes) => isOver || controller.enqueue(bytes.slice()));
        this.#end = (error) => {
          if (isOver) return;
          isOver = true;
          if (error === undefined) controller.close();
          else controller.error(error);
          resolve();
        };
      },
      cancel: () => this.close(),
    });
    pipe.onEnd((error) => this.#end(error));
    this.writable = new WritableStream({
      write: async (bytes) => {
        if (isOver) throw new TypeError("The subsystem has ended");
        await pipe.write(bytes);
      },
      close: () => this.close(),
      abort: () => this.close(),
    });
  }

  close(): void {
    this.#pipe.close();
    this.#end();
  }
}
