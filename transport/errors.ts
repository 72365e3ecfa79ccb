/**
 * What went wrong, in which phase, on which host, and whether a command may
 * have run. Every failure of this library is one of these classes; an aborted
 * call rejects with the signal's own reason instead.
 *
 * @module
 */

import { type DialPhase, SshError, type SshErrorOptions } from "./ssh_error.ts";

export * from "./ssh_error.ts";

/**
 * A connection could not be opened. No command has run.
 *
 * @example Which step failed
 * ```ts
 * import { ConnectionPool, DialError } from "@sshpool/sshpool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector({ onDial: () => new Error("refused") });
 * await using pool = new ConnectionPool({ connector, config: false });
 * const error = await assertRejects(
 *   () => pool.exec("ops@web-1", "uptime"),
 *   DialError,
 * );
 * assertEquals(error.phase, "tcp");
 * ```
 */
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
    options: SshErrorOptions & {
      /**
       * The server dropped the connection before its banner, or named a limit:
       * waiting and dialling again may succeed.
       *
       * @default {false}
       */
      readonly throttled?: boolean;
    } = {},
  ) {
    const { hint = hintOfLimit(options.cause) } = options;
    super(message, { ...options, hint });
    this.phase = phase;
    this.throttled = options.throttled ?? false;
  }
}

/** What can be done where the process, or the machine, has no descriptor left. */
function hintOfLimit(cause: unknown): string | undefined {
  let error = cause;
  for (let depth = 0; depth < 5 && error instanceof Error; depth++) {
    const { code } = error as { code?: unknown };
    if (code === "EMFILE" || code === "ENFILE") {
      return "No more files can be open here: raise the limit (ulimit -n), or " +
        "lower maxConnections";
    }
    error = error.cause;
  }
}

/**
 * The server's host key is not trusted. Nothing was sent to it but the key exchange.
 *
 * @example Show the fingerprint to a person
 * ```ts
 * import { HostKeyError } from "@sshpool/sshpool";
 *
 * function question(error: unknown): string {
 *   if (!(error instanceof HostKeyError)) throw error;
 *   if (error.reason !== "unknown") throw error;
 *   return `Does ${error.host} have the key ${error.fingerprint}?`;
 * }
 * question(
 *   new HostKeyError("unknown", { reason: "unknown", fingerprint: "SHA256:x" }),
 * );
 * ```
 */
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
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** `SHA256:...` of the key that the server showed. */
      readonly fingerprint: string;
      /** `SHA256:...` of the keys that were expected; empty if none is known. */
      readonly expected?: readonly string[];
      /** Where the deciding line is, as `file:line`. */
      readonly location?: string | undefined;
      /** Why the key was refused. */
      readonly reason: "unknown" | "mismatch" | "revoked" | "refused";
    },
  ) {
    super("hostkey", message, options);
    this.fingerprint = options.fingerprint;
    this.expected = options.expected ?? [];
    this.location = options.location;
    this.reason = options.reason;
  }
}

/**
 * The server refused every credential, or there was none to offer.
 *
 * @example What was tried
 * ```ts
 * import { AuthenticationError } from "@sshpool/sshpool";
 *
 * function explain(error: unknown): string {
 *   if (!(error instanceof AuthenticationError)) throw error;
 *   return `Tried ${error.tried}, the server takes ${error.offered}`;
 * }
 * explain(new AuthenticationError("refused", { offered: ["publickey"] }));
 * ```
 */
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
  constructor(message: string, options: SshErrorOptions & {
    /** The methods that were tried, in order. */
    readonly tried?: readonly string[];
    /** The methods that the server says could continue. */
    readonly offered?: readonly string[];
  } = {}) {
    super("auth", message, options);
    this.tried = options.tried ?? [];
    this.offered = options.offered ?? [];
  }
}

