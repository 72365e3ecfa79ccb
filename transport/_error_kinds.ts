/**
 * The fields of each class of errors, and how each is checked when it comes
 * from another process.
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
  RemoteError,
  type SshError,
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

/** Checks a value that came from elsewhere; throws if it is none. */
export type FieldCheck<T> = (value: unknown) => T;

/** A value is not what a field of this class must be. */
export class MalformedField extends Error {}

function accept<T>(accepts: (value: unknown) => boolean): FieldCheck<T> {
  return (value) => {
    if (!accepts(value)) throw new MalformedField();
    return value as T;
  };
}

const MAX_TEXT = 4_000;
const MAX_ITEMS = 100;

/** Text of another process: as one line or several, and not for ever. */
export const plainLines: FieldCheck<string> = (value) => {
  if (typeof value !== "string") throw new MalformedField();
  // Lines are kept: a message may have the last lines of a command.
  return value.slice(0, MAX_TEXT).split("\n")
    .map((line) => serverText(line, MAX_TEXT)).join("\n");
};
/** Yes or no. */
export const yesOrNo: FieldCheck<boolean> = accept<boolean>((value) =>
  typeof value === "boolean"
);
const count = accept<number>((value) =>
  typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER
);
const texts: FieldCheck<string[]> = (value) => {
  if (!Array.isArray(value) || value.length > MAX_ITEMS) {
    throw new MalformedField();
  }
  return value.map(plainLines);
};
function optional<T>(check: FieldCheck<T>): FieldCheck<T | undefined> {
  return (value) => value === undefined ? undefined : check(value);
}
function orNull<T>(check: FieldCheck<T>): FieldCheck<T | null> {
  return (value) => value === null ? null : check(value);
}
function oneOf<T extends string>(...values: readonly T[]): FieldCheck<T> {
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

const snapshot: FieldCheck<WaitSnapshot> = (value) => {
  if (typeof value !== "object" || value === null) throw new MalformedField();
  const given = value as Record<string, unknown>;
  const reason = oneOf(...WAIT_REASONS)(given.reason);
  const numbers = NUMBERS_OF_SNAPSHOT.map((name) => [name, count(given[name])]);
  return { reason, ...Object.fromEntries(numbers) } as WaitSnapshot;
};

const NOTHING = { stdout: "", stderr: "" };
/** The fields of a class: how each is checked. */
type Checks<Fields> = {
  readonly [Name in keyof Fields]: FieldCheck<Fields[Name]>;
};

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
export const ERROR_KINDS: Readonly<Record<string, Kind>> = {
  DialError: kind(
    { phase: oneOf(...PHASES), throttled: yesOrNo },
    (message, it) => new DialError(it.phase, message, it),
  ),
  HostKeyError: kind({
    fingerprint: plainLines,
    expected: texts,
    location: optional(plainLines),
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
    { mayHaveRun: yesOrNo },
    (message, it) => new ConnectionLostError(message, it),
  ),
  ExecTimeoutError: kind(
    { timeoutMs: count, mayHaveRun: yesOrNo },
    (message, it) => new ExecTimeoutError(message, it),
  ),
  OutputLimitError: kind(
    {},
    (message, it) => new OutputLimitError(message, it),
  ),
  CommandError: kind(
    { exitCode: orNull(count), signal: orNull(plainLines) },
    (message, { exitCode: code, signal, ...it }) => {
      const result = { success: false, code, signal, ...NOTHING };
      return new CommandError(message, { ...it, result });
    },
  ),
  SudoError: kind(
    { reason: oneOf(...SUDO_FAILURES), user: plainLines },
    (message, it) => new SudoError(message, it),
  ),
  ChannelClosedError: kind(
    {},
    (message, it) => new ChannelClosedError(message, it),
  ),
  EnvironmentRefusedError: kind(
    { names: texts, mayHaveRun: yesOrNo },
    (message, it) => new EnvironmentRefusedError(message, it),
  ),
  SftpError: kind({
    code: accept<SftpErrorCode>((value) =>
      typeof value === "string" && /^SSH_SFTP_[A-Z_]{1,40}$/.test(value)
    ),
    path: optional(plainLines),
    status: optional(count),
    mayHaveRun: yesOrNo,
  }, (message, it) => new SftpError(it.code, message, it)),
  ForwardError: kind({}, (message, it) => new ForwardError(message, it)),
  SshConfigError: kind(
    { file: optional(plainLines), line: optional(count) },
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
    { code: ownCode, mayHaveRun: yesOrNo },
    (message, it) => new RemoteError(message, it),
  ),
};

/** An identifier of an error of this library. */
export function ownCode(value: unknown): string {
  const isCode = typeof value === "string" && /^SSH_[A-Z_]{1,40}$/.test(value);
  if (!isCode) throw new MalformedField();
  return value;
}
