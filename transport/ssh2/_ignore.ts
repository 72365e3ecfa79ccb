/**
 * SSH_MSG_IGNORE: a message that means nothing.
 *
 * @module
 */

import type { RawProtocol } from "./fence/internals.ts";

/** The message, with an empty string. */
const IGNORE = [2, 0, 0, 0, 0];

/** Sends one. What TCP has to acknowledge is acknowledged with it, at once. */
export function sendIgnore(protocol: RawProtocol): void {
  const writer = protocol._packetRW.write;
  const packet = writer.alloc(IGNORE.length);
  packet.set(IGNORE, writer.allocStart);
  protocol._cipher?.encrypt(writer.finalize(packet));
}
