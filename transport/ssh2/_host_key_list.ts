/**
 * The list of host keys that OpenSSH sends after the login.
 *
 * @module
 */

import type { RawClient } from "./_internals.ts";

/**
 * Ignores the list of host keys that OpenSSH sends after the login.
 *
 * ssh2 has the server sign once with each of them, for an event that nobody
 * here listens to, and drops the connection over a key of a type that it cannot
 * read. To be called before the login: the list comes in its wake.
 *
 * @param raw The client, after its `connect()` was called.
 */
export function ignoreHostKeyList(raw: RawClient): void {
  const handlers = raw._protocol._handlers;
  const { GLOBAL_REQUEST } = handlers;
  handlers.GLOBAL_REQUEST = (protocol, name, wantReply, data) => {
    if (name === "hostkeys-00@openssh.com") return;
    GLOBAL_REQUEST(protocol, name, wantReply, data);
  };
}
