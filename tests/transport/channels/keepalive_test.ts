/** When a silent server is asked, and when it is given up. */

import { assertEquals } from "@std/assert";
import { Keepalive } from "../../../transport/channels/_keepalive.ts";

Deno.test("Keepalive with a time or a count of 0 asks nothing, and ends nothing", async () => {
  const told: string[] = [];
  const off = [[0, 3], [1, 0]].map(([intervalMs, countMax]) =>
    new Keepalive(
      { intervalMs: intervalMs!, countMax: countMax! },
      () => void told.push("asked"),
      () => void told.push("dead"),
    )
  );
  // Its timer lets the process end.
  const hold = setInterval(() => {}, 1000);
  const asked: string[] = [];
  const { message } = await new Promise<Error>((onDead) =>
    new Keepalive(
      { intervalMs: 10, countMax: 2 },
      () => void asked.push("asked"),
      onDead,
    )
  );
  clearInterval(hold);
  for (const it of off) it.stop();
  assertEquals([told, asked.length, message], [[], 2, "Keepalive timeout"]);
});
