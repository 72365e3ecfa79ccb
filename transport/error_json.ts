/**
 * Errors as JSON and back, so that another process can throw what this one
 * caught: the same class, with its fields.
 *
 * @module
 */

import { CommandError, SudoError, type SudoFailure } from "./command/errors.ts";
import {
  AuthenticationError,
  ChannelOpenError,
  ConnectionLostError,
  DialError,
  type DialPhase,
  ExecTimeoutError,
  HostKeyError,
  OutputLimitError,
  SshError,
  type SshErrorJson,
  type SshErrorOptions,
} from "./errors.ts";
import { ForwardError } from "./forward/errors.ts";
import {
  AcquireTimeoutError,
  HostCooldownError,
  PoolClosedError,
  type WaitReason,
  type WaitSnapshot,
} from "./pool_errors.ts";
import {
  ChannelClosedError,
  EnvironmentRefusedError,
} from "./session/errors.ts";
import { serverText } from "./session/server_text.ts";
import { SftpError, type SftpErrorCode } from "./sftp/errors.ts";
import { SshConfigError } from "./ssh_config/errors.ts";

/** What {@linkcode errorToJson} returns: no output, no stack and no secret. */
export interface ErrorJson extends Partial<Omit<SshErrorJson, "phase">> {
  /** The name of the class. */
  readonly name: string;
  /** What failed. */
  readonly message: string;
  /** The step that failed, of an error of this library. */
  readonly phase?: string;
  /** The error that led to it. */
  readonly cause?: ErrorJson;
  /** The fields of its class. */
  readonly [field: string]: unknown;
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

/** Checks a value that came from elsewhere; throws if it is none. */
type Check<T> = (value: unknown) => T;

class Malformed extends Error {}

function accept<T>(accepts: (value: unknown) => boolean): Check<T> {
  return (value) => {
    if (!accepts(value)) throw new Malformed();
    return value as T;
  };
}

const MAX_TEXT = 4_000;
const MAX_ITEMS = 100;
/** How many causes are taken along. */
const MAX_CAUSES = 8;

const text: Check<string> = (value) => {
  if (typeof value !== "string") throw new Malformed();
  // Lines are kept: a message may have the last lines of a command.
  return value.slice(0, MAX_TEXT).split("\n")
    .map((line) => serverText(line, MAX_TEXT)).join("\n");
};
const flag = accept<boolean>((value) => typeof value === "boolean");
const count = accept<number>((value) =>
  typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER
);
const texts: Check<string[]> = (value) => {
  if (!Array.isArray(value) || value.length > MAX_ITEMS) throw new Malformed();
  return value.map(text);
};
function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value) => value === undefined ? undefined : check(value);
}
function orNull<T>(check: Check<T>): Check<T | null> {
  return (value) => value === null ? null : check(value);
}
function oneOf<T extends string>(...values: readonly T[]): Check<T> {
  return accept((value) => values.includes(value as T));
}

const PHASES: readonly DialPhase[] = [
  "config",
  "dns",
  "tcp",
  "proxy",
  "banner",
  "kex",
  "hostkey",
  "auth",
  "timeout",
];
const WAIT_REASONS: readonly WaitReason[] = [
  "cap",
  "busy",
  "dialing",
  "dial-failing",
  "cooling-down",
  "resolving",
];
const SUDO_FAILURES: readonly SudoFailure[] = [
  "wrong-password",
  "password-required",
  "not-allowed",
  "not-installed",
  "tty-required",
  "unknown-user",
  "timeout",
  "failed",
];
const NUMBERS_OF_SNAPSHOT = [
  "waitedMs",
  "connections",
  "slotsInUse",
  "slots",
  "waiting",
  "dialing",
  "poolConnections",
  "maxConnections",
] as const;

const snapshot: Check<WaitSnapshot> = (value) => {
  if (typeof value !== "object" || value === null) throw new Malformed();
  const given = value as Record<string, unknown>;
  const reason = oneOf(...WAIT_REASONS)(given.reason);
  const numbers = NUMBERS_OF_SNAPSHOT.map((name) => [name, count(given[name])]);
  return { reason, ...Object.fromEntries(numbers) } as WaitSnapshot;
};

const NOTHING = { stdout: "", stderr: "" };
/** The fields of a class: how each is checked. */
type Checks<Fields> = { readonly [Name in keyof Fields]: Check<Fields[Name]> };

