/**
 * What a configuration that was read can be asked.
 *
 * @module
 */

import type { Notice } from "../connector.ts";
import type { SshHost } from "../host/host.ts";

/** Options for `SshConfigResolver`. */
export interface SshConfigResolverOptions {
  /**
   * The files to read, in order. They have to exist. Those below `/etc/ssh/`
   * are read as system files: what they include is relative to `/etc/ssh`, and
   * `~` is not allowed there.
   *
   * @default {["~/.ssh/config", "/etc/ssh/ssh_config"], where they exist}
   */
  readonly files?: readonly string[];
  /**
   * Run the commands of `Match exec`. They run with the rights of this process
   * each time a host is resolved, for 10 s at most. Where it is off, such a
   * block does not apply, and a notice says so.
   *
   * @default {false}
   */
  readonly allowMatchExec?: boolean;
  /**
   * The home directory, for `~` and the default file.
   *
   * @default {the local user's}
   */
  readonly home?: string;
  /**
   * How long files are taken to be unchanged before they are looked at again,
   * in milliseconds.
   *
   * @default {1_000}
   */
  readonly recheckMs?: number;
}

/** Options for {@linkcode loadSshConfig}. */
export type SshConfigOptions = Omit<SshConfigResolverOptions, "recheckMs">;

/** Options for {@linkcode SshConfig.compute}. */
export interface ComputeOptions {
  /** The user that the caller named: it wins over the configuration's. */
  readonly user?: string;
  /** The port that the caller named: it wins over the configuration's. */
  readonly port?: number;
}

/** What a configuration says about one host. Frozen. */
export interface SshConfigResult {
  /** The host as the connectors take it; hops are still to be looked up. */
  readonly host: SshHost;
  /**
   * The settings in force, by keyword in lower case: their arguments as they
   * were written. Keywords without effect here are not among them.
   */
  readonly settings: Readonly<Record<string, readonly string[]>>;
  /** What is worth a line in a log, such as keywords that have no effect here. */
  readonly notices: readonly Notice[];
  /**
   * Whether the result depends on the files alone. `false` if a command of
   * `Match exec` was asked: its answer may be another one the next time.
   */
  readonly isStable: boolean;
}

/** A configuration that was read. It does not change when its files do. */
export interface SshConfig {
  /**
   * Lists the concrete hosts: the names in `Host` lines that have no wildcard
   * and are not negated, in order, each once. `Match` blocks name none.
   *
   * @returns The names.
   */
  hosts(): string[];
  /**
   * Says what `ssh name` would mean. A stable answer is computed once.
   *
   * A command of `Match exec`, where it is allowed, blocks this call until it
   * ends. `SshConfigResolver` runs such commands without blocking.
   *
   * @param name The host, as one names it to `ssh`.
   * @param options The user and port if they are named too.
   * @returns The host and the settings in force.
   * @throws {SshConfigError} If a setting in force cannot be used.
   *
   * @example Usage
   * ```ts ignore
   * import { loadSshConfig } from "@sshpool/sshpool/ssh_config";
   *
   * const config = await loadSshConfig();
   * console.log(config.hosts(), config.compute("web-1").host.hostname);
   * ```
   */
  compute(name: string, options?: ComputeOptions): SshConfigResult;
  /**
   * Returns whether the files are still as they were read, included ones too.
   *
   * @returns `false` once one was changed, added or removed.
   */
  isCurrent(): Promise<boolean>;
}
