/**
 * Tunnels: a channel to a target, as a node stream.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { onAbort } from "../abort.ts";
import type { Tunnel } from "../connector.ts";
import type { ChannelOpenError } from "../errors.ts";
import { ChannelOpenError as OpenError } from "../errors.ts";
import { type ForwardTarget, targetName } from "../host/target.ts";
import { SmallPieces } from "../session/small_pieces.ts";
import type { Channel, ChannelObserver } from "./_channel.ts";
import type { Lost } from "./_lost.ts";
import type { ChannelOffer } from "./_channel_offers.ts";
import type { ChannelTable } from "./_channel_table.ts";
import { StreamTunnel } from "./stream_tunnel.ts";

/**
 * Opens a tunnel.
 *
 * @param table The channels of the hop.
 * @param target Where it leads to.
 * @param options The host's name, the error of a lost hop, and the signal.
 */
export function openTunnel(
  table: ChannelTable,
  target: ForwardTarget,
  options: { host: string; lost: Lost; signal?: AbortSignal | undefined },
): Promise<Tunnel> {
  const { signal, lost, host } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stream = new TunnelStream();
    const to = JSON.stringify(targetName(target));
    const doing = `open a tunnel to ${to}`;
    const settled = onAbort(signal, () => {
      stream.channel?.close();
      reject(signal?.reason);
    });
    stream.channel = table.open(
      observe(stream, {
        opened(begin) {
          begin();
          settled();
          resolve(new StreamTunnel(stream));
        },
        failed(error) {
          settled();
          reject(
            error ?? new OpenError(
              `Cannot ${doing} from ${JSON.stringify(host)}: ` +
                "the server closed the channel",
              { host, reason: 0 },
            ),
          );
        },
        lost: (why) => lost(doing, why === undefined ? {} : { why }),
      }),
      target,
    );
  });
}

/**
 * Starts a subsystem on a session channel.
 *
 * @param table The channels of the connection.
 * @param name The subsystem.
 * @param options The host's name, the error of a lost connection, and the signal.
 */
export function openSubsystem(
  table: ChannelTable,
  name: string,
  options: { host: string; lost: Lost; signal?: AbortSignal | undefined },
): Promise<Tunnel> {
  const { signal, lost, host } = options;
  const shown = JSON.stringify(name);
  const doing = `start the subsystem ${shown}`;
  const refused = (what: string) =>
    new OpenError(
      `Cannot ${doing} on ${JSON.stringify(host)}: the server ${what}`,
      { host, reason: 0 },
    );
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stream = new TunnelStream();
    const fail = (error: unknown) => {
      settled();
      stream.channel?.close();
      reject(error);
    };
    const settled = onAbort(signal, () => fail(signal?.reason));
    stream.channel = table.open(observe(stream, {
      opened(begin) {
        stream.channel?.request("subsystem", [name], (isGranted) => {
          if (!isGranted) {
            return fail(refused(`refused the subsystem ${shown}`));
          }
          begin();
          settled();
          resolve(new StreamTunnel(stream));
        });
      },
      failed: (error) => fail(error ?? refused("closed the channel")),
      lost: (why) => lost(doing, why === undefined ? {} : { why }),
    }));
  });
}

/**
 * Makes a tunnel of a channel that the server asks for. It is confirmed when
 * somebody asks for the tunnel's bytes: until then the server could fill a
 * window that nobody reads. A tunnel that is closed first was refused.
 *
 * @param take Takes the offer.
 * @param lost Gives the error of a lost connection.
 */
export function acceptTunnel(
  take: (observer: ChannelObserver) => ChannelOffer,
  lost: Lost,
): Tunnel {
  const stream = new TunnelStream();
  const offer = stream.offer = take(
    observe(stream, {
      opened: (begin) => begin(),
      failed: (error) => void stream.destroy(error),
      lost: () => lost("go on with a forwarded connection"),
    }),
  );
  return new StreamTunnel(stream, () => stream.channel ??= offer.accept());
}

