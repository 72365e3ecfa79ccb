/** Deadlines of a process that is busy itself. */

import { assertEquals } from "@std/assert";
import { setImmediate } from "node:timers";
import { AnswerDeadlines } from "../../../transport/channels/_answer_deadlines.ts";

Deno.test("AnswerDeadlines lets a process that was busy read first what has come", async () => {
  const late: string[] = [];
  let done = () => {};
  const isOver = new Promise<void>((resolve) => done = resolve);
  const deadlines = new AnswerDeadlines<string>(50, (waiting) => {
    late.push(waiting);
    done();
  });
  deadlines.add("answered meanwhile");
  deadlines.add("never answered");
  // The process is busy, and hears nothing.
  for (const until = performance.now() + 300; performance.now() < until;);
  // Timers come first, and then what has come.
  await new Promise<void>((resolve) => setImmediate(resolve));
  deadlines.delete("answered meanwhile");
  const hold = setInterval(() => {}, 1_000);
  await isOver;
  clearInterval(hold);
  assertEquals(late, ["never answered"]);
  deadlines.clear();
});
