/**
 * One fan-out, from the first host to the end.
 *
 * @module
 */

import { onAbort } from "../../transport/abort.ts";
import type { HostLike } from "../../transport/host/host.ts";
import { withCallerStack } from "../telemetry/failure.ts";
import { withHost } from "../telemetry/host_label.ts";
import type {
  FanOutOptions,
  FanOutProgress,
  FanOutResult,
} from "../fan_out.ts";

/** How long work that does not react to its signal is waited for. */
const LEAVE_GRACE_MS = 1_000;

/** The hosts of a fan-out, or entries that have one. */
export type FanOutHosts = Iterable<unknown> | AsyncIterable<unknown>;

/** The work on one entry, whose host is known. */
export type EntryWork<T> = (
  entry: unknown,
  host: HostLike,
  signal: AbortSignal,
) => T | Promise<T>;

/** What a fan-out is made of. */
export interface FanOutParts<T> {
  readonly hosts: FanOutHosts;
  readonly work: EntryWork<T>;
  readonly concurrency: number;
  readonly host?: FanOutOptions<unknown>["host"];
  readonly signal?: AbortSignal;
  readonly onProgress?: FanOutOptions["onProgress"];
  /** Aborts when the pool begins to close. */
  readonly closing: AbortSignal;
}

/** How the work on one entry went. */
type Result<T> = FanOutResult<T, unknown>;

/** How a fan-out ends: without an error, or with this one. */
interface End {
  error?: { readonly value: unknown };
}

/** A call of `next()` that waits. */
interface Caller<T> {
  resolve(result: IteratorResult<Result<T>, undefined>): void;
  reject(error: unknown): void;
}

/**
 * One fan-out, from its first `next()` to its end. It is no generator, since
 * `return()` of a generator waits for a `next()` that is pending, and that one
 * may wait for a host that never comes.
 *
 *     source -- ask --> begin --> work --> results -- answer --> next()
 *                 \_____________________________________________/
 *                  at most `concurrency` hosts, until the loop
 *                  comes back from the result
 */
