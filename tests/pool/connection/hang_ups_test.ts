// Servers that hang up after each command, and those that only seem to.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { ConnectionPool, type ConnectionPoolOptions } from "../../../mod.ts";
import { Survival } from "../../../pool/connection/survival.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { type Device, startDevice } from "../../kit/device.ts";
import { FakeTime, range } from "../_kit.ts";

/** Runs commands one after the other: what each gave, or the name of its error. */
async function inARow(
  pool: ConnectionPool,
  { host }: Device,
  count: number,
): Promise<string[]> {
  const seen: string[] = [];
  for (const n of range(count)) {
    seen.push(
      await pool.exec(host, `c${n}`).then(
        ({ stdout }) => stdout === `c${n}` ? "ok" : stdout,
        (error) => {
          assertInstanceOf(error, ConnectionLostError);
          assertEquals(error.mayHaveRun, true);
          return "lost";
        },
      ),
    );
  }
  return seen;
}

function deviceTest(
  name: string,
  software: string,
  hangsUp: (connection: number) => boolean,
  fn: (device: Device, pool: ConnectionPool) => Promise<void>,
  options: ConnectionPoolOptions = {},
): void {
  Deno.test(name, async () => {
    await using device = await startDevice({ software, hangsUp });
    await using pool = new ConnectionPool({ config: false, ...options });
    await fn(device, pool);
  });
}

deviceTest(
  "ConnectionPool.exec() loses nothing on a switch that hangs up after each command, from the first one on",
  "Cisco-1.25",
  () => true,
  async (device, pool) => {
    assertEquals(await inARow(pool, device, 6), range(6).map(() => "ok"));
    assertEquals(device.commands, range(6).map((n) => `c${n}`));
    assertEquals(device.connections, 6);
  },
);

deviceTest(
  "ConnectionPool.exec() loses nothing on such a switch of many commands at once, each of which runs once",
  "Cisco-1.25",
  () => true,
  async (device, pool) => {
    const all = range(12).map((n) => pool.exec(device.host, `d${n}`));
    assertEquals(
      (await Promise.all(all)).map(({ stdout }) => stdout),
      range(12).map((n) => `d${n}`),
    );
    assertEquals(
      device.commands.toSorted(),
      range(12).map((n) => `d${n}`).toSorted(),
    );
  },
);

deviceTest(
  "ConnectionPool.exec() learns from the first hang-up of a server that is known to stay, which may cost the command under way",
  "OpenSSH_9.9",
  () => true,
  async (device, pool) => {
    const lost = (await inARow(pool, device, 6)).filter((it) => it === "lost");
    assert(lost.length <= 1, `${lost.length} were lost`);
    assertEquals(device.commands, range(6).map((n) => `c${n}`));
  },
);

deviceTest(
  "ConnectionPool forgives a server that hung up once, as at a restart",
  "OpenSSH_9.9",
  (connection) => connection === 1,
  async (device, pool) => {
    await inARow(pool, device, 12);
    assertEquals(device.connections, 2);
  },
);

deviceTest(
  "ConnectionPool keeps one connection to an unknown server that stays, and soon uses it at once",
  "Unheard-1.0",
  () => false,
  async (device, pool) => {
    assertEquals(await inARow(pool, device, 4), range(4).map(() => "ok"));
    const all = range(20).map((n) => pool.exec(device.host, `d${n}`));
    assertEquals(
      (await Promise.all(all)).map(({ stdout }) => stdout),
      range(20).map((n) => `d${n}`),
    );
    assertEquals(device.connections, 1);
  },
  { maxConnectionsPerHost: 1 },
);

deviceTest(
  "maxLifetimeSessions of 1 loses nothing on a server that hangs up, at once and in a row",
  "OpenSSH_9.9",
  () => true,
  async (device, pool) => {
    const all = range(12).map((n) => pool.exec(device.host, `d${n}`));
    assertEquals(
      (await Promise.all(all)).map(({ stdout }) => stdout),
      range(12).map((n) => `d${n}`),
    );
    assertEquals(await inARow(pool, device, 4), range(4).map(() => "ok"));
    assertEquals(device.connections, 16);
  },
  { maxLifetimeSessions: 1 },
);

Deno.test("Survival rests after the first session, and not where others are open", async () => {
  using time = new FakeTime();
  const alone = new Survival("careful");
  assertEquals(alone.recheckMs, Infinity);
  alone.sessionEnded(0);
  assert(alone.isResting && alone.recheckMs <= 250);
  await time.advance(150);
  alone.recheck();
  assertEquals([alone.ceiling, alone.hasSurvived], [0, false]);
  await time.advance(120);
  alone.recheck();
  assertEquals([alone.ceiling, alone.hasSurvived], [Infinity, true]);
  alone.sessionEnded(0);
  assertEquals(alone.ceiling, Infinity);

  // A late look says that this process was busy: it looks once more.
  const late = new Survival("careful");
  late.sessionEnded(0);
  await time.advance(400);
  late.recheck();
  assert(late.isResting && !late.hasSurvived && late.recheckMs <= 50);
  await time.advance(400);
  late.recheck();
  assertEquals(late.ceiling, Infinity);

  // The first session is alone, as long as it may be a short command.
  const shared = new Survival("careful");
  assertEquals([shared.ceiling, shared.isResting], [1, false]);
  shared.sessionBegins();
  assert(shared.isResting && shared.recheckMs <= 1_000);
  await time.advance(900);
  shared.recheck();
  assertEquals(shared.ceiling, 1);
  await time.advance(120);
  shared.recheck();
  assertEquals([shared.ceiling, shared.isResting], [Infinity, false]);
  shared.sessionEnded(2);
  assertEquals([shared.ceiling, shared.hungUp(performance.now())], [
    Infinity,
    true,
  ]);
  shared.sessionEnded(0);
  assert(shared.isResting);

  const suspect = new Survival("suspected");
  assertEquals([suspect.ceiling, suspect.hungUp(performance.now())], [
    1,
    false,
  ]);
  suspect.sessionEnded(0);
  assert(suspect.hungUpAfterOne(performance.now()));

  const trusted = new Survival("full");
  trusted.sessionEnded(0);
  assertEquals(trusted.ceiling, Infinity);
});
