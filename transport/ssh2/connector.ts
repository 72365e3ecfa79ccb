/**
 * {@linkcode Ssh2Connector}: SSH over the ssh2 package.
 *
 * @module
 */

import { CONNECT_OPTIONS } from "../connect_options.ts";
import type {
  Connection,
  ConnectOptions,
  Connector,
  Notice,
} from "../connector.ts";
import { HostKeyError } from "../errors.ts";
import { hostLabel, type ResolvedHost } from "../host/host.ts";
import { flag } from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";
import { KeyCache } from "./auth/key_cache.ts";
import { loadFor, loadOnce } from "./dial/load.ts";

/**
 * Loads ssh2 and all that is built on it, at the first dial: a program that
 * imports this package and dials nothing does not pay for it. No other file
 * that is loaded at import may need ssh2.
 */
const loadDial = loadOnce(() => import("./dial/dial.ts"));

/** The code of the notice about a key exchange that quantum computers break. */
const NOT_POST_QUANTUM = "not-post-quantum";

/** Options for {@linkcode Ssh2Connector}. */
export interface Ssh2ConnectorOptions {
  /**
   * Gives a notice with the code `not-post-quantum`, once for each host, when
   * its server has no post-quantum key exchange: what is recorded of such a
   * connection can be read once there are quantum computers.
   *
   * Of OpenSSH that is every server before 9.9, whose only such method is
   * another one (sntrup761x25519-sha512).
   *
   * @default {false}
   */
  readonly warnNotPostQuantum?: boolean;
}

const OPTIONS = new OptionTable<Ssh2ConnectorOptions>(
  "make the connector",
  { warnNotPostQuantum: flag },
);

/**
 * Connects with ssh2, in this process: no program is started, and it works
 * wherever there are sockets.
 *
 * It tries keys before it asks the server what it would take (a round trip
 * less), turns Nagle's algorithm off (40 ms less for each command), and prefers
 * the cipher that is fastest on the runtime at hand. ssh2 is loaded at the first
 * dial. Keys are agreed on with `mlkem768x25519-sha256` where the server has it
 * (OpenSSH from 9.9 on): no later quantum computer can read what was recorded.
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
  /** The hosts whose key exchange was told of; none at all without the option. */
  readonly #told: Set<string> | undefined;

  /**
   * Makes the connector.
   *
   * @param options What to tell of.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   */
  constructor(options: Ssh2ConnectorOptions = {}) {
    const { warnNotPostQuantum = false } = OPTIONS.check(options);
    this.#told = warnNotPostQuantum ? new Set() : undefined;
  }

  /**
   * Opens one connection.
   *
   * @param host Where to and as whom.
   * @param given The signal, the deadline, keepalive, and a tunnel.
   * @returns The connection, authenticated.
   * @throws {DialError} If it fails; the phase says where. It is `"config"` if
   *   ssh2 cannot be loaded, which the next dial tries again.
   * @throws {HostKeyError} If the server's key is not trusted.
   * @throws {AuthenticationError} If no credential is accepted.
   */
  async connect(
    host: ResolvedHost,
    given: ConnectOptions = {},
  ): Promise<Connection> {
    const options = CONNECT_OPTIONS.check(given);
    const startedAt = performance.now();
    const { timeoutMs = 20_000 } = options;
    const { Dial } = await loadFor(loadDial, host, { ...options, timeoutMs });
    const { onNotice } = options;
    const told = onNotice === undefined ? options : {
      ...options,
      onNotice: (notice: Notice) => {
        if (this.#isNews(host, notice)) onNotice(notice);
      },
    };
    const { openTunnel } = options;
    let { tunnel } = options;
    let hostKey: readonly string[] | undefined;
    for (;;) {
      const tuning = hostKey === undefined ? {} : { hostKey };
      const way = tunnel === undefined ? told : { ...told, tunnel };
      const dial = new Dial(host, way, this.#keys, tuning);
      try {
        return await dial.run(performance.now() - startedAt);
      } catch (error) {
        // A fingerprint does not tell its type of key. Where the server has
        // keys of other types, it may be one of theirs.
        hostKey = dial.otherHostKeys;
        const isOther = error instanceof HostKeyError && isPinned(host) &&
          error.reason === "mismatch";
        // The tunnel has ended with the dial.
        const hasWay = tunnel === undefined || openTunnel !== undefined;
        if (!isOther || !hasWay || hostKey.length === 0) throw error;
        tunnel = await openTunnel?.();
      }
    }
  }

  #isNews(host: ResolvedHost, { code }: Notice): boolean {
    if (code !== NOT_POST_QUANTUM) return true;
    const name = hostLabel(host);
    if (this.#told === undefined || this.#told.has(name)) return false;
    this.#told.add(name);
    return true;
  }
}

function isPinned({ hostKey }: ResolvedHost): boolean {
  return Array.isArray(hostKey) ||
    (typeof hostKey === "string" && hostKey.startsWith("SHA256:"));
}
