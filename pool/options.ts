/**
 * The options of a pool and of its calls, their defaults and their limits.
 *
 * @module
 */

import { MAX_TIMER_MS } from "../transport/abort.ts";
import type { Connector } from "../transport/connector.ts";
import { sftpSudo } from "../transport/command/option_rules.ts";
import type { HostDefaults } from "../transport/host/defaults.ts";
import {
  anything,
  between,
  callback,
  count,
  objectWith,
  plainText,
  signal,
  wholeNumber,
} from "../transport/options/rules.ts";
import {
  OptionTable,
  type Rule,
  type Rules,
} from "../transport/options/table.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  ExecResult,
  Output,
  OutputEncoding,
} from "../transport/process.ts";
import type { SftpSudoOptions } from "../transport/sftp/options.ts";
import {
  TRANSFER_OPTIONS,
  type TransferOptions,
} from "../transport/sftp/transfer/options.ts";
import { RESOLVER_OPTIONS } from "../transport/ssh_config/option_tables.ts";
import type { SshConfigResolverOptions } from "../transport/ssh_config/config.ts";
import type { HostResolver } from "../transport/host/resolver.ts";
import type { PoolObserver } from "./telemetry/events.ts";

/** How long a host is left alone after a failed dial. */
export interface BackoffOptions {
  /**
   * The pause after the first failure, in milliseconds.
   *
   * @default {200}
   */
  readonly initialMs?: number;
  /**
   * The longest pause, in milliseconds.
   *
   * @default {30_000}
   */
  readonly maxMs?: number;
  /**
   * By how much each further failure lengthens the pause.
   *
   * @default {2}
   */
  readonly factor?: number;
  /**
   * The share of each pause that is random, 0 to 1.
   *
   * @default {0.5}
   */
  readonly jitter?: number;
  /**
   * For how long a refused credential or host key is remembered, in
   * milliseconds: calls meanwhile get the same error and no login is tried,
   * since OpenSSH 9.8 and later locks an address out after a few.
   *
   * @default {5_000}
   */
  readonly refusedMs?: number;
}

