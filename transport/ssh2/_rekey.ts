/**
 * New keys for a connection that has carried much: RFC 4344 wants them before
 * 2^31 packets, and before 64 GiB for ciphers with blocks of 16 bytes.
 *
 * @module
 */

import type { RawProtocol } from "./_internals.ts";

/** What one set of keys may carry in either direction. */
export interface RekeyLimits {
  /** Packets. */
  readonly packets: number;
  /** Bytes. */
  readonly bytes: number;
}

/** Half of what RFC 4344 allows: data still flows while keys are exchanged. */
export const REKEY_AFTER: RekeyLimits = {
  packets: 2 ** 30,
  bytes: 32 * 2 ** 30,
};

/** Counts what one direction has carried under its present keys. */
interface Traffic {
  packets: number;
  bytes: number;
}

/** Exchanges keys again in time. */
export class Rekeying {
  readonly #protocol: RawProtocol;
  readonly #limits: RekeyLimits;
  readonly #inbound: Traffic = { packets: 0, bytes: 0 };
  readonly #outbound: Traffic = { packets: 0, bytes: 0 };
  #isDue = false;

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
      return onPayload(payload);
    };
    const onWrite = protocol._onWrite;
    // Some ciphers write a packet in two or three parts: this counts too many
    // packets, never too few.
    protocol._onWrite = (data) => {
      this.#count(this.#outbound, data.length);
      onWrite(data);
    };
  }

  /** New keys are in use. */
  renewed(): void {
    for (const traffic of [this.#inbound, this.#outbound]) {
      traffic.packets = traffic.bytes = 0;
    }
    this.#isDue = false;
  }

  #count(traffic: Traffic, bytes: number): void {
    traffic.packets++;
    traffic.bytes += bytes;
    if (this.#exceeds(traffic, 1)) this.#due(traffic);
  }

  #exceeds(traffic: Traffic, factor: number): boolean {
    return traffic.packets >= factor * this.#limits.packets ||
      traffic.bytes >= factor * this.#limits.bytes;
  }

  #due(traffic: Traffic): void {
    if (!this.#isDue) {
      this.#isDue = true;
      // Not in this turn: a packet may be half written.
      queueMicrotask(() => this.#start());
    } else if (this.#exceeds(traffic, 2)) {
      throw new Error("The server did not answer to a new key exchange");
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
