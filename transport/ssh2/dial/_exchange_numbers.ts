/**
 * The numbers that a server sends while keys are exchanged.
 *
 * ssh2 hands them to the runtime as they come. There a prime of zero ends the
 * process, and one of 200,000 bits never comes to an end; all of it before the
 * server's key is known. Points of curves and RSA keys are checked by the
 * runtimes themselves.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import { ByteReader } from "../_bytes.ts";
import type { RawKeyExchange } from "../fence/internals.ts";
import { ProtocolViolation } from "../../channels/packet_transport.ts";

/** KEX_DH_GEX_GROUP in a group exchange, KEXDH_REPLY in all others. */
const GROUP_OR_REPLY = 31;
const GROUP_EXCHANGE_REPLY = 33;

/** What ssh2 asks for. RFC 8270 forbids less. */
const MIN_BITS = 2048;
const MAX_BITS = 8192;

/** Public RSA keys that `ssh` takes, by the bits of their modulus. */
const RSA_BITS = { min: 1024, max: 16_384 } as const;
/** What OpenSSL computes with. */
const MAX_EXPONENT_BITS = 64;

/**
 * Checks the numbers of a message of a key exchange.
 *
 * @param exchange The exchange under way.
 * @param payload The message.
 * @throws {ProtocolViolation} If a number is out of its range.
 */
export function checkNumbers(
  exchange: RawKeyExchange,
  payload: Uint8Array,
): void {
  const isGroupExchange = exchange.negotiated.kex.includes("group-exchange");
  const [type] = payload;
  if (type === GROUP_OR_REPLY && isGroupExchange) {
    const group = read(payload, 2);
    if (group !== undefined) checkGroup(group);
  } else if (
    type === (isGroupExchange ? GROUP_EXCHANGE_REPLY : GROUP_OR_REPLY)
  ) checkReply(exchange, payload);
}

/** The first fields of a message; nothing if it is cut short, as ssh2 says. */
function read(payload: Uint8Array, count: number): Buffer[] | undefined {
  try {
    const reader = new ByteReader(payload);
    reader.take(1);
    return Array.from({ length: count }, () => reader.string());
  } catch {
    return undefined;
  }
}

function checkGroup([prime, generator]: Buffer[]): void {
  const bits = bitsOf(prime!);
  const isOdd = (prime!.at(-1)! & 1) === 1;
  if (bits < MIN_BITS || bits > MAX_BITS || !isOdd) {
    throw new ProtocolViolation(
      `the server chose a group whose prime is ${shown(prime!, bits)}, must ` +
        `be an odd number of ${MIN_BITS} to ${MAX_BITS} bits`,
    );
  }
  if (!isInside(generator!, prime!)) {
    throw new ProtocolViolation(
      "the server chose a group whose generator is not between 1 and the " +
        "prime less 1",
    );
  }
}

function checkReply(exchange: RawKeyExchange, payload: Uint8Array): void {
  const fields = read(payload, 2);
  if (fields === undefined) return;
  const [hostKey, share] = fields;
  const prime = exchange.getDHParams?.()?.prime;
  if (prime !== undefined && !isInside(share!, prime)) {
    throw new ProtocolViolation(
      "the server's half of the key exchange is not between 1 and the prime " +
        "less 1",
    );
  }
  checkHostKey(hostKey!);
}

/** The signature of the server is checked with this key. */
function checkHostKey(key: Buffer): void {
  let exponent: Buffer;
  let modulus: Buffer;
  try {
    const reader = new ByteReader(key);
    if (reader.string().toString("latin1") !== "ssh-rsa") return;
    [exponent, modulus] = [reader.string(), reader.string()];
  } catch {
    return; // It is cut short, as ssh2 says.
  }
  const bits = bitsOf(modulus);
  const isOdd = (modulus.at(-1)! & exponent.at(-1)! & 1) === 1;
  if (bits < RSA_BITS.min || bits > RSA_BITS.max) {
    throw new ProtocolViolation(
      `the server's RSA key has ${shown(modulus, bits)}, must be ` +
        `${RSA_BITS.min} to ${RSA_BITS.max} bits`,
    );
  }
  const exponentBits = bitsOf(exponent);
  if (exponentBits < 2 || exponentBits > MAX_EXPONENT_BITS || !isOdd) {
    throw new ProtocolViolation(
      "the server's RSA key has an exponent or a modulus that none may have",
    );
  }
}

/** The length of a positive number; 0 for zero, -1 for a negative one. */
function bitsOf(number: Buffer): number {
  if ((number[0] ?? 0) >= 0x80) return -1;
  const start = number.findIndex((it) => it !== 0);
  if (start < 0) return 0;
  return (number.length - start) * 8 - (Math.clz32(number[start]!) - 24);
}

function shown(number: Buffer, bits: number): string {
  if (bits < 0) return "negative";
  if (bits === 0) return "zero";
  const parity = (number.at(-1)! & 1) === 1 ? "odd" : "even";
  return `${parity} and of ${bits} bits`;
}

/** Whether 1 < number < prime - 1, for an odd prime. */
function isInside(number: Buffer, prime: Buffer): boolean {
  const bits = bitsOf(number);
  if (bits < 2 || bits > bitsOf(prime)) return false;
  const bytes = Math.ceil(bitsOf(prime) / 8);
  const last = Uint8Array.from(prime.subarray(-bytes));
  last[bytes - 1]! -= 1;
  const padded = new Uint8Array(bytes);
  const tail = number.subarray(-bytes);
  padded.set(tail, bytes - tail.length);
  return compare(padded, last) < 0;
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((it, index) => it !== b[index]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}
