/**
 * Keeps ssh2 from filling the memory of Deno.
 *
 * For every packet under chacha20-poly1305 ssh2 makes three ciphers, uses each
 * once and drops it. Node frees them with the rest of the garbage. Deno keeps
 * each in its table of resources until `final()` is called, which ssh2 does
 * not do: 280 bytes apiece, some 8 KiB for each command, never to come back.
 *
 * ssh2 takes its functions from `node:crypto` when it is loaded, and cannot be
 * reached after that. So just then it is given functions that call `final()`:
 * this module has to be evaluated before ssh2, and `restore()` called after.
 * Nobody else gets to see them. Where ssh2 was loaded by somebody before, or
 * a bundler changes the order, ssh2 works as it always did.
 *
 * @module
 */

import crypto from "node:crypto";

interface OneShot {
  update(data: Uint8Array): Uint8Array;
  final(): unknown;
}

type Make = (algorithm: string, ...rest: unknown[]) => OneShot;

// The type of the module has its members readonly; it is a plain object.
const mutable = crypto as unknown as Record<string, Make>;
const originals = Reflect.has(globalThis, "Deno")
  ? ["createCipheriv", "createDecipheriv"].map((name) => replace(name))
  : [];

function replace(name: string): { name: string; make: Make } {
  const make = mutable[name]!;
  mutable[name] = (algorithm, ...rest) => {
    const cipher = make(algorithm, ...rest);
    // Of the ciphers of SSH this is the one that ssh2 makes for one use.
    return algorithm === "chacha20" ? finished(cipher) : cipher;
  };
  return { name, make };
}

function finished(cipher: OneShot): OneShot {
  const update = cipher.update;
  cipher.update = (data) => {
    const result = update.call(cipher, data);
    cipher.final();
    return result;
  };
  return cipher;
}

/** Gives `node:crypto` its own functions back. */
export function restore(): void {
  for (const { name, make } of originals) mutable[name] = make;
}
