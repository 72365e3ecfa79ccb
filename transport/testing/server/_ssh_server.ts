/** The side of the embedded server that needs ssh2, which is loaded with it. */

import type { Socket } from "node:net";
// @ts-types="@types/ssh2"
import ssh2, { type ServerConfig } from "ssh2";
import { prepareCiphers } from "../../ssh2/cipher/ciphers.ts";
import type { EmbeddedServerOptions } from "./embedded_server_options.ts";
import { ServerConnection, type ServerParts } from "./_connection.ts";
import { fingerprint } from "../../host_key/check.ts";
import { keyPair, wireForm } from "./_keys.ts";

/** Speaks SSH on sockets that are given to it. */
export class SshServer {
  /** `SHA256:...` of its (first) host key. */
  readonly hostKeyFingerprint: `SHA256:${string}`;
  /** The private key that is let in. */
  readonly clientKey: string = keyPair("client").privateKey;
  readonly #ssh: ssh2.Server;
  readonly #live: Set<Promise<void>> = new Set();

  constructor(parts: ServerParts) {
    const { options } = parts;
    const hostKeys = [...options.hostKeys ?? [keyPair("host").privateKey]];
    this.hostKeyFingerprint = fingerprint(wireForm(hostKeys[0]!));
    this.#ssh = new ssh2.Server({
      // With a number as in OpenSSH 10: the client of ssh2 asks no other server for
      // forwards of unix sockets.
      ident: "sshpool_10",
      hostKeys,
      ...algorithmsOf(options),
    }, (client) => {
      const ended = new Promise<void>((resolve) => {
        new ServerConnection(client, parts, resolve);
      });
      this.#live.add(ended);
      ended.then(() => this.#live.delete(ended));
    });
  }

  /** Makes ready what a server needs, before the first one is made. */
  static async prepare(): Promise<void> {
    await prepareCiphers();
  }

  /** Serves a client on a socket. */
  serve(socket: Socket): void {
    this.#ssh.injectSocket(socket);
  }

  /** Resolves when all that belonged to its connections has ended with them. */
  async ended(): Promise<void> {
    await Promise.all(this.#live);
  }
}

/** Names of algorithms are plain strings here, and an enumeration in ssh2's types. */
function algorithmsOf(
  { algorithms }: EmbeddedServerOptions,
): Pick<ServerConfig, "algorithms"> {
  if (algorithms === undefined) return {};
  const { kex, cipher, mac: hmac } = algorithms;
  const given = Object.entries({ kex, cipher, hmac })
    .filter(([, names]) => names !== undefined);
  return { algorithms: Object.fromEntries(given) };
}