/** How an error of one class is sent and made. */
interface Kind {
  readonly checks: Checks<Record<string, unknown>>;
  readonly make: (
    message: string,
    fields: Record<string, unknown>,
    options: SshErrorOptions,
  ) => SshError;
}

function kind<Fields extends object>(
  checks: Checks<Fields>,
  make: (message: string, fields: Fields & SshErrorOptions) => SshError,
): Kind {
  return {
    checks: checks as Kind["checks"],
    make: (message, fields, options) =>
      make(message, { ...options, ...fields as Fields }),
  };
}

/** Each class of this library, by its name. A test holds that none is missing. */
const KINDS: Readonly<Record<string, Kind>> = {
  DialError: kind(
    { phase: oneOf(...PHASES), throttled: flag },
    (message, it) => new DialError(it.phase, message, it),
  ),
  HostKeyError: kind({
    fingerprint: text,
    expected: texts,
    location: optional(text),
    reason: oneOf("unknown", "mismatch", "revoked", "refused"),
  }, (message, it) => new HostKeyError(message, it)),
  AuthenticationError: kind(
    { tried: texts, offered: texts },
    (message, it) => new AuthenticationError(message, it),
  ),
  ChannelOpenError: kind(
    { reason: count },
    (message, it) => new ChannelOpenError(message, it),
  ),
  ConnectionLostError: kind(
    { mayHaveRun: flag },
    (message, it) => new ConnectionLostError(message, it),
  ),
  ExecTimeoutError: kind(
    { timeoutMs: count, mayHaveRun: flag },
    (message, it) => new ExecTimeoutError(message, it),
  ),
  OutputLimitError: kind(
    {},
    (message, it) => new OutputLimitError(message, it),
  ),
  CommandError: kind(
    { exitCode: orNull(count), signal: orNull(text) },
    (message, { exitCode: code, signal, ...it }) => {
      const result = { success: false, code, signal, ...NOTHING };
      return new CommandError(message, { ...it, result });
    },
  ),
  SudoError: kind(
    { reason: oneOf(...SUDO_FAILURES), user: text },
    (message, it) => new SudoError(message, it),
  ),
  ChannelClosedError: kind(
    {},
    (message, it) => new ChannelClosedError(message, it),
  ),
  EnvironmentRefusedError: kind(
    { names: texts, mayHaveRun: flag },
    (message, it) => new EnvironmentRefusedError(message, it),
  ),
  SftpError: kind({
    code: accept<SftpErrorCode>((value) =>
      typeof value === "string" && /^SSH_SFTP_[A-Z_]{1,40}$/.test(value)
    ),
    path: optional(text),
    status: optional(count),
    mayHaveRun: flag,
  }, (message, it) => new SftpError(it.code, message, it)),
  ForwardError: kind({}, (message, it) => new ForwardError(message, it)),
  SshConfigError: kind(
    { file: optional(text), line: optional(count) },
    (message, it) => {
      // The constructor puts the place before it.
      const { file, line } = it;
      const place = line === undefined ? `${file}: ` : `${file}:${line}: `;
      const isPlaced = file !== undefined && message.startsWith(place);
      const own = isPlaced ? message.slice(place.length) : message;
      return new SshConfigError(own, it);
    },
  ),
  PoolClosedError: kind({}, (message, it) => new PoolClosedError(message, it)),
  AcquireTimeoutError: kind(
    { snapshot },
    (message, it) => new AcquireTimeoutError(message, it),
  ),
  HostCooldownError: kind(
    { retryAfterMs: count },
    (message, it) => new HostCooldownError(message, it),
  ),
  RemoteError: kind(
    { code: ourCode, mayHaveRun: flag },
    (message, it) => new RemoteError(message, it),
  ),
};

function ourCode(value: unknown): string {
  const isCode = typeof value === "string" && /^SSH_[A-Z_]{1,40}$/.test(value);
  if (!isCode) throw new Malformed();
  return value;
}

/**
 * Makes what another process needs to throw the same error: its class, its
 * fields, and those of its causes. Output, stacks and values that are no part
 * of the class stay here. Of a cause that is not of this library only the name
 * and the code are given, since its message may hold a secret.
 *
 * @param error The error; anything else becomes one without a message.
 * @returns A plain object, for `JSON.stringify()`.
 *
 * @example Pass a failure on to another process
 * ```ts
 * import { DialError, errorFromJson, errorToJson } from "@sshpool/sshpool";
 * import { assertEquals, assertInstanceOf } from "@std/assert";
 *
 * const text = JSON.stringify(errorToJson(new DialError("dns", "no such host")));
 * const error = errorFromJson(JSON.parse(text));
 * assertInstanceOf(error, DialError);
 * assertEquals(error.phase, "dns");
 * ```
 */
