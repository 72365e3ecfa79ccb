/**
 * Reads the messages of each key exchange before ssh2 does: of the first, and
 * of each later one.
 *
 * @module
 */

import { ProtocolViolation } from "../../channels/packet_transport.ts";
import type { RawOnPayload, RawProtocol } from "../fence/internals.ts";
import { checkNumbers } from "./_exchange_numbers.ts";
import type { HybridOffer } from "./_hybrid_kex.ts";
import {
  findMismatch,
  isOfExchange,
  KEXINIT,
  type KexOffer,
  type NoCommonAlgorithm,
  ownOffer,
  readKexInit,
} from "./_kex_init.ts";

/** What {@linkcode Exchanges} tells of, before the connection ends. */
export interface ExchangeObserver {
  /** The server sent a number, or a message, that it must not. */
  readonly onViolation: (violation: ProtocolViolation) => void;
  /** What the server offers. */
  readonly onOffer: (offer: KexOffer) => void;
  /** There is nothing to agree on. */
  readonly onMismatch: (mismatch: NoCommonAlgorithm) => void;
}

/** Looks after the key exchanges of one connection. */
export class Exchanges {
  readonly #protocol: RawProtocol;
  readonly #observer: ExchangeObserver;
  readonly #hybrids: HybridOffer | undefined;

  /**
   * @param protocol ssh2's protocol object, in the turn in which the client's
   *   `connect()` was called, before others wrap its `_onPayload`.
   * @param observer Told of what ends the connection.
   * @param hybrids Offers the methods that ssh2 does not have.
   */
  constructor(
    protocol: RawProtocol,
    observer: ExchangeObserver,
    hybrids?: HybridOffer,
  ) {
    this.#protocol = protocol;
    this.#observer = observer;
    this.#hybrids = hybrids;
    const onPayload = protocol._onPayload;
    protocol._onPayload = (payload) => {
      if (payload[0] !== KEXINIT) return onPayload(payload);
      const result = this.#read(payload, onPayload);
      this.#enterLater();
      return result;
    };
  }

  /**
   * Wraps what is given each packet of the first exchange.
   *
   * @param onPayload ssh2's function.
   */
  readonly readFirst = (onPayload: RawOnPayload): RawOnPayload => (payload) =>
    this.#read(payload, onPayload);

  /**
   * During a later exchange ssh2 refuses whatever is not part of it. Servers
   * do send on meanwhile (AsyncSSH hides the exchange behind IGNORE messages,
   * and data may be on its way), and `ssh` takes it: strict key exchange
   * forbids it in the first one only.
   */
  #enterLater(): void {
    const protocol = this.#protocol;
    const decipher = protocol._decipher;
    if (decipher === undefined) return; // it has ended
    // ssh2 makes another decipher with the new keys.
    const onPayload = decipher._onPayload;
    decipher._onPayload = (payload) => {
      return isOfExchange(payload[0] ?? 0)
        ? this.#read(payload, onPayload)
        : protocol._onPayload(payload);
    };
  }

  #read(
    payload: Uint8Array,
    onPayload: RawOnPayload,
  ): ReturnType<RawOnPayload> {
    if (payload[0] === KEXINIT) return this.#begin(payload, onPayload);
    this.#check(payload);
    return onPayload(payload);
  }

  #begin(
    payload: Uint8Array,
    onPayload: RawOnPayload,
  ): ReturnType<RawOnPayload> {
    const theirs = readKexInit(payload);
    // ssh2 says that it is malformed.
    if (theirs === undefined) return onPayload(payload);
    this.#observer.onOffer(theirs);
    const mismatch = findMismatch(ownOffer(this.#protocol._offer), theirs);
    if (mismatch !== undefined) {
      this.#observer.onMismatch(mismatch);
      throw mismatch;
    }
    return this.#hybrids === undefined
      ? onPayload(payload)
      : this.#hybrids.read(payload, theirs.kex, onPayload);
  }

  #check(payload: Uint8Array): void {
    const exchange = this.#protocol._kex;
    try {
      if (exchange === undefined) checkFirst(payload);
      else checkNumbers(exchange, payload);
    } catch (error) {
      // What still arrives is dropped.
      this.#protocol.parse = () => {};
      if (error instanceof ProtocolViolation) this.#observer.onViolation(error);
      throw error;
    }
  }
}

/** Before its first KEXINIT: a server that is full says so with a DISCONNECT. */
function checkFirst([type = 0]: Uint8Array): void {
  if (!isOfExchange(type)) return;
  throw new ProtocolViolation(
    `the server sent message ${type} before its KEXINIT`,
  );
}
