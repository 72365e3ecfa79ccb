import { assertEquals, assertRejects } from "@std/assert";
import { getEventListeners } from "node:events";
import { abortable, onAbort, sleep } from "../../transport/abort.ts";

Deno.test("onAbort() keeps one listener for all callbacks of a signal, and none after the last", () => {
  const { signal } = new AbortController();
  const callback = () => {};
  const stops = Array.from({ length: 60 }, () => onAbort(signal, callback));
  assertEquals(getEventListeners(signal, "abort").length, 1);
  for (const stop of stops) stop();
  assertEquals(getEventListeners(signal, "abort").length, 0);
});

Deno.test("onAbort() calls every callback once, in order, but for those taken back", () => {
  const controller = new AbortController();
  const calls: number[] = [];
  const stops = [1, 2, 3].map((n) =>
    onAbort(controller.signal, () => calls.push(n))
  );
  stops[1]!();
  stops[1]!();
  controller.abort();
  assertEquals(calls, [1, 3]);
  stops[0]!();
});

Deno.test("onAbort() takes a callback that a callback adds for the next abort, which never comes", () => {
  const controller = new AbortController();
  let late = 0;
  onAbort(controller.signal, () => {
    onAbort(controller.signal, () => late++)();
  });
  controller.abort();
  assertEquals(late, 0);
});

Deno.test("abortable() leaves a promise that never settles, with the reason of the signal", async () => {
  const controller = new AbortController();
  const never = abortable(new Promise(() => {}), controller.signal);
  controller.abort(new TypeError("the caller's reason"));
  await assertRejects(() => never, TypeError, "the caller's reason");
  const late = abortable(Promise.resolve(1), controller.signal);
  await assertRejects(() => late, TypeError, "the caller's reason");
});

Deno.test("abortable() takes its callback back when the promise settles, and its failure is handled", async () => {
  const controller = new AbortController();
  await assertRejects(
    () => abortable(Promise.reject(new Error("failed")), controller.signal),
    Error,
    "failed",
  );
  assertEquals(getEventListeners(controller.signal, "abort").length, 0);
  const left = abortable(
    new Promise((_, reject) => setTimeout(() => reject(new Error("late")), 1)),
    controller.signal,
  );
  controller.abort();
  await assertRejects(() => left, DOMException);
  await new Promise((resolve) => setTimeout(resolve, 5));
});

Deno.test("sleep() ends when its signal aborts, and leaves no timer", async () => {
  const controller = new AbortController();
  const asleep = sleep(1_000_000, controller.signal);
  controller.abort();
  await assertRejects(() => asleep, DOMException);
  await assertRejects(() => sleep(1_000_000, controller.signal), DOMException);
  await sleep(1);
});
