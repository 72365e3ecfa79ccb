/** An SFTP session within the process: a client's channel and the server behind it. */

import {
  SftpServer,
  type SftpServerParts,
} from "../sftp_server/sftp_server.ts";
import type { SftpTransport } from "../../sftp/transport.ts";
import type { Tunnel } from "../../connector.ts";
import { ByteQueue, PIPE_BYTES } from "../scripts/byte_queue.ts";
import { sleep } from "../../abort.ts";
import type { MemoryFiles } from "../files/memory_files.ts";
import { passAtOnce } from "../scripts/outcome.ts";
import type { MemoryChannels } from "./_channels.ts";

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

/** What is on its way in one direction. */
interface Way {
  /** Settles when the last of it has arrived. */
  arrival: Promise<void>;
  bytes: number;
}

/**
 * The client's end. Bytes are delivered in later turns, as over a network.
 */
export class SftpPipe implements SftpTransport {
  readonly #parts: SftpPipeParts;
  readonly #server: SftpServer;
  readonly #toServer: Way = { arrival: Promise.resolve(), bytes: 0 };
  readonly #toClient: Way = { arrival: Promise.resolve(), bytes: 0 };
  readonly #over = new AbortController();
  #receive: (bytes: Uint8Array) => void = () => {};
  #ended: (error?: Error) => void = () => {};

  constructor(parts: SftpPipeParts) {
    this.#parts = parts;
    const { files, gate, extensions } = parts;
    this.#server = new SftpServer({
      files,
      extensions,
      ...gate && { gate },
      send: (bytes) =>
        this.#send(this.#toClient, bytes, () => this.#receive(bytes)),
      // What it has sent before comes first.
      end: () => void this.#after(this.#toClient.arrival, () => this.end()),
    });
  }

  /** Aborts when it has ended. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  write(bytes: Uint8Array): Promise<void> | undefined {
    // The client may use its memory again.
    const copy = bytes.slice();
    return this.#send(this.#toServer, copy, () => this.#server.receive(copy));
  }

  onData(receive: (bytes: Uint8Array) => void): void {
    this.#receive = receive;
  }

  onEnd(ended: (error?: Error) => void): void {
    this.#ended = ended;
  }

  /** The client ends it, and hears nothing more. */
  close(): void {
    if (this.signal.aborted) return;
    this.#over.abort();
    this.#server.close();
    this.#parts.onEnd?.();
  }

  /**
   * Ends it as a server does that has died, or as a lost connection does.
   *
   * @param error Why; none for a server that has died.
   */
  end(error?: Error): void {
    if (this.signal.aborted) return;
    this.close();
    this.#ended(error);
  }

  #send(
    way: Way,
    { length }: Uint8Array,
    deliver: () => Promise<void> | undefined | void,
  ): Promise<void> | undefined {
    way.bytes += length;
    way.arrival = this.#after(way.arrival, () => {
      way.bytes -= length;
      return deliver();
    });
    return way.bytes < PIPE_BYTES ? undefined : way.arrival;
  }

  /** Never rejects: what holds bytes up for good drops them. */
  async #after(
    last: Promise<void>,
    deliver: () => Promise<void> | undefined | void,
  ): Promise<void> {
    // From now on: what is sent meanwhile is on its way at the same time.
    const arrived = this.#delay();
    await last;
    try {
      await arrived;
      await this.#parts.hold?.();
      if (!this.signal.aborted) await deliver();
    } catch {
      // The connection has ended meanwhile.
    }
  }

  #delay(): Promise<void> | undefined {
    const delayMs = this.#parts.delayMs?.() ?? 0;
    if (delayMs <= 0) return undefined;
    const arrived = sleep(delayMs, this.signal);
    // It is awaited later.
    arrived.catch(() => {});
    return arrived;
  }
}

/** Returns the client's end as streams. What nobody reads is kept. */
export function pipeTunnel(pipe: SftpPipe): Tunnel {
  const incoming = new ByteQueue();
  pipe.onData((bytes) => void incoming.push(bytes));
  pipe.onEnd((error) => incoming.end(error && { error }));
  const close = () => {
    pipe.close();
    incoming.end();
  };
  return {
    readable: incoming.stream(),
    writable: new WritableStream({
      write: async (bytes) => {
        if (incoming.isOver) throw new TypeError("The subsystem has ended");
        await pipe.write(bytes);
      },
      close,
      abort: close,
    }),
    closed: incoming.over().then(() => pipe.close()),
    close,
  };
}

/**
 * Opens a session channel and starts an SFTP server on it.
 *
 * @param channels The channels of the connection.
 * @param files Gives the files, or throws what refuses them.
 * @param signal Ends it, as long as it has not started.
 */
export async function openSftpPipe(
  channels: MemoryChannels,
  files: () => MemoryFiles,
  signal: AbortSignal | undefined,
): Promise<SftpPipe> {
  signal?.throwIfAborted();
  const slot = channels.take();
  const give = () => slot?.give();
  let pipe: SftpPipe | undefined;
  try {
    return await channels.ask(signal, async (over) => {
      await channels.opened(slot, over);
      over.throwIfAborted();
      await channels.roundTrip(over);
      return pipe = makePipe(channels, files(), give);
    });
  } catch (error) {
    pipe?.close();
    give();
    throw error;
  }
}

function makePipe(
  channels: MemoryChannels,
  files: MemoryFiles,
  give: () => void,
): SftpPipe {
  const { options, connection } = channels;
  const pipe: SftpPipe = new SftpPipe({
    files: files.served(),
    gate: (request) =>
      passAtOnce(options.onSftpRequest?.(request, connection), pipe.signal),
    delayMs: () => (options.roundTripMs ?? 0) / 2,
    hold: () => channels.thawed(pipe.signal),
    onEnd() {
      stop();
      give();
    },
  });
  const stop = channels.onEnd(() => pipe.end(channels.lost()));
  return pipe;
}
