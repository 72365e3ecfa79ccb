/**
 * The options of a pool and of its calls, their defaults and their limits.
 *
 * @module
 */

import type { Connector } from "../transport/connector.ts";
import type { HostDefaults } from "../transport/defaults.ts";
import type {
  ExecOptions as ConnectionExecOptions,
  OutputEncoding,
  ShellOptions as ConnectionShellOptions,
  SpawnOptions as ConnectionSpawnOptions,
} from "../transport/process.ts";
import type { TransferOptions } from "../transport/sftp/transfer/options.ts";
import type { SshConfigResolverOptions } from "../transport/ssh_config/resolver.ts";
import type { HostResolver } from "../transport/resolver.ts";
import { didYouMean } from "../transport/nearest.ts";
import type { PoolObserver } from "./events.ts";

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
   * Makes the connections. Default: an `Ssh2Connector`. With the entry point
   * `./pool` alone there is no default.
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
   * Connections to one host.
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
   *
   * @default {0}
   */
  readonly maxLifetimeMs?: number;
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
  /** Told of what happens in the pool. What it throws is ignored. */
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

/** The names in {@linkcode AcquireOptions} that a connection does not have. */
export const WAIT_NAMES = ["acquireTimeoutMs"] as const;
/** The same of {@linkcode ExecOptions}. */
export const EXEC_NAMES = ["acquireTimeoutMs", "idempotent"] as const;

/** Options of {@linkcode ConnectionPool.exec}. */
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