/** Options for {@linkcode ConnectionPool}. */
export interface ConnectionPoolOptions {
  /** What telemetry calls the pool. Default: `sshpool-1` for the first one, and so on. */
  readonly name?: string;
  /**
   * Makes the connections. Default: a `RoutingConnector` with an
   * `Ssh2Connector`, and an `OpenSshConnector` for hosts whose `transport` is
   * `"openssh"`. The pool of the entry point `./pool` has no default.
   */
  readonly connector?: Connector;
  /**
   * Turns what callers name into hosts. Default: a `SshConfigResolver`, as
   * `config` says; with a `connector` of your own and no `config`, a
   * `PlainResolver`, which reads no file.
   */
  readonly resolver?: HostResolver;
  /**
   * Which ssh_config files strings are looked up in; `false` for none, in
   * which case a string is `user@host:port` and nothing else. Has no effect
   * beside `resolver`. Default: those that `ssh` reads, or none if there is a
   * `connector` of your own.
   */
  readonly config?: false | SshConfigResolverOptions;
  /** What holds for every host that does not say otherwise, hops included. */
  readonly defaults?: HostDefaults;
  /**
   * Connections in all. At the cap the least recently used one without an
   * open channel makes room; if all are busy, callers wait. Connections that
   * were dialled only to tunnel through (hops) do not count, so that a chain
   * can never deadlock on the cap.
   *
   * @default {100}
   */
  readonly maxConnections?: number;
  /**
   * Connections to one host. One that is too old for new channels counts until
   * its last one has ended; one that was discarded does not.
   *
   * A host with `keyboardInteractive` has one by default: each login asks a
   * person for a code.
   *
   * @default {4}
   */
  readonly maxConnectionsPerHost?: number;
  /**
   * Session channels open at once on one connection. A server that allows
   * fewer (`MaxSessions`) is found out and respected.
   *
   * @default {10}
   */
  readonly maxSessionsPerConnection?: number;
  /**
   * How long a connection without channels is kept, in milliseconds, counted
   * from its last channel's end or its last hand-out; 0 for ever. It ends no
   * earlier, and at the latest an eighth of that time later.
   *
   * @default {60_000}
   */
  readonly idleTimeoutMs?: number;
  /**
   * How long a connection is used, in milliseconds, give or take a tenth;
   * then it gets no new channels and closes when its last one ends; 0 for ever.
   * Where the host or the pool has as many connections as it may, one with a
   * stream or a tunnel on it stays in use until there is room for another.
   *
   * @default {0}
   */
  readonly maxLifetimeMs?: number;
  /**
   * Sessions that a connection carries in its life; 0 for any number. A server
   * that takes only so many (TinySSH takes one), or that hangs up after each
   * command, as some switches do, is found out and respected; saying so from
   * the start saves what a hang-up may lose until then.
   *
   * @default {0}
   */
  readonly maxLifetimeSessions?: number;
  /**
   * How long a caller waits for a connection or a slot, in milliseconds; 0
   * for ever.
   *
   * @default {30_000}
   */
  readonly acquireTimeoutMs?: number;
  /**
   * The deadline of a dial, in milliseconds, retries of throttled attempts
   * included. The wait for a turn to dial is not.
   *
   * @default {20_000}
   */
  readonly dialTimeoutMs?: number;
  /**
   * Dials in flight in all. Throttling by servers lowers the number for a
   * while.
   *
   * @default {32}
   */
  readonly maxConcurrentDials?: number;
  /**
   * Dials in flight to one host. sshd starts to drop at 10 (`MaxStartups`).
   *
   * @default {4}
   */
  readonly maxConcurrentDialsPerHost?: number;
  /**
   * Time between keepalive probes, in milliseconds; 0 for none.
   *
   * @default {15_000}
   */
  readonly keepaliveIntervalMs?: number;
  /**
   * Unanswered probes before a connection counts as lost.
   *
   * @default {3}
   */
  readonly keepaliveCountMax?: number;
  /** Pauses after failed dials. */
  readonly backoff?: BackoffOptions;
  /**
   * How long running work may go on after `close()`, in milliseconds.
   *
   * @default {10_000}
   */
  readonly drainTimeoutMs?: number;
  /**
   * A lease held longer than this, in milliseconds, is reported as an event
   * with the stack of its `acquire`; 0 for never. It costs a stack trace for
   * every lease.
   *
   * @default {0}
   */
  readonly leakDetectionMs?: number;
  /** Called with what happens in the pool. What it throws is ignored. */
  readonly observer?: PoolObserver;
}

/** Options of a call that waits for a connection or a slot. */
export interface AcquireOptions {
  /**
   * Frees this caller: the promise rejects with the signal's reason. Others
   * that wait for the same dial are not touched; when the last one has left,
   * the dial is aborted.
   */
  readonly signal?: AbortSignal;
  /** Overrides the pool's `acquireTimeoutMs`; 0 for ever. */
  readonly acquireTimeoutMs?: number;
}

/**
 * Options of {@linkcode ConnectionPool.exec}. Those that a command has on any
 * connection are described there; all of them are:
 *
 * | option | what it is |
 * | --- | --- |
 * | `signal` | aborts the wait, and then the call |
 * | `acquireTimeoutMs` | how long the call waits for a slot |
 * | `timeoutMs` | how long the command may run |
 * | `killGraceMs` | how long it has to end after `TERM` |
 * | `check` | an exit code other than 0 is an error |
 * | `stdin` | what the command reads |
 * | `encoding` | `"text"` (default) or `"bytes"` |
 * | `maxOutputBytes` | how much output is collected (64 MiB) |
 * | `onOutputLimit` | `"error"` (default) or `"truncate"` |
 * | `all` | both outputs as one, in order of arrival |
 * | `onStdout` | gets standard output as it comes |
 * | `onStderr` | gets standard error as it comes |
 * | `stdout` | `"inherit"`: also to that of this process |
 * | `stderr` | `"inherit"`: also to that of this process |
 * | `cwd` | the folder to run in |
 * | `env` | environment variables |
 * | `envMode` | how they get there: `"request"` (default) or `"inline"` |
 * | `login` | in a login shell |
 * | `sudo` | as root or as another user |
 * | `pty` | a terminal: `true` or its size |
 * | `idempotent` | the command may run twice |
 * | `onOpen` | called when the channel is open |
 */
export interface ExecOptions<
  Encoding extends OutputEncoding = OutputEncoding,
