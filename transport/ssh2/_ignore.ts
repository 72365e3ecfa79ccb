/**
 * SSH_MSG_IGNORE: a message that means nothing.
 *
 * @module
 */

import { HEAD } from "../channels/packet_transport.ts";
import type { RawProtocol } from "./fence/internals.ts";

/** The message, with an empty string. */
const IGNORE = [2, 0, 0, 0, 0];

/** Sends one. What TCP has to acknowledge is acknowledged with it, at once. */
export function sendIgnore({ _cipher }: RawProtocol): void {
  if (_cipher === undefined) return;
  const packet = _cipher.allocPacket(IGNORE.length);
  packet.set(IGNORE, HEAD);
  _cipher.encrypt(packet);
}
