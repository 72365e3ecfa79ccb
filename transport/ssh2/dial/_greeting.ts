/**
 * What a server sends before SSH begins, and the key that it shows.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import type { HostKey, ResolvedHost } from "../../host/host.ts";
import { fingerprint } from "../../host_key/check.ts";
import { serverText } from "../../session/server_text.ts";

const MAX_CHARS = 1024;
const THROTTLING = /maxstartups|not allowed at this time|too many/i;

/**
 * Watches the first bytes, until the banner: an sshd that is over its limit
 * says so in plain text and hangs up, which ssh2 does not pass on.
 */
export class Greeting {
  #text = "";

  /** @param onBanner Told when the server's SSH banner has come. */
  constructor(socket: Duplex, onBanner: () => void) {
    const onData = (chunk: Buffer) => {
      this.#text += chunk.toString("latin1");
      if (/^SSH-/m.test(this.#text)) onBanner();
      else if (this.#text.length < MAX_CHARS) return;
      socket.off("data", onData);
    };
    socket.on("data", onData);
  }

  /**
   * Whether a hang-up before the banner asks for patience: the server named a
   * limit, or, as sshd does under load, went without a word.
   */
  get isThrottling(): boolean {
    return this.text === "" || THROTTLING.test(this.#text);
  }

  /** What it was, for a message. */
  get text(): string {
    return this.#text.slice(0, 200).replace(/[^\x20-\x7e]+/g, " ").trim();
  }
}

/** The key that a server showed, for those who judge it. */
export function parseHostKey(
  host: ResolvedHost,
  name: string,
  key: Uint8Array,
): HostKey {
  const bytes = new Uint8Array(key);
  const length = bytes.length < 4 ? 0 : new DataView(bytes.buffer).getUint32(0);
  return {
    host: name,
    hostname: host.hostKeyAlias ?? host.hostname,
    port: host.port,
    type: serverText(
      new TextDecoder("latin1").decode(bytes.subarray(4, 4 + length)),
      64,
    ),
    fingerprint: fingerprint(bytes),
    key: bytes,
  };
}
