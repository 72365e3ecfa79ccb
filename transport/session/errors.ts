/**
 * Sessions that ended otherwise than a command does.
 *
 * @module
 */

import {
  type PartialOutput,
  SshError,
  type SshErrorOptions,
} from "../errors.ts";

/**
 * The server closed the channel of a command, on a live connection, and did
 * not say how the command ended. It may have run, in part or as a whole.
 *
 * @example Read what had arrived
 * ```ts
 * import { ChannelClosedError } from "@sshpool/sshpool";
 *
 * function partOf(error: unknown): string {
 *   if (!(error instanceof ChannelClosedError)) throw error;
 *   return new TextDecoder().decode(error.output?.stdout);
 * }
 * partOf(new ChannelClosedError("closed"));
 * ```
 */
export class ChannelClosedError extends SshError {
  static {
    this.prototype.name = "ChannelClosedError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_CHANNEL_CLOSED";
  /** The step that failed. */
  override readonly phase = "exec";
  /** The command may have run. */
  override readonly mayHaveRun = true;
  /** What had arrived before. Not enumerable: it may hold a secret. */
  readonly output: PartialOutput | undefined;

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options The host, and what had arrived.
   */
  constructor(message: string, options: SshErrorOptions & {
    /** What had arrived. */
    readonly output?: PartialOutput | undefined;
  } = {}) {
    super(message, options);
    const { output: value } = options;
    Object.defineProperty(this, "output", { value, enumerable: false });
  }
}

/**
 * The server does not let the caller set an environment variable. The command
 * was not sent, unless the server had granted the same variable on this
 * connection before: see {@linkcode EnvironmentRefusedError.mayHaveRun}.
 *
 * @example Which variables were refused
 * ```ts
 * import { EnvironmentRefusedError } from "@sshpool/sshpool";
 *
 * const error = new EnvironmentRefusedError("refused", { names: ["APP_ENV"] });
 * console.log(error.names);
 * ```
 */
export class EnvironmentRefusedError extends SshError {
  static {
    this.prototype.name = "EnvironmentRefusedError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_ENV_REFUSED";
  /** The step that failed. */
  override readonly phase = "exec";
  /**
   * Whether the command may have run: only if the server refused what it had
   * granted before. It was sent along then.
   */
  override readonly mayHaveRun: boolean;
  /** The names of the variables that the server refuses. */
  readonly names: readonly string[];

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options The host, the names, and what to set.
   */
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** The names of the variables. */
      readonly names: readonly string[];
      /**
       * Whether the command may have run.
       *
       * @default {false}
       */
      readonly mayHaveRun?: boolean;
    },
  ) {
    super(message, options);
    this.names = options.names;
    this.mayHaveRun = options.mayHaveRun ?? false;
  }
}
