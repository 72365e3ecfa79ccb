/**
 * {@linkcode RoutingConnector}: several connectors in one pool.
 *
 * @module
 */

import type { Connection, ConnectOptions, Connector } from "./connector.ts";
import { DialError } from "./errors.ts";
import { hostLabel, type ResolvedHost } from "./host/host.ts";

/**
 * Lets each host choose its connector, by its field `transport`. The first one
 * is for hosts that name none.
 *
 * The pool of the main entry point has one of these, with `"ssh2"` and
 * `"openssh"`. `transport` is part of what tells hosts apart, so those that
 * differ in it never share a connection. Hops choose for themselves.
 *
 * @example An option for one of the connectors
 * ```ts
 * import { ConnectionPool, RoutingConnector, Ssh2Connector } from "@sshpool/sshpool";
 * import { OpenSshConnector } from "@sshpool/sshpool/openssh";
 *
 * await using pool = new ConnectionPool({
 *   connector: new RoutingConnector({
 *     ssh2: new Ssh2Connector(),
 *     openssh: new OpenSshConnector({ askpass: true }),
 *   }),
 *   config: {},
 *   defaults: { transport: "openssh" },
 * });
 * ```
 */
export class RoutingConnector implements Connector {
  /** As the first connector has it; a host that names one counts its alias anyhow. */
  readonly usesAlias: boolean;
  readonly #connectors: ReadonlyMap<string, Connector>;
  readonly #first: Connector;

  /**
   * Makes a connector of several.
   *
   * @param connectors The connectors by their names; the first one is for hosts
   *   that name none.
   * @throws {TypeError} If there is none, or one has no `connect()`.
   */
  constructor(connectors: Readonly<Record<string, Connector>>) {
    const entries = Object.entries(connectors);
    for (const [name, connector] of entries) {
      if (typeof connector?.connect === "function") continue;
      throw new TypeError(
        `Cannot make the connector: ${
          JSON.stringify(name)
        } must be an object ` +
          "with a connect() method",
      );
    }
    const first = entries[0]?.[1];
    if (first === undefined) {
      throw new TypeError(
        "Cannot make the connector: there is none, must be at least one",
      );
    }
    this.#connectors = new Map(entries);
    this.#first = first;
    this.usesAlias = first.usesAlias ?? false;
  }

  /**
   * Opens one connection.
   *
   * @param host Where to and as whom, and with which connector.
   * @param options As they are for that connector.
   * @returns The connection, authenticated.
   * @throws {DialError} With phase `config` if there is no connector of that
   *   name; else what that connector throws.
   */
  async connect(
    host: ResolvedHost,
    options?: ConnectOptions,
  ): Promise<Connection> {
    const { transport } = host;
    const connector = transport === undefined
      ? this.#first
      : this.#connectors.get(transport);
    if (connector !== undefined) return await connector.connect(host, options);
    options?.tunnel?.close();
    const name = hostLabel(host);
    const allowed = [...this.#connectors.keys()]
      .map((it) => JSON.stringify(it)).join(" or ");
    throw new DialError(
      "config",
      `Cannot connect to ${JSON.stringify(name)}: transport is ` +
        `${JSON.stringify(transport)}, must be ${allowed}`,
      { host: name },
    );
  }
}
