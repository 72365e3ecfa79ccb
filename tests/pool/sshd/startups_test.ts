/** Dials against sshd's MaxStartups, and its restarts. */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  ConnectionLostError,
  DialError,
  HostCooldownError,
} from "../../../mod.ts";
import { type Sshd, startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import {
  afterCooldown,
  impatientPool,
  Notebook,
  outcomeOf,
  overSshd,
  pause,
  range,
} from "../_faults_kit.ts";

overSshd("30 cold hosts at once get past MaxStartups 2:50:5", async () => {
  await using sshd = await startSshd({
    listen: "0.0.0.0",
    maxStartups: "2:50:5",
  });
  await using pool = impatientPool({ dialTimeoutMs: 60_000 });
  const results = await outcomeOf(
    Promise.all(
      range(30).map((i) =>
        pool.exec(sshd.host({ hostname: `127.0.1.${i + 1}` }), `echo ${i}`, {
          acquireTimeoutMs: 60_000,
        })
      ),
    ),
    60_000,
  );
  assert(results.ok, `${!results.ok && results.error}`);
  assertEquals(
    results.value.map(({ stdout }) => stdout),
    range(30).map((i) => `${i}\n`),
  );
  assertEquals(pool.size, 30);
});

interface Tally {
  readonly right: Set<string>;
  readonly lost: Set<string>;
  readonly notRun: Set<string>;
}

/** Runs noted commands from many callers, one after another, until told. */
async function load(
  pool: ReturnType<typeof impatientPool>,
  sshd: Sshd,
  notebook: Notebook,
  signal: AbortSignal,
): Promise<Tally> {
  const tally: Tally = {
    right: new Set(),
    lost: new Set(),
    notRun: new Set(),
  };
  await Promise.all(
    range(20).map(async (caller) => {
      for (let i = 0; !signal.aborted; i++) {
        const id = `${caller}-${i}`;
        const outcome = await outcomeOf(
          pool.exec(sshd.host(), notebook.command(id)),
        );
        if (outcome.ok) {
          const { code, stdout } = outcome.value;
          assertEquals([code, stdout], [0, `${id}\n`]);
          tally.right.add(id);
        } else {
          noteFailure(outcome.error, id, tally);
          await pause(5);
        }
      }
    }),
  );
  return tally;
}

function noteFailure(error: unknown, id: string, tally: Tally): void {
  if (error instanceof ConnectionLostError) {
    (error.mayHaveRun ? tally.lost : tally.notRun).add(id);
  } else {
    assert(
      error instanceof DialError || error instanceof HostCooldownError,
      `${id}: ${error}`,
    );
    assertEquals(error.mayHaveRun, false);
    tally.notRun.add(id);
  }
}

for (const how of ["kill", "stop"] as const) {
  overSshd(
    `sshd may ${how} under load: no result is wrong, nothing runs twice`,
    async () => {
      await using sshd = await startSshd();
      const notebook = await Notebook.open(sshd);
      await using pool = impatientPool({ dialTimeoutMs: 3_000 });
      const end = new AbortController();
      const lostForSure = new Set<string>();
      const loaded = load(pool, sshd, notebook, end.signal);
      for (const round of range(3)) {
        const before = (await notebook.read()).length;
        await until(
          async () => (await notebook.read()).length > before + 20,
          `commands of round ${round}`,
        );
        // The callers may all be between two commands when sshd goes: this one
        // is under way for sure, and no signal ends it before its server.
        const held = `held-${round}`;
        const under = outcomeOf(pool.exec(
          sshd.host(),
          `trap '' TERM; ${notebook.command(held)}; ` +
            "while kill -0 $PPID 2> /dev/null; do sleep 0.05; done",
        ));
        await until(
          async () => (await notebook.read()).includes(held),
          `the command held in round ${round}`,
        );
        await sshd[how]();
        const outcome = await under;
        assert(!outcome.ok, "a command whose server went has no result");
        assertInstanceOf(outcome.error, ConnectionLostError);
        assertEquals(outcome.error.mayHaveRun, true);
        lostForSure.add(held);
        await sshd.restart();
      }
      const next = await afterCooldown(() =>
        pool.exec(sshd.host(), "echo next")
      );
      assertEquals(next.stdout, "next\n");
      end.abort();
      const { right, lost: lostOfLoad, notRun } = await loaded;
      const lost = lostOfLoad.union(lostForSure);
      const notes = await notebook.read();
      assertEquals(notes.length, new Set(notes).size, "a command ran twice");
      const ran = new Set(notes);
      assertEquals([...right].filter((id) => !ran.has(id)), []);
      assertEquals([...notRun].filter((id) => ran.has(id)), []);
      assertEquals(
        notes.filter((id) => !right.has(id) && !lost.has(id)),
        [],
      );
    },
  );
}

overSshd(
  "sshd that is gone is a DialError, and is used again when back",
  async () => {
    await using sshd = await startSshd();
    await using pool = impatientPool();
    for (const round of range(3)) {
      const outcome = await outcomeOf(
        afterCooldown(() => pool.exec(sshd.host(), `echo ${round}`)),
      );
      assert(outcome.ok, `round ${round}: ${!outcome.ok && outcome.error}`);
      assertEquals(outcome.value.stdout, `${round}\n`);
      await sshd.kill();
      await until(() => pool.size === 0, "the end of the connection");
      const error = await outcomeOf(pool.exec(sshd.host(), "true"));
      assert(!error.ok);
      assertInstanceOf(error.error, DialError);
      await sshd.restart();
    }
  },
);
