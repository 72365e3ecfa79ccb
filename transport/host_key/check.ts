/**
 * What a dial asks about the key of its server.
 *
 * @module
 */

import type { HostKey } from "../host/host.ts";

/** The check of one dial: made before it, asked once during the key exchange. */
export interface HostKeyCheck {
  /**
   * Host key algorithms to offer first, so that a server with several keys
   * shows the one that is known; empty if no key is known.
   */
  readonly hostKeyAlgorithms: readonly string[];
  /**
   * Judges the key that the server showed.
   *
   * @param key The key.
   * @returns A promise that resolves if the key is trusted.
   * @throws {HostKeyError} If it is not; the message says what to set.
   */
  verify(key: HostKey): Promise<void>;
}