export class FanOutRun<T>
  implements AsyncIterableIterator<Result<T>>, PromiseLike<Result<T>[]> {
  readonly #parts: FanOutParts<T>;
  readonly #stop = new AbortController();
  readonly #results: Result<T>[] = [];
  readonly #callers: Caller<T>[] = [];
  #unwatch: (() => void)[] = [];
  #source: Iterator<unknown> | AsyncIterator<unknown> | undefined;
  #isAsking = false;
  #isExhausted = false;
  #begun = 0;
  #done = 0;
  #failed = 0;
  /** Results that the loop was given, and of these, those that it has left. */
  #given = 0;
  #seen = 0;
  /** Set when no further host comes. */
  #noMore: End | undefined;
  /** Set when the fan-out is being left: no work begins, no result is given. */
  #end: End | undefined;
  #over: Promise<void> | undefined;
  #isOver = false;
  #onIdle = (): void => {};
  /** Where the results stand among the hosts, if the fan-out is awaited. */
  #positions: Map<Result<T>, number> | undefined;
  #all: Promise<Result<T>[]> | undefined;

  constructor(parts: FanOutParts<T>) {
    this.#parts = parts;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Runs it to its end; the results are in the order of the hosts. */
  then<A = Result<T>[], B = never>(
    onFulfilled?: ((results: Result<T>[]) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#all ??= this.#collect();
    return this.#all.then(onFulfilled, onRejected);
  }

  async #collect(): Promise<Result<T>[]> {
    if (this.#source !== undefined || this.#end !== undefined) {
      throw new TypeError(
        "Cannot await the fan-out: it is being looped over, must be one of both",
      );
    }
    const positions = this.#positions = new Map<Result<T>, number>();
    for (let it = await this.next(); !it.done; it = await this.next());
    return [...positions].sort(([, a], [, b]) => a - b).map(([it]) => it);
  }

  async next(): Promise<IteratorResult<Result<T>, undefined>> {
    this.#seen = this.#given;
    try {
      return await new Promise((resolve, reject) => {
        this.#callers.push({ resolve, reject });
        if (this.#source === undefined) this.#start();
        this.#pump();
      });
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  async return(): Promise<IteratorResult<Result<T>, undefined>> {
    if (this.#end !== undefined) this.#takeError(); // nobody asks for it
    else this.#leave({});
    await this.#over;
    const error = this.#takeError();
    if (error !== undefined) throw error.value;
    return { done: true, value: undefined };
  }

  #start(): void {
    if (this.#end !== undefined) return;
    const { hosts, signal, closing } = this.#parts;
    const fail = (value: unknown) => this.#leave({ error: { value } });
    if (signal?.aborted) return fail(signal.reason);
    if (closing.aborted) return fail(closing.reason);
    try {
      this.#source = iterate(hosts);
    } catch (error) {
      return fail(error);
    }
    this.#unwatch = [
      onAbort(signal, () => fail(signal?.reason)),
      onAbort(closing, () => this.#onClosing(closing.reason)),
    ];
  }

  /** The pool closes: what runs may end, and nothing begins. */
  #onClosing(value: unknown): void {
    this.#closeSource({ error: { value } }).catch(() => {});
    this.#pump();
  }

  #pump(): void {
    this.#answer();
    while (this.#mayAsk) this.#ask();
    this.#answer();
    const isIdle = this.#running === 0 && this.#results.length === 0;
    if (this.#noMore !== undefined && isIdle) this.#leave(this.#noMore);
  }

  get #running(): number {
    return this.#begun - this.#done;
  }

  get #mayAsk(): boolean {
    return this.#noMore === undefined && !this.#isAsking &&
      this.#begun - this.#seen < this.#parts.concurrency;
  }

  /** Gives results, or the end, to those who wait for one. */
  #answer(): void {
    while (this.#callers.length > 0) {
      const value = this.#results.shift();
      if (value === undefined && !this.#isOver) return;
      const { resolve, reject } = this.#callers.shift()!;
      if (value !== undefined) {
        this.#given++;
        resolve({ done: false, value });
        continue;
      }
      const error = this.#takeError();
      if (error === undefined) resolve({ done: true, value: undefined });
      else reject(error.value);
    }
  }

  /** The error is thrown once, as by a generator. */
  #takeError(): End["error"] {
    const error = this.#end?.error;
    delete this.#end?.error;
    return error;
  }

  #ask(): void {
    const took = (next: IteratorResult<unknown>) => this.#took(next);
    const failed = (value: unknown) => this.#tookError({ value });
    try {
      const next = this.#source!.next();
      // Only an async source answers with a promise.
      if (!("then" in next)) return took(next);
      this.#isAsking = true;
      next.then(took, failed).then(() => {
        this.#isAsking = false;
        this.#pump();
      });
    } catch (error) {
      failed(error);
    }
  }

  #took(next: IteratorResult<unknown>): void {
    if (this.#noMore !== undefined) return; // too late, the source was closed
    if (!next.done) return this.#begin(next.value);
    const wasKnown = this.#total !== undefined;
    this.#isExhausted = true;
    this.#noMore = {};
    if (!wasKnown) this.#tell();
  }

  #tookError(error: { readonly value: unknown }): void {
    this.#noMore ??= { error };
  }

  #begin(entry: unknown): void {
    const position = this.#begun++;
    settle(entry, this.#parts, this.#stop.signal).then((result) => {
      this.#positions?.set(result, position);
      this.#done++;
      if (!result.ok) this.#failed++;
      if (this.#end === undefined) this.#results.push(result);
      if (this.#running === 0) this.#onIdle();
      this.#tell();
      this.#pump();
    });
    this.#tell();
  }

  #leave(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#over = this.#finish(end);
  }

  async #finish(end: End): Promise<void> {
    for (const unwatch of this.#unwatch) unwatch();
    this.#results.length = 0;
    const closed = this.#closeSource({});
    if (this.#running > 0) {
      const left = new DOMException("The fan-out was left", "AbortError");
      this.#stop.abort(end.error === undefined ? left : end.error.value);
    }
    try {
      await this.#settled(closed);
    } catch (value) {
      end.error ??= { value };
    }
    try {
      this.#parts.onProgress?.(this.#progress);
    } catch (value) {
      end.error ??= { value };
    }
    this.#isOver = true;
    this.#answer();
  }

  /** Waits for the work and the source, but not for what does not react. */
  async #settled(closed: Promise<void>): Promise<void> {
    const idle = this.#running === 0
      ? undefined
      : new Promise<void>((resolve) => this.#onIdle = resolve);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LEAVE_GRACE_MS);
    });
    const all = Promise.all([closed, idle]);
    try {
      await Promise.race([all, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Tells the source that no further host is wanted. */
  async #closeSource(noMore: End): Promise<void> {
    if (this.#noMore !== undefined) return;
    this.#noMore = noMore;
    const closed = this.#source?.return?.();
    // A generator closes only after it has given the host it was asked for,
    // which may never come.
    if (this.#isAsking) Promise.resolve(closed).catch(() => {});
    else await closed;
  }

  #tell(): void {
    if (this.#end !== undefined) return;
    try {
      this.#parts.onProgress?.(this.#progress);
    } catch (value) {
      this.#leave({ error: { value } });
    }
  }

  get #progress(): FanOutProgress {
    return {
      done: this.#done,
      failed: this.#failed,
      running: this.#running,
      total: this.#total,
      ended: this.#end !== undefined,
    };
  }

  get #total(): number | undefined {
    return this.#isExhausted ? this.#begun : sizeOf(this.#parts.hosts);
  }
}

async function settle<T>(
  entry: unknown,
  { work, host: hostOf }: FanOutParts<T>,
  signal: AbortSignal,
): Promise<Result<T>> {
  let host = entry as HostLike;
  try {
    if (hostOf !== undefined) host = hostOf(entry);
    const value = await work(entry, host, signal);
    return withHost(entry, { ok: true, value }, host);
  } catch (error) {
    return withHost(entry, { ok: false, error }, host);
  }
}

function iterate(
  hosts: FanOutHosts,
): Iterator<unknown> | AsyncIterator<unknown> {
  return Symbol.asyncIterator in hosts
    ? hosts[Symbol.asyncIterator]()
    : hosts[Symbol.iterator]();
}

/** Returns how many hosts there are, if the source says so. */
function sizeOf(hosts: FanOutHosts): number | undefined {
  const { length, size } = hosts as { length?: unknown; size?: unknown };
  if (typeof length === "number") return length;
  return typeof size === "number" ? size : undefined;
}