export function errorToJson(error: unknown): ErrorJson {
  return toJson(error, 0);
}

function toJson(error: unknown, depth: number): ErrorJson {
  if (!(error instanceof SshError)) return foreignToJson(error, depth > 0);
  const { checks = {} } = KINDS[error.name] ?? {};
  const fields: Record<string, unknown> = {};
  for (const name of Object.keys(checks)) {
    const value = (error as unknown as Record<string, unknown>)[name];
    if (value !== undefined) fields[name] = value;
  }
  const { cause } = error;
  const hasCause = cause !== undefined && depth < MAX_CAUSES;
  return {
    ...error.toJSON(),
    ...fields,
    ...hasCause && { cause: toJson(cause, depth + 1) },
  };
}

/** Names of errors that any JavaScript has. */
const FOREIGN = ["TypeError", "RangeError", "AbortError", "TimeoutError"];

function foreignToJson(error: unknown, isCause: boolean): ErrorJson {
  if (!(error instanceof Error)) return { name: "Error", message: "" };
  const { code } = error as { code?: unknown };
  const name = FOREIGN.includes(error.name) ? error.name : "Error";
  const isCode = typeof code === "string" &&
    /^[A-Z][A-Z0-9_]{1,40}$/.test(code);
  return {
    name,
    message: isCause ? isCode ? code : name : error.message,
    ...isCode && { code },
  };
}

/**
 * Makes an error from what {@linkcode errorToJson} gave, which is checked: it
 * comes from elsewhere. A class that is not known, or whose fields are not what
 * they must be, becomes a {@linkcode RemoteError}. What is not of this library
 * becomes a `TypeError`, a `RangeError`, an `AbortError` or an `Error`.
 *
 * @param json What came, parsed.
 * @returns The error, whose stack is of this process.
 *
 * @example Take what a newer version may have sent
 * ```ts
 * import { errorFromJson, RemoteError } from "@sshpool/sshpool";
 * import { assertEquals, assertInstanceOf } from "@std/assert";
 *
 * const json = { name: "NewError", code: "SSH_NEW", message: "Cannot do it" };
 * const error = errorFromJson(JSON.parse(JSON.stringify(json)));
 * assertInstanceOf(error, RemoteError);
 * assertEquals([error.code, error.message], ["SSH_NEW", "Cannot do it"]);
 * ```
 */
export function errorFromJson(json: unknown): Error {
  return fromJson(json, 0);
}

function fromJson(json: unknown, depth: number): Error {
  const given = typeof json === "object" && json !== null
    ? json as Record<string, unknown>
    : {};
  const read = <T>(name: string, check: Check<T>): T | undefined => {
    try {
      return check(Object.hasOwn(given, name) ? given[name] : undefined);
    } catch {
      return undefined;
    }
  };
  const name = read("name", text) ?? "";
  const message = read("message", text) || "Another process failed";
  const host = read("host", text);
  const hint = read("hint", text);
  const hasCause = Object.hasOwn(given, "cause") && depth < MAX_CAUSES;
  const options: SshErrorOptions = {
    host,
    hint,
    ...hasCause && { cause: fromJson(given.cause, depth + 1) },
  };
  const known = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (known !== undefined) {
    try {
      const fields: Record<string, unknown> = {};
      for (const [name, check] of Object.entries(known.checks)) {
        fields[name] = check(
          Object.hasOwn(given, name) ? given[name] : undefined,
        );
      }
      return known.make(message, fields, options);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
  }
  const code = read("code", ourCode);
  if (known === undefined && code === undefined) {
    return foreign(name, message, read("code", text));
  }
  const mayHaveRun = read("mayHaveRun", flag) ?? true;
  return new RemoteError(message, {
    ...options,
    mayHaveRun,
    ...code !== undefined && { code },
  });
}

function foreign(
  name: string,
  message: string,
  code: string | undefined,
): Error {
  switch (name) {
    case "TypeError":
      return new TypeError(message);
    case "RangeError":
      return new RangeError(message);
    case "AbortError":
    case "TimeoutError":
      return new DOMException(message, name);
    default:
      return Object.assign(
        new Error(message),
        code === undefined ? {} : { code },
      );
  }
}
