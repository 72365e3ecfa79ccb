/**
 * The base of every error: what went wrong, in which phase, on which host, and
 * whether a command may have run.
 *
 * @module
 */

/** The step of a dial that failed. */
export type DialPhase =
  | "config"
  | "dns"
  | "tcp"
  | "proxy"
  | "banner"
  | "kex"
  | "hostkey"
  | "auth"
  | "timeout";

/** The step of an operation that failed. */
export type ErrorPhase =
  | DialPhase
  | "acquire"
  | "cooldown"
  | "channel"
  | "exec"
  | "connection"
  | "sftp"
  | "closed";

/** Options for {@linkcode SshError}. */
export interface SshErrorOptions extends ErrorOptions {
  /** The name of the host, as `user@host:port`. */
  readonly host?: string | undefined;
  /** What the caller can change, such as which option to set. */
  readonly hint?: string | undefined;
}

/** What {@linkcode SshError.toJSON} returns: no secret and no output. */
export interface SshErrorJson {
  /** The name of the class. */
  readonly name: string;
  /** A stable identifier. */
  readonly code: string;
  /** What failed. */
  readonly message: string;
  /** The name of the host, as `user@host:port`, where one is known. */
  readonly host?: string;
  /** The step that failed. */
  readonly phase: ErrorPhase;
  /** Whether a command of the caller may have run on the host. */
  readonly mayHaveRun: boolean;
  /** What the caller can change, where that is known. */
  readonly hint?: string;
}

/**
 * The base of every error of this library.
 *
 * @example Tell a transport failure from any other
 * ```ts
 * import { SshError } from "@sshpool/sshpool";
 *
 * function describe(error: unknown): string {
 *   if (!(error instanceof SshError)) return "not ours";
 *   return `${error.code} in ${error.phase}, may have run: ${error.mayHaveRun}`;
 * }
 * describe(new Error("x"));
 * ```
 */
export abstract class SshError extends Error {
  /** A stable identifier, such as `"SSH_DIAL"`. */
  abstract readonly code: string;
  /** The step that failed. */
  abstract readonly phase: ErrorPhase;
  /** Whether a command of the caller may have run on the host. */
  readonly mayHaveRun: boolean = false;
  /** The name of the host, as `user@host:port`, where one is known. */
  readonly host: string | undefined;
  /** What the caller can change, such as which option to set; absent if nothing is known. */
  declare readonly hint?: string;

  static {
    this.prototype.name = "SshError";
  }

  /**
   * Makes the error.
   *
   * @param message What failed, without any secret.
   * @param options The host, the hint and the cause.
   */
  constructor(message: string, options: SshErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.host = options.host;
    if (options.hint !== undefined) this.hint = options.hint;
  }

  /**
   * Gives what a log needs. Output of the command, the cause and the stack are
   * left out.
   *
   * @returns A plain object, for `JSON.stringify()`.
   */
  toJSON(): SshErrorJson {
    const { name, code, message, host, phase, mayHaveRun, hint } = this;
    return {
      name,
      code,
      message,
      ...host === undefined ? {} : { host },
      phase,
      mayHaveRun,
      ...hint === undefined ? {} : { hint },
    };
  }
}
