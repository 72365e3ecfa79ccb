/** Slots against sshd's own session limits. */

import { assert, assertEquals } from "@std/assert";
import type { HostStats, PoolEvent } from "../../../mod.ts";
import { startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import {
  errorOf,
  impatientPool,
  isRunning,
  outcomeOf,
  overSshd,
  range,
} from "../_faults_kit.ts";

/** A number of seconds that no other process sleeps for. */
function sleepMarker(): string {
  return `1${Math.random().toFixed(12).slice(1)}${Date.now()}`
    .replace(/^1/, "100");
}

function onlyHost(hosts: readonly HostStats[]): HostStats {
  assertEquals(hosts.length, 1);
  return hosts[0]!;
}

overSshd("100 callers at once on a cold host all succeed", async () => {
  await using sshd = await startSshd();
  await using pool = impatientPool();
  const results = await Promise.all(
    range(100).map((i) => pool.exec(sshd.host(), `echo ${i}`)),
  );
  assertEquals(
    results.map(({ stdout }) => stdout),
    range(100).map((i) => `${i}\n`),
  );
  assertEquals(onlyHost(pool.stats().hosts).sessionLimit, 10);
});

overSshd("100 callers at once log in once where one is the cap", async () => {
  await using sshd = await startSshd();
  await using pool = impatientPool({ maxConnectionsPerHost: 1 });
  await Promise.all(
    range(100).map(() => pool.exec(sshd.host(), "true")),
  );
  assertEquals(await sshd.acceptedConnections(), 1);
});

overSshd("200 commands get each its own result", async () => {
  await using sshd = await startSshd();
  await using pool = impatientPool();
  const results = await Promise.all(
    range(200).map((i) =>
      pool.exec(sshd.host(), `echo ${i}; echo e${i} >&2; exit ${i % 7}`)
    ),
  );
  for (const [i, { stdout, stderr, code, success }] of results.entries()) {
    assertEquals([stdout, stderr, code], [`${i}\n`, `e${i}\n`, i % 7]);
    assertEquals(success, i % 7 === 0);
  }
});

for (const maxSessions of [1, 2, 4]) {
  overSshd(
    `MaxSessions ${maxSessions} is found out, unseen by callers`,
    async () => {
      await using sshd = await startSshd({ maxSessions });
      const events: PoolEvent[] = [];
      await using pool = impatientPool({
        maxConnectionsPerHost: 2,
        observer: (event) => events.push(event),
      });
      const results = await Promise.all(
        range(60).map((i) => pool.exec(sshd.host(), `sleep 0.02; echo ${i}`)),
      );
      assertEquals(
        results.map(({ stdout }) => stdout),
        range(60).map((i) => `${i}\n`),
      );
      assertEquals(onlyHost(pool.stats().hosts).sessionLimit, maxSessions);
      const learned = events.filter(({ type }) => type === "limit-learned");
      assert(
        learned.every((event) =>
          event.type === "limit-learned" && event.limit >= maxSessions
        ),
        JSON.stringify(learned),
      );
    },
  );
}

overSshd("churn at MaxSessions 10 teaches no lower limit", async () => {
  await using sshd = await startSshd({ maxSessions: 10 });
  await using pool = impatientPool();
  const left = range(300);
  const wrong: string[] = [];
  await Promise.all(
    range(50).map(async () => {
      for (let i = left.pop(); i !== undefined; i = left.pop()) {
        const { stdout } = await pool.exec(sshd.host(), `echo ${i}`);
        if (stdout !== `${i}\n`) wrong.push(`${i}: ${stdout}`);
      }
    }),
  );
  assertEquals(wrong, []);
  assertEquals(onlyHost(pool.stats().hosts).sessionLimit, 10);
  assertEquals(pool.stats().counters.limitsLearned, 0);
});

overSshd("an aborted command is gone, and frees its session", async () => {
  await using sshd = await startSshd({ maxSessions: 1 });
  await using pool = impatientPool({ maxConnectionsPerHost: 1 });
  const marker = sleepMarker();
  const caller = new AbortController();
  const running = outcomeOf(
    pool.exec(sshd.host(), ["sleep", marker], { signal: caller.signal }),
  );
  await until(() => isRunning(marker), "the command's start");
  const reason = new Error("enough");
  caller.abort(reason);
  const outcome = await running;
  assert(!outcome.ok && outcome.error === reason);
  const next = await outcomeOf(pool.exec(sshd.host(), "echo next"));
  assert(next.ok, `${!next.ok && next.error}`);
  assertEquals(next.value.stdout, "next\n");
  await until(async () => !await isRunning(marker), "the command's end");
  // Whichever connection it left behind goes with the session.
  await until(() => pool.size === 1, "the end of the spare connection");
});

overSshd("a command that ignores signals does not block its host", async () => {
  await using sshd = await startSshd({ maxSessions: 1 });
  await using pool = impatientPool({ maxConnectionsPerHost: 1 });
  const caller = new AbortController();
  const { signal } = caller;
  const started = Promise.withResolvers<void>();
  const running = errorOf(
    pool.exec(
      sshd.host(),
      "trap '' TERM HUP PIPE; for i in 1 2 3 4 5 6; do sleep 1; done",
      { signal, onOpen: started.resolve },
    ),
    Error,
  );
  await started.promise;
  // The shell needs a moment to set its trap.
  setTimeout(() => caller.abort(new Error("enough")), 200);
  await running;
  const next = await outcomeOf(pool.exec(sshd.host(), "echo next"));
  assert(next.ok, `${!next.ok && next.error}`);
  assertEquals(next.value.stdout, "next\n");
});
