import { assertEquals } from "@std/assert";
import type { RemoteProcess } from "../../transport/process.ts";
import { FakeTime, flush, gate, Kit, range, stateOf } from "./_kit.ts";

const host = "ops@db1";
const one = { maxConnectionsPerHost: 1, maxSessionsPerConnection: 10 };

Deno.test("ConnectionPool.spawn() leaves a share of the slots to commands: streams that stay open starve none", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { tail: () => end.promise } }, one);
  const tails = range(12).map(() => kit.pool.spawn(host, "tail"));
  const nine = await Promise.all(tails.slice(0, 9));
  assertEquals(kit.pool.stats().slotsInUse, 9);
  const { code } = await kit.pool.exec(host, "true");
  assertEquals(code, 0, "a command runs beside nine streams");
  assertEquals(await stateOf(tails[9]!), "pending", "and a tenth waits");
  end.open();
  for (const process of nine) await process.output();
  for (const late of tails.slice(9)) await (await late).output();
});

Deno.test("ConnectionPool.spawn() leaves a share of the slots to commands, also where streams come one after the other", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { tail: () => end.promise } }, one);
  const nine: RemoteProcess[] = [];
  // A slot is free each time, so each is taken without a wait.
  for (const _ of range(9)) nine.push(await kit.pool.spawn(host, "tail"));
  const tenth = kit.pool.spawn(host, "tail");
  assertEquals(await stateOf(tenth), "pending");
  assertEquals((await kit.pool.exec(host, "true")).code, 0);
  end.open();
  for (const process of nine) await process.output();
  await (await tenth).output();
});

Deno.test("ConnectionPool.spawn() takes every slot where there are few", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { tail: () => end.promise } }, {
    ...one,
    maxSessionsPerConnection: 2,
  });
  const both = await Promise.all(
    range(2).map(() => kit.pool.spawn(host, "tail")),
  );
  assertEquals(kit.pool.stats().slotsInUse, 2);
  end.open();
  for (const process of both) await process.output();
});

Deno.test("ConnectionPool.spawn() takes the slot of a kept SFTP session that nobody uses", async () => {
  const end = gate();
  await using kit = new Kit({ commands: { tail: () => end.promise } }, one);
  (await kit.pool.sftp(host)).close();
  const nine = await Promise.all(
    range(9).map(() => kit.pool.spawn(host, "tail")),
  );
  assertEquals(kit.pool.stats().slotsInUse, 9, "one stays free for a command");
  end.open();
  for (const process of nine) await process.output();
});

Deno.test("ConnectionPool serves a command before a stream that must wait, and both in the order of arrival otherwise", async () => {
  using time = new FakeTime();
  const [tails, commands] = [gate(), gate()];
  await using kit = new Kit({
    commands: {
      tail: () => tails.promise,
      wait: () => commands.promise,
    },
  }, one);
  const order: string[] = [];
  const running = await Promise.all([
    ...range(9).map(() => kit.pool.spawn(host, "tail")),
  ]);
  const held = kit.pool.exec(host, "wait");
  await flush();
  const stream = kit.pool.spawn(host, "tail").then((it) => {
    order.push("stream");
    return it;
  });
  const command = kit.pool.exec(host, "true").then(() => order.push("command"));
  await time.advance(10);
  assertEquals(order, [], "every slot is taken");
  commands.open();
  await held;
  await command;
  assertEquals(order, ["command"], "the stream came first, and may not");
  tails.open();
  for (const process of running) await process.output();
  await (await stream).output();
  assertEquals(order, ["command", "stream"]);
});
