/**
 * {@linkcode Ssh2Connector}: SSH over the ssh2 package.
 *
 * @module
 */

import type { Connection, ConnectOptions, Connector } from "../connector.ts";
import type { ResolvedHost } from "../host.ts";
import { KeyCache } from "./auth/key_cache.ts";
import { Dial } from "./_dial.ts";

/**
 * Connects with ssh2, in this process: no program is started, and it works
 * wherever there are sockets.
 *
 * It tries keys before it asks the server what it would take (a round trip
 * less), turns Nagle's algorithm off (40 ms less for each command), and prefers
 * the cipher that is fastest on the runtime at hand.
 *
 * A connector keeps the last hundred private keys that it decrypted, so that a
 * passphrase is asked for once. They can be collected with the connector. No
 * passphrase is kept; ssh2 keeps the credential that it logged in with as long
 * as the connection is open.
 *
 * @example Usage
 * ```ts
 * import { PlainResolver, Ssh2Connector } from "@sshpool/sshpool";
 * import { EmbeddedServer } from "@sshpool/sshpool/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = await EmbeddedServer.start();
 * const host = new PlainResolver().resolve(server.host());
 * await using connection = await new Ssh2Connector().connect(host);
 * assertEquals((await connection.exec("echo hello")).stdout, "hello\n");
 * ```
 */
export class Ssh2Connector implements Connector {
  /** So that a passphrase is asked for once, and not for every dial. */
  readonly #keys = new KeyCache();

  /**
   * Opens one connection.
   *
   * @param host Where to and as whom.
   * @param options The signal, the deadline, keepalive, and a tunnel.
   * @returns The connection, authenticated.
   * @throws {DialError} If it fails; the phase says where.
   * @throws {HostKeyError} If the server's key is not trusted.
   * @throws {AuthenticationError} If no credential is accepted.
   */
  connect(
    host: ResolvedHost,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    return new Dial(host, options, this.#keys).run();
  }
}
