/**
 * {@linkcode Ssh2Connector}: SSH over the ssh2 package.
 *
 * @module
 */

import type { Connection, ConnectOptions, Connector } from "../connector.ts";
import type { ResolvedHost } from "../host/host.ts";
import { KeyCache } from "./auth/key_cache.ts";
import { loadFor, loadOnce } from "./dial/load.ts";

/**
 * Loads ssh2 and all that is built on it, at the first dial: a program that
 * imports this package and dials nothing does not pay for it. No other file
 * that is loaded at import may need ssh2.
 */
const loadDial = loadOnce(() => import("./dial/dial.ts"));

/**
 * Connects with ssh2, in this process: no program is started, and it works
 * wherever there are sockets.
 *
 * It tries keys before it asks the server what it would take (a round trip
 * less), turns Nagle's algorithm off (40 ms less for each command), and prefers
 * the cipher that is fastest on the runtime at hand. ssh2 is loaded at the first
 * dial.
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
   * @throws {DialError} If it fails; the phase says where. It is `"config"` if
   *   ssh2 cannot be loaded, which the next dial tries again.
   * @throws {HostKeyError} If the server's key is not trusted.
   * @throws {AuthenticationError} If no credential is accepted.
   */
  async connect(
    host: ResolvedHost,
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const startedAt = performance.now();
    const { timeoutMs = 20_000 } = options;
    const { Dial } = await loadFor(loadDial, host, { ...options, timeoutMs });
    const spentMs = performance.now() - startedAt;
    return await new Dial(host, options, this.#keys).run(spentMs);
  }
}