> extends ConnectionExecOptions<Encoding>, AcquireOptions {
  /** Aborts the wait for a slot, and then the command as for a connection. */
  readonly signal?: AbortSignal;
  /**
   * The command may run twice: if the connection is lost under it, it is run
   * once more on a fresh one. A `stdin` that is a stream cannot be sent twice,
   * so such a command is not repeated.
   *
   * @default {false}
   */
  readonly idempotent?: boolean;
}

/** What {@linkcode ConnectionPool.exec} gives: with `all: true` it has that, too. */
export type ExecResultOf<
  Encoding extends OutputEncoding,
  All extends boolean,
> =
  & ExecResult<Output<Encoding>>
  & (All extends true ? { readonly all: Output<Encoding> } : unknown);

/**
 * Options of {@linkcode ConnectionPool.spawn}. Those that a command has on any
 * connection are described there; all of them are:
 *
 * | option | what it is |
 * | --- | --- |
 * | `signal` | aborts the wait, and then the call |
 * | `acquireTimeoutMs` | how long the call waits for a slot |
 * | `check` | an exit code other than 0 is an error |
 * | `stdin` | what the command reads |
 * | `maxOutputBytes` | how much `output()`, `text()` and `json()` collect (64 MiB) |
 * | `cwd` | the folder to run in |
 * | `env` | environment variables |
 * | `envMode` | how they get there: `"request"` (default) or `"inline"` |
 * | `login` | in a login shell |
 * | `sudo` | as root or as another user |
 * | `pty` | a terminal: `true` or its size |
 * | `onOpen` | called when the channel is open |
 */
export interface SpawnOptions extends ConnectionSpawnOptions, AcquireOptions {
  /** Aborts the wait for a slot, and then the process as for a connection. */
  readonly signal?: AbortSignal;
}

/**
 * Options of {@linkcode ConnectionPool.shell}. Those that a shell has on any
 * connection are described there; all of them are:
 *
 * | option | what it is |
 * | --- | --- |
 * | `signal` | aborts the wait, and then the call |
 * | `acquireTimeoutMs` | how long the call waits for a slot |
 * | `term` | the type of the terminal |
 * | `columns` | its width in characters (80) |
 * | `rows` | its height in lines (24) |
 * | `pty` | `false` for a shell without a terminal |
 * | `env` | environment variables |
 * | `envMode` | how they get there: `"request"` (default) or `"inline"` |
 * | `onOpen` | called when the channel is open |
 */
