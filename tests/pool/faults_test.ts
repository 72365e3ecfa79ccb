/** Faults on the link, between the pool and both servers. */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  AuthenticationError,
  ConnectionLostError,
  type ConnectionPool,
  DialError,
  HostKeyError,
} from "../../mod.ts";
import { until } from "../kit/until.ts";
import {
  afterCooldown,
  errorOf,
  HANG,
  impatientPool,
  outcomeOf,
  overBoth,
  PARTIAL,
  PATIENCE_MS,
  pause,
  range,
  type Site,
  text,
} from "./_faults_kit.ts";
import type { FaultLink } from "../kit/fault_proxy.ts";

/** Runs `HANG`, and waits until its output is on this side of the proxy. */
async function startHanging(
  pool: ConnectionPool,
  site: Site,
  options: { idempotent?: boolean } = {},
): Promise<{ result: Promise<unknown> }> {
  await pool.exec(site.host, "true");
  const link = site.proxy.open[0]!;
  const before = link.bytesDown;
  const result = pool.exec(site.host, HANG, options);
  result.catch(() => {});
  await until(
    () => link.bytesDown > before + PARTIAL.length,
    "the output to reach the proxy",
  );
  await pause(50); // and the client, which has no way to tell
  return { result };
}

/** Asserts that a running command was lost, and that the pool is fine. */
async function assertLost(
  pool: ConnectionPool,
  site: Site,
  running: Promise<unknown>,
): Promise<void> {
  const error = await errorOf(running, ConnectionLostError);
  assertEquals(error.mayHaveRun, true);
  const output = text(error.output?.stdout);
  assert(output !== "" && output.trim() === "", `${output.length} bytes`);
  const next = await afterCooldown(() => pool.exec(site.host, "echo next"));
  assertEquals(next.stdout, "next\n");
  assertEquals(site.proxy.links.length, 2);
}

overBoth("a reset loses the running command", async (site) => {
  await using pool = impatientPool();
  const { result } = await startHanging(pool, site);
  site.proxy.reset();
  await assertLost(pool, site, result);
});

overBoth("an end of file loses the running command", async (site) => {
  await using pool = impatientPool();
  const { result } = await startHanging(pool, site);
  site.proxy.halfClose();
  await assertLost(pool, site, result);
});

overBoth("a frozen link loses the running command", async (site) => {
  await using pool = impatientPool({
    keepaliveIntervalMs: 300,
    keepaliveCountMax: 2,
  });
  const { result } = await startHanging(pool, site);
  site.proxy.open[0]!.stall();
  await assertLost(pool, site, result);
});

/** Has ten callers wait for channels of a link that then ends as told. */
async function assertPassedOn(
  pool: ConnectionPool,
  site: Site,
  end: (link: FaultLink) => void,
): Promise<void> {
  await pool.exec(site.host, "true");
  const link = site.proxy.open[0]!;
  link.stall();
  const running = range(10).map((i) =>
    pool.exec(site.host, site.note(`n${i}`))
  );
  await until(() => pool.stats().slotsInUse === 10, "the callers' slots");
  end(link);
  const results = await outcomeOf(Promise.all(running));
  assert(results.ok, `${!results.ok && results.error}`);
  assertEquals(
    results.value.map(({ stdout }) => stdout),
    range(10).map((i) => `n${i}\n`),
  );
  assertEquals(
    (await site.notes()).toSorted(),
    range(10).map((i) => `n${i}`),
  );
  assertEquals(pool.stats().counters.retries["not-sent"], 10);
}

overBoth("a frozen link passes on what was not sent", async (site) => {
  await using pool = impatientPool({
    keepaliveIntervalMs: 300,
    keepaliveCountMax: 2,
  });
  await assertPassedOn(pool, site, () => {});
});

overBoth("a reset passes on what was not sent", async (site) => {
  await using pool = impatientPool();
  await assertPassedOn(pool, site, (link) => link.reset());
});

overBoth("an idempotent command is run once more, not twice", async (site) => {
  await using pool = impatientPool();
  const first = await startHanging(pool, site, { idempotent: true });
  site.proxy.reset();
  await until(() => site.proxy.links.length === 2, "the second dial");
  const second = site.proxy.links[1]!;
  await until(
    () => second.bytesDown > PARTIAL.length + 500,
    "the output of the repetition",
  );
  assertEquals(pool.stats().counters.retries.idempotent, 1);
  second.reset();
  const error = await errorOf(first.result, ConnectionLostError);
  assertEquals(error.mayHaveRun, true);
  assertEquals(site.proxy.links.length, 2);
  assertEquals(pool.stats().counters.retries.idempotent, 1);
});

overBoth("a slow link changes nothing but the time", async (site) => {
  site.proxy.delayMs = 15;
  await using pool = impatientPool();
  const results = await Promise.all(
    range(30).map((i) => pool.exec(site.host, `echo ${i}`)),
  );
  assertEquals(
    results.map(({ stdout, code }) => `${code} ${stdout}`),
    range(30).map((i) => `0 ${i}\n`),
  );
});

/** `count` numbers, evenly over `0..end`. */
function sweep(end: number, count: number): number[] {
  return range(count).map((i) => Math.floor(i * end / count));
}

