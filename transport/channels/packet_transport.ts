/**
 * What the connection protocol (RFC 4254) needs below it: something that
 * carries messages, in order, to a server and back.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type {
  ClosedReason,
  ConnectionAlgorithms,
  RemoteListener,
  Tunnel,
} from "../connector.ts";
import type { ForwardTarget } from "../host/target.ts";

/** Where the payload begins in a packet: a length and a byte come before it. */
export const HEAD = 5;

/** The server broke the protocol; nothing that it sends is read any more. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
}

/** Hears of what arrives. */
export interface TransportListener {
  /**
   * A message of the connection protocol, numbers 80 to 100. The bytes are the
   * listener's to keep, unless it is data of a transport that lends it.
   *
   * @throws {ProtocolViolation} Ends the transport with this error.
   */
  onPayload(payload: Uint8Array): void;
  /**
   * Data of a channel, of a message that did not come in one piece. The same
   * holds for its bytes.
   *
   * @param id Our number of the channel.
   * @throws {ProtocolViolation} As above.
   */
  onData(id: number, data: Uint8Array): void;
  /** All that was sent is with the system: more may follow. */
  onDrain(): void;
  /** It has ended. Called once, and never in the turn of a call from above. */
  onEnd(reason: ClosedReason): void;
}

/** Carries messages to an authenticated server, and back. */
export interface PacketTransport {
  /** How the server calls itself, as `OpenSSH_9.2p1`; `""` if that is unknown. */
  readonly software: string;
  /** What the key exchange agreed on, as far as that is known. */
  readonly algorithms: ConnectionAlgorithms | undefined;
  /** Bytes that were given to `send()` and not yet to the system. */
  readonly unsentBytes: number;
  /**
   * Whether global requests reach the server and their answers us. If not, the
   * transport asks whether the server is there, and `listen()` lets it listen.
   */
  readonly hasGlobalRequests: boolean;
  /** Whether the memory of data is used again, once the listener has had it. */
  readonly lendsData?: boolean;
  /** How much data a message is best to carry, if there is more. Default: 32 KiB. */
  readonly usualDataBytes?: number;
  /** Begins to report what arrives; what came before is reported first. */
  start(listener: TransportListener): void;
  /** Returns a packet for a payload of so many bytes, which begins at `HEAD`. */
  alloc(payloadBytes: number): Buffer;
  /**
   * Sends a packet of `alloc()`, which may be held until the end of the turn of
   * the event loop. Does nothing once the transport has ended.
   */
  send(packet: Buffer): void;
  /** Sends a message that means nothing, so that TCP acknowledges what came. */
  acknowledge?(): void;
  /** A session or a tunnel is being opened, by either side. */
  onChannel?(isSession: boolean): void;
  /** Lets the host listen, where global requests do not pass. */
  listen?(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    signal: AbortSignal | undefined,
  ): Promise<RemoteListener>;
  /** Keeps the process alive. */
  ref(): void;
  /** Lets the process end. */
  unref(): void;
  /** Ends it at once, because something is wrong with it. */
  destroy(error: Error): void;
  /** Says farewell in bounded time. Never rejects, and `onEnd` is not called. */
  close(): Promise<void>;
}
