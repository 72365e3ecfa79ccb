/**
 * The same work on many hosts, results as they come: what goes in and what
 * comes out.
 *
 * @module
 */

import type { HostLike } from "../transport/host/host.ts";
import type { OutputEncoding } from "../transport/process.ts";
import type { ExecOptions } from "./options.ts";

/** Options of {@linkcode ConnectionPool.fanOut}. */
export interface FanOutOptions<Entry = HostLike> {
  /**
   * Gives the host of an entry, where the entries are no hosts but have one:
   * `fanOut(inventory, work, { host: (entry) => entry.ssh })`. The work and the
   * results have the entry. Default: the entries are hosts.
   */
  readonly host?: (entry: Entry) => HostLike;
  /**
   * Hosts that are worked on at once. A host whose result the loop is still
   * looking at counts, too: with 1, no host is begun before the loop has come
   * back from the result of the one before.
   *
   * @default {100}
   */
  readonly concurrency?: number;
  /**
   * Stops: no further host is begun, the work under way sees its signal
   * abort, and the iteration throws the signal's reason. Results that nobody
   * has seen yet are dropped.
   */
  readonly signal?: AbortSignal;
  /**
   * Told whenever work on a host begins or ends, and once more at the end.
   * What it throws ends the fan-out. A promise that it returns is not waited
   * for. A display for terminals is `terminalProgress()` of
   * `@sshpool/sshpool/progress`.
   */
  readonly onProgress?: (progress: FanOutProgress) => void;
}

/** Options of {@linkcode ConnectionPool.fanOut} with a command. */
export interface FanOutCommandOptions<
  Encoding extends OutputEncoding = "text",
  Entry = HostLike,
> extends FanOutOptions<Entry> {
  /** How the command is run on each host. */
  readonly exec?: FanOutExecOptions<Encoding>;
}

/**
 * Options of the command of a fan-out: those of `exec()` but for `signal`,
 * which is that of the fan-out. `stdin` must be text or bytes: a stream can be
 * read once, and there are many hosts.
 */
export interface FanOutExecOptions<
  Encoding extends OutputEncoding = "text",
> extends Omit<ExecOptions<Encoding>, "signal" | "stdin"> {
  /** What the command reads on each host. */
  readonly stdin?: string | Uint8Array;
}

/** How far a fan-out is. */
export interface FanOutProgress {
  /** Hosts whose work has ended, well or not. */
  readonly done: number;
  /** Of these, those whose work failed. */
  readonly failed: number;
  /** Hosts that are worked on now. */
  readonly running: number;
  /**
   * Hosts in all. `undefined` while that is not known: the hosts come from an
   * iterable without `length` and `size`, and it has not ended.
   */
  readonly total: number | undefined;
  /**
   * Whether this is the last call: the fan-out is over, because everything is
   * done, or because it was left, aborted or failed.
   */
  readonly ended: boolean;
}

/**
 * How the work on one host went. A `host` that is an object is not enumerable:
 * it may hold credentials, which do not belong in print.
 */
export type FanOutResult<T, Entry = HostLike> =
  | {
    /** The host, or the entry that has it, as the caller gave it. */
    readonly host: Entry;
    /** Its name: the string, the object's `alias`, or `user@hostname:port`. */
    readonly name: string;
    /** The work succeeded. A command succeeds with any exit code, unless `check` is set. */
    readonly ok: true;
    /** What the work returned. */
    readonly value: T;
  }
  | {
    /** The host, or the entry that has it, as the caller gave it. */
    readonly host: Entry;
    /** Its name: the string, the object's `alias`, or `user@hostname:port`. */
    readonly name: string;
    /** The work failed. */
    readonly ok: false;
    /** What it threw. */
    readonly error: unknown;
  };

/**
 * The work on one host, or on an entry that has one. Its signal aborts when the
 * fan-out is left.
 */
export type FanOutWork<T, Entry = HostLike> = (
  host: Entry,
  signal: AbortSignal,
) => T | Promise<T>;

/**
 * A fan-out, which begins when it is looped over, or awaited: `for await` gives
 * each result when it is there, and `await` all of them in the order of the
 * hosts. It is good for one of the two.
 */
export interface FanOut<T, Entry = HostLike>
  extends
    AsyncIterable<FanOutResult<T, Entry>>,
    PromiseLike<FanOutResult<T, Entry>[]> {}

/** How warming one host went. */
export interface WarmResult {
  /** The host, as it was named; not enumerable if it is an object, which may hold credentials. */
  readonly host: HostLike;
  /** Its name: the string, the object's `alias`, or `user@hostname:port`. */
  readonly name: string;
  /** Whether it has a connection now. */
  readonly ok: boolean;
  /** Why it has none. */
  readonly error?: unknown;
}
