/**
 * What went wrong, in which phase, on which host, and whether a command may
 * have run. Every failure of this library is one of these classes; an aborted
 * call rejects with the signal's own reason instead.
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

/** Options for {@linkcode DialError}. */
export interface DialErrorOptions extends SshErrorOptions {
  /**
   * The server dropped the connection before its banner, or named a limit:
   * waiting and dialling again may succeed.
   *
   * @default {false}
   */
  readonly throttled?: boolean;
}

/** A connection could not be opened. No command has run. */
export class DialError extends SshError {
  static {
    this.prototype.name = "DialError";
  }

  /** A stable identifier. */
  override readonly code: string = "SSH_DIAL";
  /** The step that failed. */
  override readonly phase: DialPhase;
  /** The server limits its logins: a later dial may succeed. */
  readonly throttled: boolean;

  /**
   * Makes the error.
   *
   * @param phase The step of the dial that failed.
   * @param message What failed.
   * @param options The host, the cause, and whether it was throttling.
   */
  constructor(
    phase: DialPhase,
    message: string,
    options: DialErrorOptions = {},
  ) {
    super(message, options);
    this.phase = phase;
    this.throttled = options.throttled ?? false;
  }
}

/** Options for {@linkcode HostKeyError}. */
export interface HostKeyErrorOptions extends SshErrorOptions {
  /** `SHA256:...` of the key that the server showed. */
  readonly fingerprint: string;
  /** `SHA256:...` of the keys that were expected; empty if none is known. */
  readonly expected?: readonly string[];
  /** Where the deciding line is, as `file:line`. */
  readonly location?: string | undefined;
  /** Why the key was refused. */
  readonly reason: "unknown" | "mismatch" | "revoked" | "refused";
}

/** The server's host key is not trusted. Nothing was sent to it but the key exchange. */
export class HostKeyError extends DialError {
  static {
    this.prototype.name = "HostKeyError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_HOST_KEY";
  /** `SHA256:...` of the key that the server showed. */
  readonly fingerprint: string;
  /** `SHA256:...` of the keys that were expected. */
  readonly expected: readonly string[];
  /** Where the deciding line is, as `file:line`. */
  readonly location: string | undefined;
  /** Why the key was refused. */
  readonly reason: "unknown" | "mismatch" | "revoked" | "refused";

  /**
   * Makes the error.
   *
   * @param message What failed and what to set.
   * @param options The fingerprints and their origin.
   */
  constructor(message: string, options: HostKeyErrorOptions) {
    super("hostkey", message, options);
    this.fingerprint = options.fingerprint;
    this.expected = options.expected ?? [];
    this.location = options.location;
    this.reason = options.reason;
  }
}

/** Options for {@linkcode AuthenticationError}. */
export interface AuthenticationErrorOptions extends SshErrorOptions {
  /** The methods that were tried, in order. */
  readonly tried?: readonly string[];
  /** The methods that the server says could continue. */
  readonly offered?: readonly string[];
}

/** The server refused every credential, or there was none to offer. */
export class AuthenticationError extends DialError {
  static {
    this.prototype.name = "AuthenticationError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_AUTHENTICATION";
  /** The methods that were tried, in order, such as `publickey id_ed25519`. */
  readonly tried: readonly string[];
  /** The methods that the server says could continue. */
  readonly offered: readonly string[];

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options What was tried and what was offered.
   */
  constructor(message: string, options: AuthenticationErrorOptions = {}) {
    super("auth", message, options);
    this.tried = options.tried ?? [];
    this.offered = options.offered ?? [];
  }
}

/** Options for {@linkcode ChannelOpenError}. */
export interface ChannelOpenErrorOptions extends SshErrorOptions {
  /** The reason code of RFC 4254 section 5.1; 0 where there was none. */
  readonly reason: number;
}

/** The server refused to open a channel. Nothing has run on it. */
export class ChannelOpenError extends SshError {
  static {
    this.prototype.name = "ChannelOpenError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_CHANNEL_OPEN";
  /** The step that failed. */
  override readonly phase = "channel";
  /**
   * The reason code of RFC 4254: 1 administratively prohibited, 2 connect
   * failed (what OpenSSH sends beyond MaxSessions), 3 unknown channel type,
   * 4 resource shortage; 0 where the server accepted the channel and then
   * refused the request on it.
   */
  readonly reason: number;

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options The reason code.
   */
  constructor(message: string, options: ChannelOpenErrorOptions) {
    super(message, options);
    this.reason = options.reason;
  }
}

/** Output that had arrived before an operation failed. */
export interface PartialOutput {
  /** Standard output that had arrived. */
  readonly stdout: Uint8Array;
  /** Standard error that had arrived. */
  readonly stderr: Uint8Array;
}

/** Options for {@linkcode ConnectionLostError}. */
export interface ConnectionLostErrorOptions extends SshErrorOptions {
  /** Whether a command of the caller may have run. */
  readonly mayHaveRun?: boolean;
  /** What had arrived. */
  readonly output?: PartialOutput | undefined;
}

/** The connection ended while an operation was in flight on it. */
export class ConnectionLostError extends SshError {
  static {
    this.prototype.name = "ConnectionLostError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_CONNECTION_LOST";
  /** The step that failed. */
  override readonly phase = "connection";
  /** Whether a command of the caller may have run. */
  override readonly mayHaveRun: boolean;
  /** What had arrived before the connection ended, if a command was running. */
  readonly output: PartialOutput | undefined;

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options What had arrived and whether the command may have run.
   */
  constructor(message: string, options: ConnectionLostErrorOptions = {}) {
    super(message, options);
    this.mayHaveRun = options.mayHaveRun ?? false;
    hide(this, "output", options.output);
  }
}

/** Options for {@linkcode ExecTimeoutError}. */
export interface ExecTimeoutErrorOptions extends ConnectionLostErrorOptions {
  /** The timeout that ran out, in milliseconds. */
  readonly timeoutMs: number;
}

/** A command ran longer than its `timeoutMs` and was stopped. */
export class ExecTimeoutError extends SshError {
  static {
    this.prototype.name = "ExecTimeoutError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_EXEC_TIMEOUT";
  /** The step that failed. */
  override readonly phase = "exec";
  /** Whether a command of the caller may have run. */
  override readonly mayHaveRun: boolean;
  /** The timeout that ran out, in milliseconds. */
  readonly timeoutMs: number;
  /** What had arrived before the timeout. */
  readonly output: PartialOutput | undefined;

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options The timeout, and what had arrived.
   */
  constructor(message: string, options: ExecTimeoutErrorOptions) {
    super(message, options);
    this.timeoutMs = options.timeoutMs;
    this.mayHaveRun = options.mayHaveRun ?? true;
    hide(this, "output", options.output);
  }
}

/** A command wrote more than its `maxOutputBytes` and was stopped. */
export class OutputLimitError extends SshError {
  static {
    this.prototype.name = "OutputLimitError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_OUTPUT_LIMIT";
  /** The step that failed. */
  override readonly phase = "exec";
  /** Whether a command of the caller may have run. */
  override readonly mayHaveRun = true;
}

/**
 * Sets a property that logs do not show, since output may hold a secret.
 * `enumerable` is given because the class field was enumerable before.
 */
function hide(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, enumerable: false });
}