interface Opening {
  /** The channel is open. `begin` is to be called when its bytes are for the user. */
  opened(begin: () => void): void;
  failed(error: Error | undefined): void;
  lost(why?: string): Error;
}

function observe(stream: TunnelStream, opening: Opening): ChannelObserver {
  let isOpen = false;
  return {
    opened: () => opening.opened(() => isOpen = true),
    refused: (error: ChannelOpenError) => opening.failed(error),
    unanswered: () =>
      opening.failed(opening.lost("the server does not answer")),
    stdout: (chunk) => stream.push(chunk),
    stderr: () => true,
    eof: () => void stream.push(null),
    closed() {
      if (isOpen) stream.finish();
      else opening.failed(undefined);
    },
    lost() {
      const error = opening.lost();
      if (isOpen) stream.destroy(error);
      else opening.failed(error);
    },
  };
}

/** A channel as a node stream, which can be destroyed whatever state it is in. */
class TunnelStream extends Duplex {
  channel: Channel | undefined;
  /** What it was made of, if the server has asked for it. */
  offer: ChannelOffer | undefined;
  #ended = false;
  /** What came after what is still unread, piece by small piece. */
  readonly #small = new SmallPieces();

  constructor() {
    super({ allowHalfOpen: true });
    // Whoever runs on it listens too; a late error must not end the process.
    this.on("error", () => {});
  }

  /** For a connection that runs on it: work has begun there. */
  ref(): void {
    this.channel?.ref();
  }

  /** For a connection that runs on it: no work is left there. */
  unref(): void {
    this.channel?.unref();
  }

  override push(chunk: Uint8Array | null): boolean {
    if (this.#ended || this.destroyed) return true;
    this.#ended = chunk === null;
    if (chunk === null || !this.#mayHold(chunk)) {
      this.#flush();
      return super.push(chunk);
    }
    this.#small.add(chunk);
    const unread = this.readableLength + this.#small.length;
    return unread < this.readableHighWaterMark;
  }

  /** Whether nobody is waiting for it. */
  #mayHold(chunk: Uint8Array): boolean {
    const unread = this.readableLength;
    // A reader by `readable` may want more than there is, and is told of each.
    const isTold = this.listenerCount("readable") > 0 &&
      unread <= this.readableHighWaterMark;
    return unread > 0 && !isTold && this.#small.takes(chunk);
  }

  /** What was held back is never behind an empty buffer. */
  override read(size?: number): Buffer | null {
    this.#flush();
    return super.read(size);
  }

  #flush(): void {
    const held = this.#small.take();
    if (held !== undefined) super.push(held);
  }

  /** The far side has closed it: what it sent can still be read. */
  finish(): void {
    this.push(null);
    // Nothing takes what is written any more. Once all is read it is over.
    if (this.readableEnded) this.destroy();
    else this.once("end", () => this.destroy());
  }

  override _read(): void {
    this.channel?.resume();
  }

  override _write(
    chunk: Buffer,
    _encoding: string,
    done: (error?: Error | null) => void,
  ): void {
    this.#send(chunk, done);
  }

  override _writev(
    chunks: { chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  /**
   * Not in this turn: a connection that runs on this stream writes from the
   * middle of its cipher, and ssh2's ChaCha20 has one buffer for the nonces of
   * all connections. Were the hop to encrypt now, it would garble the packet
   * that is under way.
   */
  #send(data: Buffer, done: (error?: Error | null) => void): void {
    queueMicrotask(() => {
      const pending = this.channel?.write(data);
      if (pending === undefined) done();
      else pending.then(() => done());
    });
  }

  override _final(done: (error?: Error | null) => void): void {
    this.channel?.eof();
    done();
  }

  override _destroy(
    error: Error | null,
    done: (error?: Error | null) => void,
  ): void {
    this.offer?.refuse();
    this.channel?.close();
    done(error);
  }
}
