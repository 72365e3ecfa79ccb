/**
 * Flow control: a server may send no more than the window of a channel allows.
 *
 * ssh2 counts, but takes what comes too much all the same: whoever reads slowly
 * would keep all of it in memory.
 *
 * @module
 */

import { type RawClient, WINDOW_BYTES } from "./fence/internals.ts";
import { ProtocolViolation } from "./_protocol_violation.ts";

/** As much as OpenSSH's client puts up with: there are servers that miscount. */
const TOLERATED_BYTES = WINDOW_BYTES / 10;

/** The type of extended data that is standard error; ssh2 drops any other. */
const STDERR = 1;

/**
 * Ends the connection when the server sends too much on one of its channels.
 *
 * @param raw The client, in the turn in which its `connect()` was called.
 */
export function enforceWindows(raw: RawClient): void {
  const handlers = raw._protocol._handlers;
  const { CHANNEL_DATA, CHANNEL_EXTENDED_DATA } = handlers;
  handlers.CHANNEL_DATA = (protocol, id, data) => {
    check(raw, id, data.length);
    CHANNEL_DATA(protocol, id, data);
  };
  handlers.CHANNEL_EXTENDED_DATA = (protocol, id, data, type) => {
    if (type === STDERR) check(raw, id, data.length);
    CHANNEL_EXTENDED_DATA(protocol, id, data, type);
  };
}

/** Throws out of ssh2's `parse()`, which ends the connection with the error. */
function check(raw: RawClient, id: number, bytes: number): void {
  const channel = raw._chanMgr.get(id);
  if (typeof channel !== "object") return; // closed, or not open yet
  const { incoming } = channel;
  const left = incoming.window - bytes;
  if (left >= 0) return;
  if (left < -TOLERATED_BYTES) {
    throw new ProtocolViolation(
      `the server sent ${-left} bytes more on a channel than its window allows`,
    );
  }
  // With a window of exactly 0 ssh2 would drop the data.
  if (incoming.window === 0) incoming.window = -1;
}
