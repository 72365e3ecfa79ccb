/**
 * The list of host keys that OpenSSH sends after the login.
 *
 * @module
 */

import { sendIgnore } from "./_ignore.ts";
import type { RawClient } from "./fence/internals.ts";

/**
 * Passes over the list of host keys that OpenSSH sends after the login. To be
 * called before the login: the list comes in its wake.
 *
 * ssh2 has the server sign once with each of them, for an event that nobody
 * here listens to, and drops the connection over a key of a type that it cannot
 * read.
 *
 * The list is answered all the same, with a message that means nothing. Until
 * its first session runs, sshd sends by Nagle's algorithm: its next message,
 * which opens a channel, waits until TCP has acknowledged the list. A client
 * with nothing to send does that 40 ms late.
 *
 * @param raw The client, after its `connect()` was called.
 */
export function passHostKeyList(raw: RawClient): void {
  const handlers = raw._protocol._handlers;
  const { GLOBAL_REQUEST } = handlers;
  handlers.GLOBAL_REQUEST = (protocol, name, wantReply, data) => {
    if (name === "hostkeys-00@openssh.com") return sendIgnore(protocol);
    GLOBAL_REQUEST(protocol, name, wantReply, data);
  };
}
