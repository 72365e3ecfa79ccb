/**
 * Waiting that a signal or a deadline can end.
 *
 * @module
 */

/** What is called when one signal aborts. */
interface Watchers {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

const watched = new WeakMap<AbortSignal, Watchers>();

/**
 * Calls back when a signal aborts, once. However many callbacks a signal has,
 * it has one listener of ours: Node warns of more than ten.
 *
 * @param signal The signal; if it has aborted already, nothing is called.
 * @param callback Must not throw.
 * @returns Takes the callback back; a second call does nothing.
 */
export function onAbort(
  signal: AbortSignal | undefined,
  callback: () => void,
): () => void {
  if (signal === undefined) return () => {};
  // Two calls with one function are two entries.
  const entry = () => callback();
  const watchers = watched.get(signal) ?? listen(signal);
  watchers.callbacks.add(entry);
  return () => {
    if (!watchers.callbacks.delete(entry)) return;
    if (watchers.callbacks.size > 0) return;
    watched.delete(signal);
    signal.removeEventListener("abort", watchers.listener);
  };
}

function listen(signal: AbortSignal): Watchers {
  const callbacks = new Set<() => void>();
  const listener = () => {
    watched.delete(signal);
    const all = [...callbacks];
    callbacks.clear();
    for (const callback of all) callback();
  };
  const watchers = { callbacks, listener };
  watched.set(signal, watchers);
  signal.addEventListener("abort", listener, { once: true });
  return watchers;
}

/**
 * Waits for a promise until a signal aborts. The work behind the promise goes
 * on, and its failure is no unhandled rejection.
 *
 * @param promise The promise, which may belong to several callers.
 * @param signal The signal of this caller.
 * @returns A promise for this caller alone.
 * @throws The reason of the signal.
 */
export function abortable<T>(
  promise: PromiseLike<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return Promise.resolve(promise);
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const stop = onAbort(signal, () => reject(signal.reason));
    promise.then((value) => {
      stop();
      resolve(value);
    }, (error) => {
      stop();
      reject(error);
    });
  });
}

/**
 * Waits for a time.
 *
 * @param ms The time, in milliseconds.
 * @param signal Ends the wait.
 * @throws The reason of the signal, if it aborts first.
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      stop();
      resolve();
    }, ms);
    const stop = onAbort(signal, () => {
      clearTimeout(timer);
      reject(signal?.reason);
    });
  });
}

/**
 * Waits until all is settled, but not for longer than a time.
 *
 * @param ms The time, in milliseconds.
 * @param work What was begun. Failures of it are ignored.
 */
export async function settledWithin(
  ms: number,
  ...work: readonly (Promise<unknown> | undefined)[]
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([Promise.allSettled(work), late]);
  clearTimeout(timer);
}

/** The longest delay that timers take, in milliseconds: a longer one ends at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** A signal that aborts at a deadline, or earlier with another signal. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #stopWatching: () => void;

  /**
   * @param ms The time until the deadline, in milliseconds; `Infinity` for none.
   * @param reason Makes the reason of the abort at the deadline.
   * @param signal Aborts earlier, with its own reason.
   */
  constructor(ms: number, reason: () => unknown, signal?: AbortSignal) {
    const controller = this.#controller;
    if (signal?.aborted) controller.abort(signal.reason);
    // A timer for a time that never comes would keep the process alive.
    this.#timer = ms === Infinity ? undefined : setTimeout(
      () => controller.abort(reason()),
      Math.min(ms, MAX_TIMER_MS),
    );
    this.#stopWatching = onAbort(
      signal,
      () => controller.abort(signal?.reason),
    );
  }

  /** The signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the watch: no timer and no listener is left. */
  cancel(): void {
    clearTimeout(this.#timer);
    this.#stopWatching();
  }
}