/**
 * The server refused to open a channel. Nothing has run on it.
 *
 * @example A server without shells or forwards
 * ```ts
 * import { ChannelOpenError } from "@sshpool/sshpool";
 *
 * function isProhibited(error: unknown): boolean {
 *   return error instanceof ChannelOpenError && error.reason === 1;
 * }
 * isProhibited(new ChannelOpenError("refused", { reason: 1 }));
 * ```
 */
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
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** The reason code of RFC 4254 section 5.1; 0 where there was none. */
      readonly reason: number;
    },
  ) {
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

/**
 * The connection ended while an operation was in flight on it.
 *
 * @example Whether it is safe to try again
 * ```ts
 * import { ConnectionLostError } from "@sshpool/sshpool";
 *
 * function isSafeToRepeat(error: unknown): boolean {
 *   return error instanceof ConnectionLostError && !error.mayHaveRun;
 * }
 * isSafeToRepeat(new ConnectionLostError("lost"));
 * ```
 */
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
  constructor(message: string, options: SshErrorOptions & {
    /** Whether a command of the caller may have run. */
    readonly mayHaveRun?: boolean;
    /** What had arrived. */
    readonly output?: PartialOutput | undefined;
  } = {}) {
    super(message, options);
    this.mayHaveRun = options.mayHaveRun ?? false;
    hide(this, "output", options.output);
  }
}

/**
 * A command ran longer than its `timeoutMs` and was stopped.
 *
 * @example Read what had arrived
 * ```ts
 * import { ConnectionPool, ExecTimeoutError } from "@sshpool/sshpool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector();
 * await using pool = new ConnectionPool({ connector, config: false });
 * const error = await assertRejects(
 *   () => pool.exec("ops@web-1", "sleep 60", { timeoutMs: 20 }),
 *   ExecTimeoutError,
 * );
 * assertEquals(new TextDecoder().decode(error.output?.stdout), "");
 * ```
 */
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
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** Whether a command of the caller may have run. */
      readonly mayHaveRun?: boolean;
      /** What had arrived. */
      readonly output?: PartialOutput | undefined;
      /** The timeout that ran out, in milliseconds. */
      readonly timeoutMs: number;
    },
  ) {
    super(message, options);
    this.timeoutMs = options.timeoutMs;
    this.mayHaveRun = options.mayHaveRun ?? true;
    hide(this, "output", options.output);
  }
}

/**
 * A command wrote more than its `maxOutputBytes` and was stopped.
 *
 * @example A limit for one command
 * ```ts
 * import { ConnectionPool, OutputLimitError } from "@sshpool/sshpool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector();
 * await using pool = new ConnectionPool({ connector, config: false });
 * await assertRejects(
 *   () => pool.exec("ops@web-1", "bulk 5000", { maxOutputBytes: 1000 }),
 *   OutputLimitError,
 * );
 * ```
 */
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

/**
 * An error of another process, of a class that this version does not know.
 *
 * @example Usage
 * ```ts
 * import { errorFromJson, RemoteError } from "@sshpool/sshpool";
 *
 * const error = errorFromJson({ name: "NewError", code: "SSH_NEW", message: "x" });
 * console.log(error instanceof RemoteError && error.code === "SSH_NEW");
 * ```
 */
export class RemoteError extends SshError {
  static {
    this.prototype.name = "RemoteError";
  }

  /** The identifier that the other process gave; `"SSH_REMOTE"` if it is none. */
  override readonly code: string;
  /** The step that failed. */
  override readonly phase = "connection";
  /** Whether a command may have run: unless the other process says no. */
  override readonly mayHaveRun: boolean;

  /**
   * Makes the error.
   *
   * @param message What failed.
   * @param options The identifier, and whether a command may have run.
   */
  constructor(
    message: string,
    options: SshErrorOptions & {
      /** A stable identifier. */
      readonly code?: string;
      /**
       * Whether a command may have run.
       *
       * @default {true}
       */
      readonly mayHaveRun?: boolean;
    } = {},
  ) {
    super(message, options);
    this.code = options.code ?? "SSH_REMOTE";
    this.mayHaveRun = options.mayHaveRun ?? true;
  }
}