/** Bytes that the server sends for a login, and for one command after it. */
async function measure(site: Site): Promise<{ login: number; run: number }> {
  await using pool = impatientPool();
  await pool.getConnection(site.host);
  const link = site.proxy.links.at(-1)!;
  const login = link.bytesDown;
  await pool.exec(site.host, site.note("measured"));
  return { login, run: link.bytesDown - login };
}

overBoth("a dial cut anywhere fails as a dial", async (site) => {
  const { login } = await measure(site);
  // The last bytes of a login are its success, which one reset may overtake
  // and another may not; and sshd's message about its host keys follows it.
  for (const bytes of sweep(login * 0.6, 14)) {
    await using pool = impatientPool({ dialTimeoutMs: 400 });
    site.proxy.dropNewAfterBytes = bytes;
    const start = performance.now();
    const error = await errorOf(pool.exec(site.host, "true"), DialError);
    const tookMs = performance.now() - start;
    assert(tookMs < 400 + 5_000, `after ${bytes} bytes: ${tookMs} ms`);
    assertEquals(error.mayHaveRun, false);
    assert(
      ["banner", "kex", "auth", "timeout"].includes(error.phase),
      `after ${bytes} bytes: phase ${error.phase}`,
    );
    // Bytes that never came are no refusal: nothing is to be remembered.
    assert(!(error instanceof AuthenticationError), `after ${bytes} bytes`);
    assert(!(error instanceof HostKeyError), `after ${bytes} bytes`);
    site.proxy.dropNewAfterBytes = Infinity;
    const next = await outcomeOf(
      afterCooldown(() => pool.exec(site.host, "echo next")),
    );
    // The short deadline is for the cut dials: a slow machine may miss it.
    if (next.ok) assertEquals(next.value.stdout, "next\n");
    else assertInstanceOf(next.error, DialError);
    await until(() => site.proxy.open.length <= 1, "the cut links to close");
  }
});

overBoth("a command cut anywhere ran once or is lost", async (site) => {
  const { run } = await measure(site);
  await using pool = impatientPool();
  let lost = 0;
  for (const bytes of sweep(run, 18)) {
    const id = `cut${bytes}`;
    // The connection of the round before may be about to go.
    await pool.exec(site.host, "true", { idempotent: true });
    site.proxy.dropAfterBytes(bytes);
    const outcome = await outcomeOf(pool.exec(site.host, site.note(id)));
    const times = (await site.notes()).filter((note) => note === id).length;
    assert(times <= 1, `after ${bytes} bytes: ran ${times} times`);
    if (outcome.ok) {
      assertEquals(outcome.value.stdout, `${id}\n`);
      assertEquals(outcome.value.code, 0);
      assertEquals(times, 1, `after ${bytes} bytes`);
      continue;
    }
    lost++;
    assertInstanceOf(outcome.error, ConnectionLostError);
    assertEquals(outcome.error.mayHaveRun, true, `after ${bytes} bytes`);
    assert(`${id}\n`.startsWith(text(outcome.error.output?.stdout)));
  }
  assert(lost > 0, "no cut has met a command");
});

overBoth("an idempotent command survives a cut anywhere", async (site) => {
  const { run } = await measure(site);
  await using pool = impatientPool();
  for (const bytes of sweep(run, 10)) {
    // The connection of the round before may be about to go.
    await pool.exec(site.host, "true", { idempotent: true });
    site.proxy.dropAfterBytes(bytes);
    const outcome = await outcomeOf(
      pool.exec(site.host, "echo right", { idempotent: true }),
    );
    assert(outcome.ok, `after ${bytes}: ${!outcome.ok && outcome.error}`);
    assertEquals(outcome.value.stdout, "right\n");
  }
});

overBoth("a dial into a black hole ends at its deadline", async (site) => {
  await using pool = impatientPool({ dialTimeoutMs: 300 });
  site.proxy.stall();
  const start = performance.now();
  const outcomes = await Promise.all(
    range(20).map(() => errorOf(pool.exec(site.host, "true"), DialError)),
  );
  assert(performance.now() - start < PATIENCE_MS / 2);
  assertEquals(
    new Set(outcomes.map(({ phase }) => phase)),
    new Set(["timeout"]),
  );
  assertEquals(site.proxy.links.length, 1);
  site.proxy.resume();
  await until(() => site.proxy.open.length === 0, "its socket to close");
});

overBoth(
  "a dial is abandoned by its last caller, and leaves nothing",
  async (site) => {
    await using pool = impatientPool();
    site.proxy.stall();
    const callers = range(5).map(() => new AbortController());
    const calls = callers.map(({ signal }) =>
      outcomeOf(pool.exec(site.host, "true", { signal }))
    );
    await until(() => site.proxy.links.length === 1, "the dial");
    const reason = new Error("no longer needed");
    for (const caller of callers.slice(1)) caller.abort(reason);
    await Promise.all(calls.slice(1));
    assertEquals(pool.stats().dialing, 1, "the first caller still waits");
    callers[0]!.abort(reason);
    for (const outcome of await Promise.all(calls)) {
      assert(!outcome.ok && outcome.error === reason);
    }
    assertEquals(pool.stats().dialing, 0);
    // The stalled proxy passes ends on again, and so sees the client's.
    site.proxy.resume();
    await until(() => site.proxy.open.length === 0, "its socket to close");
  },
);
