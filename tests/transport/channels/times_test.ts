/** The times of a connection. */

import { assertEquals } from "@std/assert";
import { TIMES, timesFor } from "../../../transport/channels/times.ts";

Deno.test("timesFor() gives a request as much time as an open, and never less than 20 s", () => {
  assertEquals(timesFor(), TIMES);
  const timesOf = (ms: number) => {
    const { openMs, answerMs } = timesFor(ms);
    return [openMs, answerMs];
  };
  assertEquals(timesOf(50), [50, 20_000]);
  assertEquals(timesOf(60_000), [60_000, 60_000]);
  // For ever.
  assertEquals(timesOf(0), [0, 0]);
});
