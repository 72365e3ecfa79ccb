/**
 * SFTP over the bytes of a subsystem.
 *
 * @module
 */

import { Deadline, settledWithin } from "../abort.ts";
import type { Connection, Tunnel } from "../connector.ts";
import { ConnectionLostError } from "../errors.ts";
import { hostLabel } from "../host/host.ts";
import { startSftp } from "./open_session.ts";
import type { Sftp } from "./sftp.ts";
import type { SftpTransport } from "./transport.ts";

/** How much may wait to be taken by the tunnel before the session pauses, in bytes. */
const ROOM_BYTES = 256 * 1024;

/** How long the server may take for its first word, in milliseconds. */
const FIRST_WORD_MS = 20_000;

/**
 * Starts SFTP on a connection, over its subsystem if it has no SFTP of its own.
 *
 * @param connection The connection.
 * @param signal Ends the wait for the session.
 * @returns The session; `undefined` if the connection has neither.
 * @throws {SshError} If it cannot be started.
 */
export function sftpOf(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<Sftp> | undefined {
  const options = signal ? { signal } : {};
  if (connection.sftp !== undefined) return connection.sftp(options);
  if (connection.subsystem === undefined) return undefined;
  const host = hostLabel(connection.host);
  return connection.subsystem("sftp", options)
    .then((tunnel) => sftpOver(tunnel, { host, signal }));
}

/** What an SFTP session can run over. */
export interface SftpTunnel
  extends Pick<Tunnel, "readable" | "writable" | "close"> {
  /** See `SftpTransport.lastWords()`. */
  readonly lastWords?: () => string;
  /** Resolves when the last words are known, soon after the last byte. */
  readonly ended?: Promise<unknown>;
}

/**
 * Starts SFTP on bytes.
 *
 * @param tunnel The bytes, which the session closes.
 * @param options The host, for messages, and what ends the wait.
 * @throws {SshError} If it cannot be started.
 */
export function sftpOver(
  tunnel: SftpTunnel,
  options: SftpWait,
): Promise<Sftp> {
  return startSftpSoon(new TunnelTransport(tunnel), options);
}

/** Who is waited for, and what ends the wait. */
interface SftpWait {
  readonly host: string;
  readonly signal: AbortSignal | undefined;
}

/**
 * Starts SFTP on a channel, whose first word has a deadline.
 *
 * @throws {SshError} If it cannot be started.
 */
export async function startSftpSoon(
  transport: SftpTransport,
  { host, signal }: SftpWait,
): Promise<Sftp> {
  // A server may grant the subsystem and start something else.
  const silent = () =>
    new ConnectionLostError(
      `Cannot use an SFTP session on ${JSON.stringify(host)}: the server ` +
        "does not answer",
      { host },
    );
  const deadline = new Deadline(FIRST_WORD_MS, silent, signal);
  try {
    return await startSftp(transport, { host, signal: deadline.signal });
  } finally {
    deadline.cancel();
  }
}

/** How long a program may take to end behind its output, in milliseconds. */
const LAST_WORDS_MS = 2_000;

/** A tunnel as the byte channel of an SFTP session. */
class TunnelTransport implements SftpTransport {
  readonly #tunnel: SftpTunnel;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #waiting = 0;
  #receive: (bytes: Uint8Array) => void = () => {};
  #ended: ((error?: Error) => void) | undefined;

  constructor(tunnel: SftpTunnel) {
    this.#tunnel = tunnel;
    this.#writer = tunnel.writable.getWriter();
    // The end of the tunnel is told by what is read.
    this.#writer.closed.catch(() => {});
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    this.#waiting += bytes.length;
    const written = this.#writer.write(bytes).catch(() => {})
      .then(() => void (this.#waiting -= bytes.length));
    return this.#waiting < ROOM_BYTES ? undefined : written;
  }

  onData(receive: (bytes: Uint8Array) => void): void {
    this.#receive = receive;
  }

  onEnd(ended: (error?: Error) => void): void {
    this.#ended = ended;
    // The session sets this last.
    void this.#read();
  }

  lastWords(): string {
    return this.#tunnel.lastWords?.() ?? "";
  }

  close(): void {
    this.#tunnel.close();
  }

  async #read(): Promise<void> {
    const reader = this.#tunnel.readable.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        this.#receive(value);
      }
      const { ended } = this.#tunnel;
      if (ended !== undefined) await settledWithin(LAST_WORDS_MS, ended);
      this.#ended?.();
    } catch (error) {
      this.#ended?.(error as Error);
    }
  }
}