/** Options of {@linkcode ConnectionPool.spawn}. */
export interface SpawnOptions extends ConnectionSpawnOptions, AcquireOptions {
  /** Aborts the wait for a slot, and then the process as for a connection. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode ConnectionPool.shell}. */
export interface ShellOptions extends ConnectionShellOptions, AcquireOptions {
  /** Aborts the wait for a slot, and then the shell as for a connection. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode ConnectionPool.upload} and `download`. */
export interface PoolTransferOptions extends TransferOptions, AcquireOptions {
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

/** The numbers of {@linkcode ConnectionPoolOptions}, filled in and checked. */
export type Limits = Readonly<
  & Record<keyof typeof RULES, number>
  & { backoff: Required<BackoffOptions> }
>;

/** `[default, lowest allowed, whole number]` of each number. */
const RULES = {
  maxConnections: [100, 1, true],
  maxConnectionsPerHost: [4, 1, true],
  maxSessionsPerConnection: [10, 1, true],
  idleTimeoutMs: [60_000, 0, false],
  maxLifetimeMs: [0, 0, false],
  acquireTimeoutMs: [30_000, 0, false],
  dialTimeoutMs: [20_000, 1, false],
  maxConcurrentDials: [32, 1, true],
  maxConcurrentDialsPerHost: [4, 1, true],
  keepaliveIntervalMs: [15_000, 0, false],
  keepaliveCountMax: [3, 1, true],
  drainTimeoutMs: [10_000, 0, false],
  leakDetectionMs: [0, 0, false],
} as const satisfies Record<string, readonly [number, number, boolean]>;

const BACKOFF_RULES = {
  initialMs: [200, 0, false, 2 ** 31 - 1],
  maxMs: [30_000, 0, false, 2 ** 31 - 1],
  factor: [2, 1, false, 100],
  jitter: [0.5, 0, false, 1],
  refusedMs: [5_000, 0, false, 2 ** 31 - 1],
} as const satisfies Record<
  string,
  readonly [number, number, boolean, number]
>;

const OTHER_FIELDS = [
  "name",
  "connector",
  "resolver",
  "config",
  "defaults",
  "backoff",
  "observer",
];

/** The longest delay that timers take, about 24 days. */
const MAX_MS = 2 ** 31 - 1;

/**
 * Checks the options of a pool and fills in the defaults.
 *
 * @throws {TypeError} If an option has the wrong type or is unknown.
 * @throws {RangeError} If a number is out of range.
 */
export function checkOptions(options: ConnectionPoolOptions): Limits {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `Cannot create the pool: options is ${options}, must be an object`,
    );
  }
  checkNames(options, [...OTHER_FIELDS, ...Object.keys(RULES)], "");
  if (options.connector !== undefined) {
    checkMember(options.connector, "connector", "connect");
  }
  if (options.resolver !== undefined) {
    checkMember(options.resolver, "resolver", "resolve");
  }
  const { name = "-", observer, backoff = {} } = options;
  if (typeof name !== "string" || name === "") {
    throw new TypeError(
      `Cannot create the pool: name is ${show(name)}, must be a text`,
    );
  }
  if (observer !== undefined && typeof observer !== "function") {
    throw new TypeError(
      `Cannot create the pool: observer is a ${typeof observer}, must be a function`,
    );
  }
  if (typeof backoff !== "object" || backoff === null) {
    throw new TypeError(
      `Cannot create the pool: backoff is ${show(backoff)}, must be an object`,
    );
  }
  checkNames(backoff, Object.keys(BACKOFF_RULES), "backoff.");
  return Object.freeze({
    ...numbers(RULES, options, ""),
    backoff: Object.freeze(numbers(BACKOFF_RULES, backoff, "backoff.")),
  });
}

function checkNames(
  options: object,
  allowed: readonly string[],
  prefix: string,
): void {
  for (const field of Object.keys(options)) {
    if (allowed.includes(field)) continue;
    throw new TypeError(
      `Cannot create the pool: there is no option "${prefix}${field}"` +
        (didYouMean(field, allowed) || `, allowed are ${allowed.join(", ")}`),
    );
  }
}

function checkMember(value: unknown, field: string, member: string): void {
  const object = value as Record<string, unknown> | null | undefined;
  if (typeof object === "object" && typeof object?.[member] === "function") {
    return;
  }
  throw new TypeError(
    `Cannot create the pool: ${field} is ${
      object === null ? "null" : `a ${typeof object}`
    }, must be an object with a ${member}() method`,
  );
}

function numbers<K extends string>(
  rules: Record<K, readonly [number, number, boolean, number?]>,
  given: object,
  prefix: string,
): Record<K, number> {
  const result = {} as Record<K, number>;
  for (const field of Object.keys(rules) as K[]) {
    const [standard, lowest, whole, highest = MAX_MS] = rules[field];
    const value = (given as Partial<Record<K, unknown>>)[field] ?? standard;
    result[field] = checkNumber(prefix + field, value, lowest, highest, whole);
  }
  return result;
}

/**
 * Checks one number.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is out of range.
 */
export function checkNumber(
  field: string,
  value: unknown,
  lowest: number,
  highest: number,
  whole: boolean,
): number {
  // Infinity is what people write for "no limit".
  const n = value === Infinity && whole ? Number.MAX_SAFE_INTEGER : value;
  const allowed = `must be a ${
    whole ? "whole number" : "number"
  } of at least ${lowest}${whole ? "" : ` and at most ${highest}`}`;
  if (typeof n !== "number") {
    throw new TypeError(`Invalid option: ${field} is ${show(n)}, ${allowed}`);
  }
  const high = whole ? Number.MAX_SAFE_INTEGER : highest;
  if (!(n >= lowest && n <= high) || (whole && !Number.isInteger(n))) {
    throw new RangeError(`Invalid option: ${field} is ${n}, ${allowed}`);
  }
  return n;
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/**
 * Checks the wait of one call, which overrides the pool's.
 *
 * @throws {TypeError | RangeError} If it is not a duration.
 */
export function acquireTimeout(
  limits: Limits,
  options: AcquireOptions | undefined,
): number {
  const value = options?.acquireTimeoutMs;
  if (value === undefined) return limits.acquireTimeoutMs;
  return checkNumber("acquireTimeoutMs", value, 0, MAX_MS, false);
}
