/**
 * A password that is taken out of memory once it was sent.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** As ssh2 takes it, too, which its types do not say; a text cannot be wiped. */
export function wipeable(password: string): string {
  return Buffer.from(password) as unknown as string;
}

/** Takes such a password out of memory. */
export function wipe(password: unknown): void {
  if (Buffer.isBuffer(password)) password.fill(0);
}
