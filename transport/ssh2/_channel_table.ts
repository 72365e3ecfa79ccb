/**
 * The channels of one connection: the one place that tells a channel which the
 * server closed from one that died with its connection.
 *
 * @module
 */

import { serverText } from "../session/server_text.ts";
import { ChannelOpenError } from "../errors.ts";
import type { ForwardTarget } from "../host/target.ts";
import { AnswerDeadlines } from "./_answer_deadlines.ts";
import {
  Channel,
  type ChannelContext,
  type ChannelObserver,
  type Lost,
} from "./_channel.ts";
import {
  type OpenCallback,
  PACKET_BYTES,
  type RawChannel,
  type RawClient,
  type RawProtocol,
  WINDOW_BYTES,
} from "./fence/internals.ts";
import type { ProcessHold } from "./_process_hold.ts";
import type { PromptAcks } from "./_prompt_acks.ts";
import { Spares } from "./_spares.ts";

/** How long a server may take, in milliseconds. */
export interface ChannelTimeouts {
  /** To answer a request for a channel. */
  readonly openMs: number;
  /** To answer our CLOSE with its own. */
  readonly closeMs: number;
}

/** What is true of the server and of its host. */
export interface ChannelTableOptions {
  /** The name of the host, for messages. */
  readonly host: string;
  /** What keeps the process alive while there are channels. */
  readonly hold: ProcessHold;
  /** Told of tunnels and sessions. */
  readonly acks: PromptAcks;
  readonly timeouts: ChannelTimeouts;
  /** Whether the server keeps session channels that are not used. */
  readonly hasSpares: boolean;
  /** The error of an operation that the end of the connection broke. */
  readonly lost: Lost;
  /** Told when the connection is to end. */
  onBroken(error: unknown): void;
}

/** What the reason codes of RFC 4254 mean, for servers that give no text. */
const REASONS: Readonly<Record<number, string>> = {
  1: "administratively prohibited",
  2: "connect failed",
  3: "unknown channel type",
  4: "resource shortage",
};

/** The channels of one connection. */
export class ChannelTable implements ChannelContext {
  /** ssh2's client. */
  readonly raw: RawClient;
  /** Sessions that are opened ahead of need, if the server keeps them. */
  readonly spares: Spares | undefined;
  readonly #channels = new Map<number, Channel>();
  readonly #options: ChannelTableOptions;
  readonly #sessions = new Set<Channel>();
  readonly #opening: AnswerDeadlines<number>;
  readonly #closing: AnswerDeadlines<Channel>;
  #failure: Error | undefined;

  /**
   * @param raw The client, which the table watches from here on.
   * @param options The host and the deadlines.
   */
  constructor(raw: RawClient, options: ChannelTableOptions) {
    this.raw = raw;
    this.#options = options;
    const { openMs, closeMs } = options.timeouts;
    this.#opening = new AnswerDeadlines(openMs, (id) => this.#onNotOpened(id));
    this.#closing = new AnswerDeadlines(
      closeMs,
      (channel) => this.#onNotClosed(channel),
    );
    this.spares = options.hasSpares
      ? new Spares({
        openSession: (observer) => this.#open(observer, undefined),
        lost: options.lost,
      })
      : undefined;
    this.#watch();
  }

  get protocol(): RawProtocol {
    return this.raw._protocol;
  }

  get hold(): ProcessHold {
    return this.#options.hold;
  }

  /**
   * Whether the server has left a request unanswered for too long. The
   * connection ends with the last of its channels.
   */
  get isFailing(): boolean {
    return this.#failure !== undefined;
  }

  /** Session channels that are open or being opened. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** Asks the server for a channel: a session, or a forward to a target. */
  open(observer: ChannelObserver, target?: ForwardTarget): Channel {
    const spare = target === undefined
      ? this.spares?.take(observer)
      : undefined;
    return spare ?? this.#open(observer, target);
  }

  #open(
    observer: ChannelObserver,
    target: ForwardTarget | undefined,
  ): Channel {
    const channel = new Channel(this, observer);
    let id = -1;
    const callback: OpenCallback = (error, raw) => {
      this.#opening.delete(id);
      if (error === undefined) return channel.onOpen(raw);
      // Without a reason it is the end of the connection, and `end()` tells.
      if (typeof error.reason !== "number") return;
      const { reason, message } = error;
      this.#end(id, (it) => it.refused(this.#refusal(message, reason)));
    };
    callback.type = channelType(target);
    id = this.raw._chanMgr.add(callback);
    this.#channels.set(id, channel);
    if (target === undefined) {
      this.#sessions.add(channel);
      this.#options.acks.onSession();
    } else this.#options.acks.onTunnel();
    this.#opening.add(id);
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
    this.#options.acks.onTunnel();
    this.#channels.set(raw.incoming.id, channel);
    channel.onOpen(raw);
    return channel;
  }

  /** Ends all that is open: the connection is gone. */
  end(): void {
    this.#options.acks.end();
    this.#opening.clear();
    this.#closing.clear();
    for (const id of [...this.#channels.keys()]) {
      this.#end(id, (observer) => observer.lost());
    }
  }

  onBroken(error: unknown): void {
    this.#options.onBroken(error);
  }

  onClosing(channel: Channel): void {
    this.#closing.add(channel);
  }

  /** The server may still open it: it is closed again then. */
  #onNotOpened(id: number): void {
    const { openMs } = this.#options.timeouts;
    this.#failed(`it did not answer a request for a channel in ${openMs} ms`);
    this.#end(id, (observer) => observer.unanswered());
  }

  /** Its slot is free for us; what the server makes of it, nobody knows. */
  #onNotClosed(channel: Channel): void {
    const { closeMs } = this.#options.timeouts;
    this.#failed(`it did not close a channel in ${closeMs} ms`);
    for (const [id, it] of this.#channels) {
      if (it === channel) this.#end(id, (observer) => observer.closed());
    }
  }

  #failed(why: string): void {
    this.#failure ??= new Error(`the server does not answer: ${why}`);
    // Nobody is to use them any more, and the connection waits for their end.
    while ((this.spares?.count ?? 0) > 0) void this.spares?.close();
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
    const text = message.replace(/^\(SSH\) Channel open failure: ?/, "");
    const why = text === "" ? REASONS[reason] ?? "" : serverText(text);
    return new ChannelOpenError(
      `Cannot open a channel on ${
        JSON.stringify(this.#options.host)
      }: the server ` +
        `refused with reason ${reason}${why === "" ? "" : `: ${why}`}`,
      { host: this.#options.host, reason },
    );
  }

  #end(id: number, tell: (observer: ChannelObserver) => void): void {
    const channel = this.#channels.get(id);
    if (channel === undefined) return;
    this.#channels.delete(id);
    this.#closing.delete(channel);
    // Before anybody is told: whoever is told may open the next one.
    this.#sessions.delete(channel);
    channel.onEnd(tell);
    if (this.#failure === undefined || this.#channels.size > 0) return;
    this.onBroken(this.#failure);
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