export interface ShellOptions extends ConnectionShellOptions, AcquireOptions {
  /** Aborts the wait for a slot, and then the shell as for a connection. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode ConnectionPool.sftp}. */
export interface PoolSftpOptions extends AcquireOptions {
  /**
   * Be another user: the sftp-server of the host is run through `sudo`, as root
   * or as the options say. The rules are those of `exec`: `sudoers` has to allow
   * `sh`, and with a password `sudo` asks each time. Such a session is for this
   * caller alone, in a slot of its own. The account needs a shell.
   *
   * @default {false}
   */
  readonly sudo?: boolean | SftpSudoOptions;
}

/** Options of {@linkcode ConnectionPool.upload} and `download`. */
export interface PoolTransferOptions extends TransferOptions, PoolSftpOptions {
  /**
   * Aborts the wait for a session, and then the transfer: files that are whole
   * stay; of the others nothing stays, unless `resume` is set.
   */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode ConnectionPool.close}. */
export interface CloseOptions {
  /** Overrides the pool's `drainTimeoutMs`; 0 ends running work at once. */
  readonly drainTimeoutMs?: number;
}

const time: Rule = between(0, MAX_TIMER_MS);

/** Numbers: the default of each, and what it may be. */
type Numbers<Name extends string> = Readonly<
  Record<Name, readonly [number, Rule]>
>;

/** The options that are numbers. */
type NumberName = {
  [Name in keyof ConnectionPoolOptions]-?:
    NonNullable<ConnectionPoolOptions[Name]> extends number ? Name : never;
}[keyof ConnectionPoolOptions];

const NUMBERS: Numbers<NumberName> = {
  maxConnections: [100, count],
  maxConnectionsPerHost: [4, count],
  maxSessionsPerConnection: [10, count],
  idleTimeoutMs: [60_000, time],
  maxLifetimeMs: [0, time],
  maxLifetimeSessions: [0, wholeNumber(0)],
  acquireTimeoutMs: [30_000, time],
  dialTimeoutMs: [20_000, between(1, MAX_TIMER_MS)],
  maxConcurrentDials: [32, count],
  maxConcurrentDialsPerHost: [4, count],
  keepaliveIntervalMs: [15_000, time],
  keepaliveCountMax: [3, count],
  drainTimeoutMs: [10_000, time],
  leakDetectionMs: [0, time],
};

const BACKOFF: Numbers<keyof BackoffOptions> = {
  initialMs: [200, time],
  maxMs: [30_000, time],
  factor: [2, between(1, 100)],
  jitter: [0.5, between(0, 1)],
  refusedMs: [5_000, time],
};

/** The numbers of {@linkcode ConnectionPoolOptions}, filled in and checked. */
export type Limits = Readonly<
  & Record<NumberName, number>
  & {
    backoff: Required<BackoffOptions>;
    /** Of a host whose login asks a person. */
    maxInteractiveConnectionsPerHost: number;
  }
>;

const BACKOFF_OPTIONS = new OptionTable<BackoffOptions>(
  "create the pool",
  rulesOf(BACKOFF),
);

const CONFIG_RULE = RESOLVER_OPTIONS.asRule("false or an object");

/** Of a pool. */
export const POOL_OPTIONS = new OptionTable<ConnectionPoolOptions>(
  "create the pool",
  {
    name: plainText,
    connector: objectWith("connect"),
    resolver: objectWith("resolve"),
    config: (value, at) => value === false ? value : CONFIG_RULE(value, at),
    defaults: anything,
    observer: callback,
    ...rulesOf(NUMBERS),
    backoff: BACKOFF_OPTIONS.asRule(),
  },
);

function rulesOf<Name extends string>(
  numbers: Numbers<Name>,
): Rules<Record<Name, number>> {
  const rules: Partial<Record<Name, Rule>> = {};
  for (const name in numbers) rules[name] = numbers[name][1];
  return rules as Rules<Record<Name, number>>;
}

/** Returns the numbers of options that were checked, with the defaults. */
export function limitsOf(options: Readonly<ConnectionPoolOptions>): Limits {
  const { backoff } = options;
  return Object.freeze({
    ...filled(NUMBERS, options),
    maxInteractiveConnectionsPerHost: options.maxConnectionsPerHost ?? 1,
    backoff: Object.freeze(filled(BACKOFF, backoff)),
  });
}

function filled<Name extends string>(
  numbers: Numbers<Name>,
  given: Partial<Record<Name, number>> = {},
): Record<Name, number> {
  const all = {} as Record<Name, number>;
  for (const name in numbers) all[name] = given[name] ?? numbers[name][0];
  return all;
}

const ACQUIRE: Rules<AcquireOptions> = { signal, acquireTimeoutMs: time };

const SFTP: Rules<PoolSftpOptions> = { ...ACQUIRE, sudo: sftpSudo };

/** Of the calls that wait for a connection or a slot and have no other options. */
export const ACQUIRE_OPTIONS = new OptionTable<AcquireOptions>(
  "make the call",
  ACQUIRE,
  { synonyms: { timeout: "acquireTimeoutMs", timeoutms: "acquireTimeoutMs" } },
);

/** Of `ConnectionPool.upload()` and `download()`. */
export const POOL_TRANSFER_OPTIONS: OptionTable<PoolTransferOptions> =
  TRANSFER_OPTIONS.with("copy", SFTP);

/** Of `ConnectionPool.sftp()`. */
export const POOL_SFTP_OPTIONS: OptionTable<PoolSftpOptions> = ACQUIRE_OPTIONS
  .with("start SFTP", SFTP);

const CLOSE_OPTIONS = new OptionTable<CloseOptions>("close the pool", {
  drainTimeoutMs: time,
}, {
  synonyms: {
    drain: "drainTimeoutMs",
    timeout: "drainTimeoutMs",
    timeoutms: "drainTimeoutMs",
  },
});

/**
 * Checks the options of `close()`.
 *
 * @returns How long it waits, which overrides the pool's.
 * @throws {TypeError | RangeError} If an option is unknown or wrong.
 */
export function drainTimeout(
  limits: Limits,
  options: CloseOptions | undefined,
): number {
  const { drainTimeoutMs = limits.drainTimeoutMs } = CLOSE_OPTIONS
    .check(options);
  return drainTimeoutMs;
}
