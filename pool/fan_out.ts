/**
 * The same work on many hosts, results as they come.
 *
 * @module
 */

import type { HostLike } from "../transport/host.ts";
import { checkNumber } from "./options.ts";

/** Options of {@linkcode ConnectionPool.fanOut}. */
export interface FanOutOptions {
  /**
   * Hosts that are worked on at once.
   *
   * @default {100}
   */
  readonly concurrency?: number;
  /**
   * Stops: no further host is begun, the work under way sees its signal
   * abort, and the iteration throws the signal's reason.
   */
  readonly signal?: AbortSignal;
}

/**
 * How the work on one host went. A `host` that is an object is not enumerable:
 * it may hold credentials, which do not belong in print.
 */
export type FanOutResult<T> =
  | { readonly host: HostLike; readonly ok: true; readonly value: T }
  | { readonly host: HostLike; readonly ok: false; readonly error: unknown };

/** The work on one host. Its signal aborts when the fan-out is left. */
export type FanOutWork<T> = (
  host: HostLike,
  signal: AbortSignal,
) => T | Promise<T>;

/**
 * Works on hosts, several at once, and yields each result when it is there.
 * The failure of one host is its result and stops nothing. Leaving the loop
 * aborts what is under way and waits for it to settle.
 */
export async function* fanOut<T>(
  hosts: Iterable<HostLike> | AsyncIterable<HostLike>,
  work: FanOutWork<T>,
  options: FanOutOptions = {},
): AsyncGenerator<FanOutResult<T>, void, undefined> {
  const { concurrency = 100, signal } = options;
  checkNumber("concurrency", concurrency, 1, Number.MAX_SAFE_INTEGER, true);
  signal?.throwIfAborted();
  const stop = new AbortController();
  const source = iterate(hosts);
  const done: FanOutResult<T>[] = [];
  let running = 0;
  let isAsking = false;
  let isExhausted = false;
  let sourceError: { error: unknown } | undefined;
  // One bell for everything that can happen, rung by whatever happens first: a
  // race over all that runs would cost as much for each result as there are
  // hosts.
  let ring = () => {};
  const onAbort = () => {
    stop.abort(signal?.reason);
    ring();
  };
  signal?.addEventListener("abort", onAbort, { once: true });

  const begin = async (host: HostLike) => {
    running++;
    done.push(await settle(host, work, stop.signal));
    running--;
    ring();
  };
  const ask = async () => {
    isAsking = true;
    try {
      const next = await source.next();
      if (next.done) isExhausted = true;
      else begin(next.value);
    } catch (error) {
      isExhausted = true;
      sourceError = { error };
    }
    isAsking = false;
    ring();
  };

  try {
    for (;;) {
      signal?.throwIfAborted();
      const result = done.shift();
      if (result !== undefined) yield result;
      else if (!isExhausted && !isAsking && running < concurrency) ask();
      else if (isExhausted && running === 0) break;
      else await new Promise<void>((resolve) => ring = resolve);
    }
    if (sourceError !== undefined) throw sourceError.error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    stop.abort(new DOMException("The fan-out was left", "AbortError"));
    while (running > 0) await new Promise<void>((resolve) => ring = resolve);
    await source.return?.();
  }
}

async function settle<T>(
  host: HostLike,
  work: FanOutWork<T>,
  signal: AbortSignal,
): Promise<FanOutResult<T>> {
  try {
    return withHost(host, { ok: true, value: await work(host, signal) });
  } catch (error) {
    return withHost(host, { ok: false, error });
  }
}

/**
 * Adds the host to a result, as the caller named it. An object may hold
 * credentials: it is there for who asks, and not seen where a result is
 * printed, as results are.
 */
export function withHost<T extends object>(
  host: HostLike,
  result: T,
): T & { readonly host: HostLike } {
  if (typeof host === "string") return { host, ...result };
  return Object.defineProperty(result, "host", { value: host }) as
    & T
    & { readonly host: HostLike };
}

function iterate(
  hosts: Iterable<HostLike> | AsyncIterable<HostLike>,
): AsyncIterator<HostLike> {
  if (Symbol.asyncIterator in hosts) return hosts[Symbol.asyncIterator]();
  return (async function* () {
    yield* hosts;
  })();
}
