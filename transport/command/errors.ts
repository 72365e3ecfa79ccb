/**
 * Commands that failed by themselves: with an exit code, or before `sudo` let
 * them start.
 *
 * @module
 */

import { SshError, type SshErrorOptions } from "../errors.ts";
import type { ExecResult } from "../process.ts";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * A command that was run with `check: true` did not exit with code 0.
 *
 * The message has the end of its standard error, and never the command, which
 * may hold a secret. The output does not show where the error is printed.
 *
 * @example Usage
 * ```ts
 * import { CommandError, ConnectionPool } from "@sshpool/sshpool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const commands = { deploy: { code: 3, stderr: "no space left\n" } };
 * const connector = new MemoryConnector({ commands });
 * await using pool = new ConnectionPool({ connector, config: false });
 * const error = await assertRejects(
 *   () => pool.exec("ops@web-1", "deploy", { check: true }),
 *   CommandError,
 *   "no space left",
 * );
 * assertEquals(error.exitCode, 3);
 * ```
 */
export class CommandError extends SshError {
  static {
    this.prototype.name = "CommandError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_COMMAND_FAILED";
  /** The step that failed. */
  override readonly phase = "exec";
  /** The command has run. */
  override readonly mayHaveRun = true;
  /** Its exit code; `null` if a signal ended it, or if the server named none. */
  readonly exitCode: number | null;
  /** The signal that ended it, such as `"TERM"`; `null` if none did. */
  readonly signal: string | null;
  readonly #result: ExecResult<string | Uint8Array>;

  /**
   * Makes the error.
   *
   * @param message What failed, without the command.
   * @param options How it ended, and what it wrote.
   */
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** How the command ended, and what it wrote. */
      readonly result: ExecResult<string | Uint8Array>;
    },
  ) {
    super(message, options);
    const { code, signal } = options.result;
    this.exitCode = code;
    this.signal = signal;
    this.#result = options.result;
  }

  /**
   * All that `exec()` gives without `check`; bytes if it was asked for bytes. Of
   * a process that `spawn()` gave, there is only the end of standard error.
   */
  get result(): ExecResult<string | Uint8Array> {
    return this.#result;
  }

  /** Standard output as text, also if the command was run for bytes. */
  get stdout(): string {
    return text(this.#result.stdout);
  }

  /** Standard error as text, also if the command was run for bytes. */
  get stderr(): string {
    return text(this.#result.stderr);
  }
}

function text(output: string | Uint8Array): string {
  return typeof output === "string" ? output : decoder.decode(output);
}

/**
 * Why `sudo` did not start a command: it refused the password; it needs one
 * and there was none; the password has expired; so has the account, or it is
 * locked; it is locked for a while, after too many failures; something else is
 * asked for, such as a code, and nobody answers; the user may not do that;
 * there is no `sudo` on the host; it wants a terminal; the user to become does
 * not exist; it neither started the command nor asked for the password in time;
 * or something else.
 */
export type SudoFailure =
  | "wrong-password"
  | "password-required"
  | "password-expired"
  | "account-expired"
  | "locked-out"
  | "question"
  | "not-allowed"
  | "not-installed"
  | "tty-required"
  | "unknown-user"
  | "timeout"
  | "failed";

/**
 * `sudo` did not start the command. Nothing has run, unless the reason is
 * `"timeout"`: then it may have started while it was given up.
 *
 * @example Usage
 * ```ts no-eval
 * import { ConnectionPool, SudoError } from "@sshpool/sshpool";
 *
 * await using pool = new ConnectionPool();
 * const password = prompt("Password:") ?? "";
 * try {
 *   await pool.exec("web-1", "systemctl restart nginx", { sudo: { password } });
 * } catch (error) {
 *   const isRefused = error instanceof SudoError &&
 *     error.reason === "wrong-password";
 *   if (!isRefused) throw error;
 *   console.error("That is not the password");
 * }
 * ```
 */
export class SudoError extends SshError {
  static {
    this.prototype.name = "SudoError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_SUDO";
  /** The step that failed. */
  override readonly phase = "exec";
  /** Whether the command may have run: only after a timeout. */
  override readonly mayHaveRun: boolean;
  /** Why the command was not started. */
  readonly reason: SudoFailure;
  /** The user to become. */
  readonly user: string;

  /**
   * Makes the error.
   *
   * @param message What failed, without password and command.
   * @param options The reason and the user.
   */
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** Why the command was not started. */
      readonly reason: SudoFailure;
      /** The user to become. */
      readonly user: string;
    },
  ) {
    super(message, options);
    this.reason = options.reason;
    this.user = options.user;
    this.mayHaveRun = options.reason === "timeout";
  }
}
