/**
 * The channels of one connection: the one place that tells a channel which the
 * server closed from one that died with its connection.
 *
 * @module
 */

import { serverText } from "../_server_text.ts";
import { ChannelOpenError } from "../errors.ts";
import type { ForwardTarget } from "../target.ts";
import { Channel, type ChannelObserver } from "./_channel.ts";
import {
  type OpenCallback,
  PACKET_BYTES,
  type RawChannel,
  type RawClient,
  WINDOW_BYTES,
} from "./_internals.ts";
import type { ProcessHold } from "./_process_hold.ts";

/** The channels of one connection. */
export class ChannelTable {
  /** ssh2's client. */
  readonly raw: RawClient;
  /** Taken by each channel that somebody waits for. */
  readonly hold: ProcessHold;
  readonly #channels = new Map<number, Channel>();
  readonly #host: string;
  readonly #onBroken: (error: unknown) => void;
  #sessions = new Set<Channel>();

  /**
   * @param raw The client, which the table watches from here on.
   * @param host The name of the host, for messages.
   * @param onBroken Told when nothing can be sent any more.
   * @param hold What keeps the process alive while there are channels.
   */
  constructor(
    raw: RawClient,
    host: string,
    onBroken: (error: unknown) => void,
    hold: ProcessHold,
  ) {
    this.raw = raw;
    this.hold = hold;
    this.#host = host;
    this.#onBroken = onBroken;
    this.#watch();
  }

  /** Session channels that are open or being opened. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** Asks the server for a channel: a session, or a forward to a target. */
  open(observer: ChannelObserver, target?: ForwardTarget): Channel {
    const channel = new Channel(this, observer);
    let id = -1;
    const callback: OpenCallback = (error, raw) => {
      if (error === undefined) return channel.onOpen(raw);
      // Without a reason it is the end of the connection, and `end()` tells.
      if (typeof error.reason !== "number") return;
      const { reason, message } = error;
      this.#end(id, (it) => it.refused(this.#refusal(message, reason)));
    };
    callback.type = channelType(target);
    id = this.raw._chanMgr.add(callback);
    this.#channels.set(id, channel);
    if (target === undefined) this.#sessions.add(channel);
    try {
      this.#request(id, target);
    } catch (error) {
      this.onBroken(error);
    }
    return channel;
  }

  /** Takes a channel that the server asked for and ssh2 has confirmed. */
  adopt(observer: ChannelObserver, raw: RawChannel): Channel {
    const channel = new Channel(this, observer);
    this.#channels.set(raw.incoming.id, channel);
    channel.onOpen(raw);
    return channel;
  }

  /** Ends all that is open: the connection is gone. */
  end(): void {
    for (const id of [...this.#channels.keys()]) {
      this.#end(id, (observer) => observer.lost());
    }
  }

  /** For channels: nothing can be sent any more. */
  onBroken(error: unknown): void {
    this.#onBroken(error);
  }

  #request(id: number, target: ForwardTarget | undefined): void {
    const { _protocol: protocol } = this.raw;
    if (target === undefined) {
      return protocol.session(id, WINDOW_BYTES, PACKET_BYTES);
    }
    if ("path" in target) {
      const socketPath = target.path;
      return protocol.openssh_directStreamLocal(
        id,
        WINDOW_BYTES,
        PACKET_BYTES,
        {
          socketPath,
        },
      );
    }
    protocol.directTcpip(id, WINDOW_BYTES, PACKET_BYTES, {
      srcIP: "127.0.0.1",
      srcPort: 0,
      dstIP: target.hostname,
      dstPort: target.port,
    });
  }

  #refusal(message: string, reason: number): ChannelOpenError {
    const why = serverText(
      message.replace(/^\(SSH\) Channel open failure: ?/, ""),
    );
    return new ChannelOpenError(
      `Cannot open a channel on ${JSON.stringify(this.#host)}: the server ` +
        `refused with reason ${reason}${why === "" ? "" : `: ${why}`}`,
      { host: this.#host, reason },
    );
  }

  #end(id: number, tell: (observer: ChannelObserver) => void): void {
    const channel = this.#channels.get(id);
    if (channel === undefined) return;
    this.#channels.delete(id);
    // Before anybody is told: whoever is told may open the next one.
    this.#sessions.delete(channel);
    channel.onEnd(tell);
  }

  #watch(): void {
    const handlers = this.raw._protocol._handlers;
    const { CHANNEL_CLOSE } = handlers;
    // Only the server's own message comes this way. When a connection dies
    // ssh2 closes its channels too, but by another road.
    handlers.CHANNEL_CLOSE = (protocol, id) => {
      CHANNEL_CLOSE(protocol, id);
      this.#end(id, (observer) => observer.closed());
    };
  }
}

/** The type of the channel to a target, or of a session. */
function channelType(target: ForwardTarget | undefined): string {
  if (target === undefined) return "session";
  return "path" in target ? "direct-streamlocal@openssh.com" : "direct-tcpip";
}
