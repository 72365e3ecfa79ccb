/**
 * New keys for a connection that has carried much: RFC 4344 wants them before
 * 2^31 packets, and before 64 GiB for ciphers with blocks of 16 bytes.
 *
 * @module
 */

import { ProtocolViolation } from "../../channels/packet_transport.ts";
import type { RawProtocol } from "../fence/internals.ts";
import { isOfExchange } from "./_kex_init.ts";

/** What one set of keys has carried, or may carry, in one direction. */
interface Volume {
  packets: number;
  bytes: number;
}

/** What one set of keys may carry in either direction. */
export interface RekeyLimits {
  /** From here on new keys are asked for. */
  readonly soft: Readonly<Volume>;
  /** The connection ends here, if the server has not answered. */
  readonly hard: Readonly<Volume>;
}

const GIB = 2 ** 30;

/** What RFC 4344 allows; half of it until we ask: data still flows meanwhile. */
export const REKEY_LIMITS: RekeyLimits = {
  soft: { packets: 2 ** 30, bytes: 32 * GIB },
  hard: { packets: 2 ** 31, bytes: 64 * GIB },
};

/**
 * How often the server may ask for new keys: each exchange takes computing, in
 * which nothing else of the process runs. sshd asks by volume or by time, so both
 * earn exchanges; its `RekeyLimit` may be 64 KiB or 1 s. It counts in blocks of
 * the cipher, and takes the bytes of the next packet for such blocks: with 16
 * bytes to a block it asks for each packet of nearly a sixteenth of the limit.
 */
const SERVER_MAY = { atOnce: 20, eachMs: 500, eachBytes: 3_800 };

/** Exchanges keys again in time, and not too often. */
export class Rekeying {
  readonly #protocol: RawProtocol;
  readonly #limits: RekeyLimits;
  readonly #inbound: Volume = { packets: 0, bytes: 0 };
  readonly #outbound: Volume = { packets: 0, bytes: 0 };
  /** Bytes since the last exchange, without those of an exchange itself. */
  #earning = 0;
  #isDue = false;
  /** Exchanges that the server has not used. */
  #credit = SERVER_MAY.atOnce;
  #creditAt = performance.now();

  /**
   * @param protocol ssh2's protocol object, in the turn in which the client's
   * `connect()` was called.
   * @param limits When to exchange keys again.
   */
  constructor(protocol: RawProtocol, limits: RekeyLimits) {
    this.#protocol = protocol;
    this.#limits = limits;
    const onPayload = protocol._onPayload;
    protocol._onPayload = (payload) => {
      this.#count(this.#inbound, payload.length);
      if (!isOfExchange(payload[0] ?? 0)) this.#earning += payload.length;
      return onPayload(payload);
    };
    const onWrite = protocol._onWrite;
    // Some ciphers write a packet in two or three parts: this counts too many
    // packets, never too few.
    protocol._onWrite = (data) => {
      this.#count(this.#outbound, data.length);
      // Nothing else is sent while there is an offer of ours.
      if (protocol._kexinit === undefined) this.#earning += data.length;
      onWrite(data);
    };
  }

  /**
   * New keys are in use.
   *
   * @throws {ProtocolViolation} If the server asks for them all the time.
   */
  renewed(): void {
    if (!this.#isDue) this.#charge();
    for (const carried of [this.#inbound, this.#outbound]) {
      carried.packets = carried.bytes = 0;
    }
    this.#earning = 0;
    this.#isDue = false;
  }

  #charge(): void {
    const { atOnce, eachMs, eachBytes } = SERVER_MAY;
    const now = performance.now();
    const earned = (now - this.#creditAt) / eachMs +
      this.#earning / eachBytes;
    this.#credit = Math.min(atOnce, this.#credit + earned) - 1;
    this.#creditAt = now;
    if (this.#credit >= 0) return;
    throw new ProtocolViolation("the server asks for new keys again and again");
  }

  #count(carried: Volume, bytes: number): void {
    carried.packets++;
    carried.bytes += bytes;
    if (reaches(carried, this.#limits.soft)) this.#due(carried);
  }

  #due(carried: Volume): void {
    if (!this.#isDue) {
      this.#isDue = true;
      // Not in this turn: a packet may be half written.
      queueMicrotask(() => this.#start());
    } else if (reaches(carried, this.#limits.hard)) {
      throw new Error("the server did not answer to a new key exchange");
    }
  }

  #start(): void {
    try {
      if (this.#protocol._destruct !== undefined) this.#protocol.rekey();
    } catch {
      // The connection is ending.
    }
  }
}

function reaches(carried: Volume, limit: Readonly<Volume>): boolean {
  return carried.packets >= limit.packets || carried.bytes >= limit.bytes;
}
