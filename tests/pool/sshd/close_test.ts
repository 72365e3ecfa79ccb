/** The end of a pool, and processes through it, over both servers. */

import { assert, assertEquals } from "@std/assert";
import { ConnectionLostError, PoolClosedError } from "../../../mod.ts";
import { startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import {
  errorOf,
  HANG,
  impatientPool,
  isRunning,
  outcomeOf,
  overBoth,
  overSshd,
  range,
  text,
} from "../_faults_kit.ts";

overBoth("close() lets running commands end", async (site) => {
  const pool = impatientPool();
  await pool.exec(site.host, "true");
  const running = range(8).map((i) =>
    pool.exec(site.host, `sleep 0.2`).then(() => i)
  );
  await until(() => pool.stats().slotsInUse === 8, "the commands' start");
  const closed = pool.close({ drainTimeoutMs: 10_000 });
  await errorOf(pool.exec(site.host, "true"), PoolClosedError);
  assertEquals(await Promise.all(running), range(8));
  await closed;
  assertEquals(pool.size, 0);
  await until(() => site.proxy.open.length === 0, "the sockets to close");
});

overBoth("close() without wait loses running commands", async (site) => {
  const pool = impatientPool();
  await pool.exec(site.host, "true");
  const opened = range(8).map(() => Promise.withResolvers<void>());
  const running = opened.map(({ resolve }) =>
    errorOf(
      pool.exec(site.host, HANG, { onOpen: resolve }),
      ConnectionLostError,
    )
  );
  await Promise.all(opened.map(({ promise }) => promise));
  await pool.close({ drainTimeoutMs: 0 });
  for (const error of await Promise.all(running)) {
    assertEquals(error.mayHaveRun, true);
  }
  assertEquals(pool.size, 0);
  await until(() => site.proxy.open.length === 0, "the sockets to close");
});

overBoth("close() fails those who wait, and leaves no dial", async (site) => {
  const pool = impatientPool();
  site.proxy.stall();
  const waiting = range(10).map(() =>
    errorOf(pool.exec(site.host, "true"), PoolClosedError)
  );
  await until(() => site.proxy.links.length === 1, "the dial");
  await pool.close({ drainTimeoutMs: 0 });
  for (const error of await Promise.all(waiting)) {
    assertEquals(error.mayHaveRun, false);
  }
  site.proxy.resume();
  await until(() => site.proxy.open.length === 0, "the socket to close");
});

overBoth(
  "spawn() streams both ways, no faster than it is read",
  async (site) => {
    await using pool = impatientPool();
    const cat = await pool.spawn(site.host, "cat");
    const size = 12 * 1024 * 1024;
    let written = 0;
    const writing = (async () => {
      const writer = cat.stdin.getWriter();
      for (let i = 0; written < size; i++) {
        const chunk = new Uint8Array(64 * 1024).fill(i % 251);
        await writer.write(chunk);
        written += chunk.length;
      }
      await writer.close();
    })();
    // Nobody reads: the windows fill up, and the writer has to stop.
    let seen = -1;
    await until(async () => {
      const before = seen;
      seen = written;
      await new Promise((resolve) => setTimeout(resolve, 150));
      return before === written;
    }, "the writer to be held back");
    assert(written < size, "12 MiB went into a pipe that nobody reads");
    let read = 0;
    for await (const chunk of cat.stdout) {
      for (let at = 0; at < chunk.length; at += 4096) {
        const expected = Math.floor((read + at) / (64 * 1024)) % 251;
        assertEquals(chunk[at], expected);
      }
      read += chunk.length;
    }
    await writing;
    await cat.stderr.cancel();
    assertEquals(read, size);
    assertEquals((await cat.status).code, 0);
  },
);

overBoth("spawn() holds its slot until the process ends", async (site) => {
  await using pool = impatientPool({
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const cat = await pool.spawn(site.host, "cat");
  assertEquals(pool.stats().slotsInUse, 1);
  const next = pool.exec(site.host, "echo next");
  await until(() => pool.stats().waiting === 1, "the next caller");
  const output = await cat.output();
  assertEquals([output.code, text(output.stdout)], [0, ""]);
  assertEquals((await next).stdout, "next\n");
  assertEquals(pool.stats().slotsInUse, 0);
});

overSshd("RemoteProcess.kill() ends the remote process", async () => {
  await using sshd = await startSshd();
  await using pool = impatientPool();
  const marker = `100.${Date.now()}${Math.floor(Math.random() * 1e6)}`;
  const sleeping = await pool.spawn(sshd.host(), ["sleep", marker]);
  await until(() => isRunning(marker), "its start");
  sleeping.kill("KILL");
  const output = await outcomeOf(sleeping.output());
  assert(output.ok, `${!output.ok && output.error}`);
  const { code, signal, success } = output.value;
  assertEquals({ code, signal, success }, {
    code: null,
    signal: "KILL",
    success: false,
  });
  assertEquals(await isRunning(marker), false);
  assertEquals(pool.stats().slotsInUse, 0);
});

overSshd("a timeout stops the remote process", async () => {
  await using sshd = await startSshd();
  await using pool = impatientPool();
  await pool.exec(sshd.host(), "true");
  const marker = `100.${Date.now()}${Math.floor(Math.random() * 1e6)}`;
  const outcome = await outcomeOf(
    pool.exec(sshd.host(), ["sleep", marker], { timeoutMs: 300 }),
  );
  assert(!outcome.ok);
  assertEquals((outcome.error as Error).name, "ExecTimeoutError");
  await until(async () => !await isRunning(marker), "its end");
});
