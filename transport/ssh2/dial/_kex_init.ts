/**
 * The KEXINIT of a server: what it offers, and what both sides have in common.
 *
 * @module
 */

import { serverText } from "../../session/server_text.ts";
import { ByteReader } from "../_bytes.ts";
import type { RawOffer } from "../fence/internals.ts";

/** The message number of a KEXINIT, the first one of an exchange. */
export const KEXINIT = 20;

/** Whether a message is part of a key exchange, by its number (RFC 4250). */
export function isOfExchange(type: number): boolean {
  return type >= KEXINIT && type < 50;
}

/** Where the lists begin: behind the message number and the cookie. */
export const LISTS_AT = 17;
/** The most names of a server that a message shows. */
const MAX_SHOWN = 24;
const MARKER = /^(ext-info|kex-strict)-/;
/** Ciphers that need no MAC. */
const IS_SEALED = /gcm@openssh\.com$|^chacha20-poly1305@/;

/** The lists of a KEXINIT that are agreed on, in its order. */
export interface KexOffer {
  readonly kex: readonly string[];
  readonly hostKey: readonly string[];
  readonly cipherOut: readonly string[];
  readonly cipherIn: readonly string[];
  readonly macOut: readonly string[];
  readonly macIn: readonly string[];
}

/**
 * Reads a KEXINIT.
 *
 * @param payload The message.
 * @returns What it offers; `undefined` if it is cut short, which ssh2 refuses.
 */
export function readKexInit(payload: Uint8Array): KexOffer | undefined {
  try {
    const reader = new ByteReader(payload);
    reader.take(LISTS_AT);
    const names = () =>
      reader.string().toString("latin1").split(",").filter((it) => it !== "");
    return {
      kex: names(),
      hostKey: names(),
      cipherOut: names(),
      cipherIn: names(),
      macOut: names(),
      macIn: names(),
    };
  } catch {
    return undefined;
  }
}

/** Where the list of key exchange methods ends, in a KEXINIT that is whole. */
export function kexListEnd(payload: Uint8Array): number {
  const reader = new ByteReader(payload);
  reader.take(LISTS_AT);
  return LISTS_AT + 4 + reader.uint32();
}

/** Whether it stands among the key exchange methods and is none. */
export function isMarker(name: string): boolean {
  return MARKER.test(name);
}

/** Our own offer, as ssh2 holds it. */
export function ownOffer({ lists }: RawOffer): KexOffer {
  return {
    kex: lists.kex.array,
    hostKey: lists.serverHostKey.array,
    cipherOut: lists.cs.cipher.array,
    cipherIn: lists.sc.cipher.array,
    macOut: lists.cs.mac.array,
    macIn: lists.sc.mac.array,
  };
}

/** Both sides speak SSH, and have no algorithm of one kind in common. */
export class NoCommonAlgorithm extends Error {
  override readonly name = "NoCommonAlgorithm";
  /** The field of `algorithms` that decides. */
  readonly field: "kex" | "hostKey" | "cipher" | "mac";
  /** What the server offers. */
  readonly offered: readonly string[];

  /**
   * @param kind What there is none of, for a message.
   * @param field The field of `algorithms` that decides.
   * @param ours What this side offers.
   * @param theirs What the server offers.
   */
  constructor(
    kind: string,
    field: NoCommonAlgorithm["field"],
    ours: readonly string[],
    theirs: readonly string[],
  ) {
    super(
      `no ${kind} in common: the server offers ${listed(theirs)}; ` +
        `this side offers ${listed(ours)}`,
    );
    this.field = field;
    this.offered = theirs;
  }
}

/** The first kind of algorithm of which there is none in common. */
export function findMismatch(
  ours: KexOffer,
  theirs: KexOffer,
): NoCommonAlgorithm | undefined {
  const check = (
    kind: string,
    field: NoCommonAlgorithm["field"],
    list: keyof KexOffer,
  ) =>
    agreed(ours[list], theirs[list]) === undefined
      ? new NoCommonAlgorithm(kind, field, ours[list], theirs[list])
      : undefined;
  const needsMac = (list: "cipherOut" | "cipherIn") =>
    !IS_SEALED.test(agreed(ours[list], theirs[list]) ?? "");
  return check("key exchange method", "kex", "kex") ??
    check("type of host key", "hostKey", "hostKey") ??
    check("cipher", "cipher", "cipherOut") ??
    check("cipher", "cipher", "cipherIn") ??
    (needsMac("cipherOut") ? check("MAC", "mac", "macOut") : undefined) ??
    (needsMac("cipherIn") ? check("MAC", "mac", "macIn") : undefined);
}

/** The client's first name that the server has too. */
export function agreed(
  ours: readonly string[],
  theirs: readonly string[],
): string | undefined {
  return ours.find((name) => !isMarker(name) && theirs.includes(name));
}

function listed(names: readonly string[]): string {
  const shown = names.filter((it) => !isMarker(it));
  const text = shown.slice(0, MAX_SHOWN).map((it) => serverText(it, 64));
  if (shown.length > MAX_SHOWN) text.push("and more");
  return text.join(", ") || "none";
}
