/** An SFTP session within the process: a client's channel and the server behind it. */

import {
  SftpServer,
  type SftpServerParts,
} from "../sftp/server/sftp_server.ts";
import type { SftpTransport } from "../sftp/transport.ts";

/** What an SFTP session within the process is made of. */
export interface SftpPipeParts
  extends Pick<SftpServerParts, "files" | "gate" | "extensions"> {
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
  #hasEnded = false;

  constructor(parts: SftpPipeParts) {
    this.#parts = parts;
    const { files, gate, extensions } = parts;
    this.#server = new SftpServer({
      files,
      extensions,
      ...gate && { gate },
      send: (bytes) =>
        this.#toClient = this.#after(this.#toClient, () => {
          this.#receive(bytes);
        }),
      // What it has sent before comes first.
      end: () => void this.#after(this.#toClient, () => this.end()),
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    // The client may use its memory again.
    const copy = bytes.slice();
    return this.#toServer = this.#after(
      this.#toServer,
      () => this.#server.receive(copy),
    );
  }

  onData(receive: (bytes: Uint8Array) => void): void {
    this.#receive = receive;
  }

  onEnd(ended: (error?: Error) => void): void {
    this.#ended = ended;
  }

  /** The client ends it. */
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
    this.#server.close();
    this.#parts.onEnd?.();
  }

  /** Never rejects: what holds bytes up for good drops them. */
  async #after(
    last: Promise<void>,
    deliver: () => Promise<void> | undefined | void,
  ): Promise<void> {
    await last;
    try {
      await this.#parts.hold?.();
      if (!this.#hasEnded) await deliver();
    } catch {
      // The connection has ended meanwhile.
    }
  }
}
