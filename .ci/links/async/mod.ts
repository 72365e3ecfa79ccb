// The npm build of @std/async, for machines that reach npm alone. It ships
// JavaScript only, so the signatures in use are declared here.
import * as abortableModule from "npm:deno-std@1.4.0/async/abortable.js";
import * as deadlineModule from "npm:deno-std@1.4.0/async/deadline.js";
import * as delayModule from "npm:deno-std@1.4.0/async/delay.js";
import * as poolModule from "npm:deno-std@1.4.0/async/pool.js";

interface Std {
  abortable<T>(p: Promise<T>, signal: AbortSignal): Promise<T>;
  deadline<T>(
    p: Promise<T>,
    ms: number,
    options?: { signal?: AbortSignal },
  ): Promise<T>;
  delay(
    ms: number,
    options?: { signal?: AbortSignal; persistent?: boolean },
  ): Promise<void>;
  pooledMap<T, R>(
    poolLimit: number,
    array: Iterable<T> | AsyncIterable<T>,
    iteratorFn: (data: T) => Promise<R>,
  ): AsyncIterableIterator<R>;
}
const s = {
  ...abortableModule,
  ...deadlineModule,
  ...delayModule,
  ...poolModule,
} as unknown as Std;
export const abortable: Std["abortable"] = s.abortable;
export const deadline: Std["deadline"] = s.deadline;
export const delay: Std["delay"] = s.delay;
export const pooledMap: Std["pooledMap"] = s.pooledMap;
