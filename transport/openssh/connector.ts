/**
 * {@linkcode OpenSshConnector}: SSH over the `ssh` of the machine.
 *
 * @module
 */

import { CONNECT_OPTIONS } from "../connect_options.ts";
import { abortable, Deadline } from "../abort.ts";
import type { Connection, ConnectOptions, Connector } from "../connector.ts";
import { DialError } from "../errors.ts";
import { hostLabel, type ResolvedHost } from "../host/host.ts";
import {
  checkConnectorOptions,
  type OpenSshConnectorOptions,
  type Settings,
} from "./options.ts";

type Dialler = import("./_dial.ts").Dialler;

/**
 * Connects with the machine's own OpenSSH: one `ssh` process for each
 * connection, which carries all its channels; no process is started for a
 * command. Everything that `ssh` can do to log in works: security keys (FIDO),
 * GSSAPI, PKCS#11, certificates, agents, post-quantum key exchange, and every
 * line of the user's ssh_config. Bulk transfers cost this process less than
 * with ssh2; a dial takes longer (about 0.2 s), and each connection costs a
 * process, so let a pool keep few for each host.
 *
 * The connection protocol above it is the same as with ssh2: commands,
 * windows, deadlines, SFTP and forwards behave alike. A host's `alias`, the
 * name by which it was looked up, is what `ssh` looks up in turn; its address,
 * port and user come from the host.
 *
 * Nothing is started before the first dial. It needs OpenSSH 7.4 or later
 * (8.5 for fingerprints and functions as `hostKey`, and for `askpass`), and does
 * not work on Windows, whose `ssh` cannot share connections. In Deno it needs
 * `--allow-run=ssh --allow-env --allow-net`, and reading and writing its
 * `folder`: `--allow-read=/tmp --allow-write=/tmp`.
 *
 * A connection of the user's own (`ControlMaster`) is never joined: it would
 * end with this one. A process that is killed leaves its `ssh` for
 * `persistMs`, and its folder until the next one starts.
 *
 * @example One host of a pool
 * ```ts ignore
 * import { ConnectionPool } from "@sshpool/sshpool";
 *
 * await using pool = new ConnectionPool();
 * // Logs in with the security key that ssh_config names.
 * await pool.exec({ hostname: "bastion", transport: "openssh" }, ["uptime"]);
 * ```
 *
 * @example By itself
 * ```ts ignore
 * import { ConnectionPool } from "@sshpool/sshpool/pool";
 * import { OpenSshConnector } from "@sshpool/sshpool/openssh";
 *
 * const connector = new OpenSshConnector({ askpass: true });
 * await using pool = new ConnectionPool({ connector, config: {} });
 * await pool.exec("web-1", ["uptime"]);
 * ```
 */
export class OpenSshConnector implements Connector {
  /** Hosts that differ in their alias alone may log in in different ways. */
  readonly usesAlias = true;
  readonly #settings: Settings;
  #dialler: Promise<Dialler> | undefined;

  /**
   * Makes a connector. No program is started yet.
   *
   * @param options Which `ssh`, and how it is used.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(options?: OpenSshConnectorOptions) {
    this.#settings = checkConnectorOptions(options);
  }

  /**
   * Opens one connection.
   *
   * @param host Where to and as whom.
   * @param given The signal, the deadline, keepalive (in whole seconds), and
   *   a tunnel.
   * @returns The connection, authenticated.
   * @throws {DialError} If it fails; the phase says where. It is `"config"` if
   *   there is no `ssh` that can be used: the message says what to install.
   * @throws {HostKeyError} If the server's key is not trusted.
   * @throws {AuthenticationError} If no credential is accepted.
   */
  async connect(
    host: ResolvedHost,
    given: ConnectOptions = {},
  ): Promise<Connection> {
    const options = CONNECT_OPTIONS.check(given);
    const { signal, timeoutMs = 20_000, tunnel } = options;
    const name = hostLabel(host);
    let doing = () => "starting ssh";
    const deadline = new Deadline(timeoutMs, () =>
      new DialError(
        "timeout",
        `Cannot connect to ${JSON.stringify(name)}: no success within ` +
          `${Math.round(timeoutMs)} ms, while ${doing()}`,
        { host: name },
      ), signal);
    try {
      signal?.throwIfAborted();
      // Loaded when it is needed: a program that never uses it does not pay.
      this.#dialler ??= import("./_dial.ts")
        .then(({ Dialler }) => new Dialler(this.#settings));
      const dialler = await abortable(this.#dialler, deadline.signal);
      return await dialler.dial(host, options, {
        signal: deadline.signal,
        onStart: (now) => doing = now,
      });
    } catch (error) {
      tunnel?.close();
      throw error;
    } finally {
      deadline.cancel();
    }
  }
}
