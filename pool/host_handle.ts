/**
 * One host of a pool, with every verb bound to it.
 *
 * @module
 */

import type { Command } from "../transport/command/command.ts";
import type { Connection } from "../transport/connector.ts";
import type { Forward } from "../transport/forward/forward.ts";
import type { HostLike } from "../transport/host/host.ts";
import type {
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
} from "../transport/process.ts";
import type { Sftp } from "../transport/sftp/sftp.ts";
import type { TransferResult } from "../transport/sftp/transfer/options.ts";
import type { ForwardTarget } from "../transport/host/target.ts";
import { sh, type ShellValue } from "../transport/command/template.ts";
import type { Verbs } from "./core/verbs.ts";
import type { PoolForwardOptions, PoolTunnel } from "./forward.ts";
import type { Lease } from "./lease.ts";
import type {
  AcquireOptions,
  ExecOptions,
  PoolTransferOptions,
  ShellOptions,
  SpawnOptions,
} from "./options.ts";

/** The verbs, which are bound to their handle. */
const VERBS = [
  "$",
  "acquire",
  "connect",
  "download",
  "exec",
  "forward",
  "getConnection",
  "sftp",
  "shell",
  "spawn",
  "upload",
] as const;

/**
 * One host of a pool. Each verb is that of {@linkcode ConnectionPool} without
 * its first parameter, and fails as that does. A handle holds no connection and
 * needs no closing: make as many as you like.
 *
 * The verbs need no `this`: `const { $, exec } = pool.host("web-1")` works.
 *
 * @example Work with one host
 * ```ts
 * import { ConnectionPool } from "@sshpool/sshpool/pool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using pool = new ConnectionPool({ connector: new MemoryConnector() });
 * const web = pool.host("ops@web-1");
 * const { stdout } = await web.exec(["echo", "hello"]);
 * assertEquals(stdout, "hello\n");
 * ```
 */
export class HostHandle {
  readonly #verbs: Verbs;
  readonly #host: HostLike;

  /**
   * Handles come from `ConnectionPool.host()`.
   *
   * @ignore
   */
  constructor(verbs: Verbs, host: HostLike) {
    this.#verbs = verbs;
    this.#host = host;
    for (const name of VERBS) {
      // Like a method: not shown by console.log(), and a test can replace it.
      Object.defineProperty(this, name, {
        value: this[name].bind(this),
        configurable: true,
        writable: true,
      });
    }
  }

  /** A connection to the host, shared by all callers. See {@linkcode ConnectionPool.getConnection}. */
  getConnection(options?: AcquireOptions): Promise<Connection> {
    return this.#verbs.getConnection(this.#host, options);
  }

  /** Borrows a slot. See {@linkcode ConnectionPool.acquire}. */
  acquire(options?: AcquireOptions): Promise<Lease> {
    return this.#verbs.acquire(this.#host, options);
  }

  /** Runs a command and collects its output. See {@linkcode ConnectionPool.exec}. */
  exec<Encoding extends OutputEncoding = "text">(
    command: Command,
    options?: ExecOptions<Encoding>,
  ): Promise<ExecResult<Output<Encoding>>> {
    return this.#verbs.exec(this.#host, command, options);
  }

  /**
   * Runs a command that is written as a template. Each value means itself: it
   * is quoted, and an array becomes several words. See `sh`.
   *
   * @example Remove files whose names come from elsewhere
   * ```ts
   * import { ConnectionPool } from "@sshpool/sshpool/pool";
   * import { MemoryConnector } from "@sshpool/sshpool/testing";
   * import { assertEquals } from "@std/assert";
   *
   * const connector = new MemoryConnector({ commands: { rm: {} } });
   * await using pool = new ConnectionPool({ connector });
   * const web = pool.host("ops@web-1");
   * await web.$`rm -f ${["a b.txt", "$(reboot)"]}`;
   * assertEquals(connector.calls[0]?.command, "rm -f 'a b.txt' '$(reboot)'");
   * ```
   *
   * @param strings The text of the template.
   * @param values Its values.
   * @returns How the command ended, and what it wrote as text.
   * @throws {CommandError} If the exit code is not 0.
   * @throws {TypeError} If a value cannot be quoted where it stands.
   */
  async $(
    strings: TemplateStringsArray,
    ...values: readonly ShellValue[]
  ): Promise<ExecResult> {
    return await this.exec(sh(strings, ...values), { check: true });
  }

  /** Starts a command and gives its streams. See {@linkcode ConnectionPool.spawn}. */
  spawn(command: Command, options?: SpawnOptions): Promise<RemoteProcess> {
    return this.#verbs.spawn(this.#host, command, options);
  }

  /** Starts a login shell in a terminal. See {@linkcode ConnectionPool.shell}. */
  shell(options?: ShellOptions): Promise<RemoteProcess> {
    return this.#verbs.shell(this.#host, options);
  }

  /** Gives an SFTP session. See {@linkcode ConnectionPool.sftp}. */
  sftp(options?: AcquireOptions): Promise<Sftp> {
    return this.#verbs.sftp(this.#host, options);
  }

  /** Copies a local file or a tree to the host. See {@linkcode ConnectionPool.upload}. */
  upload(
    local: string,
    remote: string,
    options?: PoolTransferOptions,
  ): Promise<TransferResult> {
    return this.#verbs.upload(this.#host, local, remote, options);
  }

  /** Copies a file or a tree of the host to this side. See {@linkcode ConnectionPool.download}. */
  download(
    remote: string,
    local: string,
    options?: PoolTransferOptions,
  ): Promise<TransferResult> {
    return this.#verbs.download(this.#host, remote, local, options);
  }

  /** Opens a byte stream from the host to a target. See {@linkcode ConnectionPool.connect}. */
  connect(
    target: string | ForwardTarget,
    options?: AcquireOptions,
  ): Promise<PoolTunnel> {
    return this.#verbs.connect(this.#host, target, options);
  }

  /** Leads connections through the host. See {@linkcode ConnectionPool.forward}. */
  forward(options: PoolForwardOptions): Promise<Forward> {
    return this.#verbs.forward(this.#host, options);
  }
}
