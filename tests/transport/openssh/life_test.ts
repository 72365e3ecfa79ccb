/**
 * How a connection over `ssh` ends: with its program, with its process, with
 * its server. No process, socket or folder may outlive it.
 */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClosedReason, Connection } from "../../../transport/connector.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { Random } from "../../kit/random.ts";
import { until } from "../../kit/until.ts";
import { startScriptedServer } from "../ssh2/_scripted_server.ts";
import {
  openSshTest,
  processesOf,
  rejection,
  resolved,
  sshdTest,
} from "./_kit.ts";

const program = new URL("_program.ts", import.meta.url).pathname;
const hasProc = existsSync("/proc/self/cmdline");

/** The `ssh` that is in the background, and not the one that put it there. */
function masterOf(folder: string): number {
  const pids = processesOf(`${folder}/`).filter((it) => it.includes(" -M "))
    .map((line) => Number(line.split(" ")[0]));
  const master = pids.find((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "latin1");
      return !status.includes(`\nPPid:\t${Deno.pid}\n`);
    } catch {
      return false; // It has ended.
    }
  });
  assert(master !== undefined, `It is none of ${pids}`);
  return master;
}

/** Starts a program that connects, and waits until it says what it has. */
async function start(
  mode: "hold" | "stay" | "idle" | "dial",
  folder: string,
  host: unknown,
): Promise<{ child: Deno.ChildProcess; said: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      "--no-check",
      program,
      mode,
      folder,
      JSON.stringify(host),
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return { child, said: new TextDecoder().decode(value).trim() };
}

/** Waits for the end of a connection, which keeps no process alive while idle. */
async function endOf({ closed }: Connection): Promise<ClosedReason> {
  const hold = setInterval(() => {}, 1000);
  try {
    return await closed;
  } finally {
    clearInterval(hold);
  }
}

sshdTest(
  "the ssh of a process that was killed ends by itself",
  async ({ connect, folder }, sshd) => {
    const { child, said } = await start("stay", folder, resolved(sshd.host()));
    assertEquals(said, "connected");
    child.kill("SIGKILL");
    await child.status;
    await until(() => processesOf(`${folder}/`).length === 0);
    await using _connection = await connect(sshd.host());
    assertEquals(readdirSync(folder).length, 1);
  },
);

sshdTest(
  "the ssh of a process that was killed amid a command ends at the next start, its folder too",
  async ({ connect, folder }, sshd) => {
    const { child, said } = await start("hold", folder, resolved(sshd.host()));
    assertEquals(said, "connected");
    child.kill("SIGKILL");
    await child.status;
    const [left] = readdirSync(folder);
    assert(left !== undefined);
    // It waits for the command, which takes a minute.
    if (hasProc) assertEquals(processesOf(`${folder}/`).length, 1);
    await using _connection = await connect(sshd.host());
    assertEquals(existsSync(join(folder, left)), false);
    await until(() => processesOf(join(folder, left)).length === 0);
    assertEquals(readdirSync(folder).length, 1);
  },
);

openSshTest(
  "a process that is killed while it dials leaves no ssh behind, and the next one sweeps its folder",
  async ({ connect, folder }) => {
    await using server = await EmbeddedServer.start({ neverBanner: true });
    const { child, said } = await start(
      "dial",
      folder,
      resolved(server.host()),
    );
    assertEquals(said, "dialling");
    const [left] = readdirSync(folder);
    assert(left !== undefined);
    child.kill("SIGKILL");
    await child.status;
    // The ssh that was left has the deadline that its dial had.
    await until(() => processesOf(`${folder}/`).length === 0);
    server.options.neverBanner = false;
    await using _connection = await connect(server.host());
    assertEquals(existsSync(join(folder, left)), false);
  },
);

sshdTest(
  "a process ends by itself with an idle connection, and its ssh after it",
  async ({ folder, connect }, sshd) => {
    const { child, said } = await start("idle", folder, resolved(sshd.host()));
    assertEquals(said, "connected");
    assertEquals((await child.status).code, 0);
    await until(() => processesOf(`${folder}/`).length === 0);
    await using _connection = await connect(sshd.host());
    assertEquals(readdirSync(folder).length, 1);
  },
);

sshdTest(
  "the folder of a process that lives is not swept, connected or dialling",
  async ({ connect, folder }, sshd) => {
    await using server = await EmbeddedServer.start({ neverBanner: true });
    await using first = await connect(sshd.host());
    const controller = new AbortController();
    const dialling = rejection(
      connect(server.host(), { signal: controller.signal }),
    );
    await until(() => readdirSync(folder).length === 2);
    await until(() =>
      readdirSync(folder).every((it) =>
        readdirSync(join(folder, it)).length > 0
      )
    );
    await using second = await connect(sshd.host());
    assertEquals(readdirSync(folder).length, 3);
    controller.abort(new Error("enough"));
    await dialling;
    for (const connection of [first, second]) {
      assertEquals((await connection.exec("true")).code, 0);
    }
  },
);

if (hasProc) {
  sshdTest(
    "an ssh that is killed ends its connection, as lost",
    async ({ connect, folder }, sshd) => {
      await using connection = await connect(sshd.host());
      const running = connection.exec("sleep 60");
      await until(() => connection.openChannels === 1);
      Deno.kill(masterOf(folder), "SIGKILL");
      const error = await rejection(running);
      assertInstanceOf(error, ConnectionLostError);
      assertEquals((await endOf(connection)).kind, "lost");
      assertEquals(connection.isClosed, true);
    },
  );
}

sshdTest(
  "an sshd that is killed ends its connection, with the words of ssh",
  async ({ connect }, sshd) => {
    await using connection = await connect(sshd.host());
    await connection.exec("true");
    await sshd.kill();
    const reason = await endOf(connection);
    assert(reason.kind !== "local");
    assert(
      /closed by remote host|reset by peer|Broken pipe/.test(reason.message),
      reason.message,
    );
  },
);

sshdTest(
  "an sshd that is stopped ends its connection when keepalives are unanswered",
  async ({ connect, folder: _ }, sshd) => {
    await using connection = await connect(sshd.host(), {
      keepaliveIntervalMs: 1000,
      keepaliveCountMax: 1,
    });
    // The one that serves this connection, which forked from the listener.
    const { stdout } = await connection.exec("echo $PPID");
    const pid = Number(stdout);
    Deno.kill(pid, "SIGSTOP");
    const reason = await endOf(connection);
    Deno.kill(pid, "SIGKILL");
    assertEquals(reason.kind, "lost");
    assert(
      reason.kind === "lost" && /not responding/.test(reason.message),
      JSON.stringify(reason),
    );
  },
);

openSshTest(
  "an abort ends the ssh of a dial that would go on for a minute",
  async ({ connect, folder }) => {
    await using server = await EmbeddedServer.start({ neverBanner: true });
    const controller = new AbortController();
    const dialling = rejection(connect(server.host(), {
      signal: controller.signal,
      timeoutMs: 60_000,
    }));
    if (hasProc) await until(() => processesOf(`${folder}/`).length > 0);
    controller.abort(new Error("enough"));
    assertEquals((await dialling as Error).message, "enough");
    // While its server lives, and long before the minute is over.
    await until(() => processesOf(`${folder}/`).length === 0);
  },
);

openSshTest(
  "200 dials that are aborted at any time leave nothing",
  async ({ connect }) => {
    await using server = await EmbeddedServer.start();
    const random = new Random(20_261_128);
    let opened = 0;
    const one = async () => {
      const controller = new AbortController();
      const timer = setTimeout(
        () => controller.abort(new Error("enough")),
        random.next() * 400,
      );
      try {
        const connection = await connect(server.host(), {
          signal: controller.signal,
        });
        opened++;
        await connection.close();
      } catch (error) {
        assertEquals((error as Error).message, "enough");
      } finally {
        clearTimeout(timer);
      }
    };
    for (let left = 200; left > 0; left -= 8) {
      await Promise.all(Array.from({ length: 8 }, one));
    }
    // Some got through, most did not: the abort came at every step.
    assert(opened < 200, `${opened} of 200 got through`);
  },
);

if (hasProc) {
  sshdTest(
    "close() does not wait long for an ssh that does not answer",
    async ({ connect, folder }, sshd) => {
      const connection = await connect(sshd.host());
      const pid = masterOf(folder);
      Deno.kill(pid, "SIGSTOP");
      const from = performance.now();
      try {
        await connection.close();
      } finally {
        Deno.kill(pid, "SIGCONT");
      }
      const took = performance.now() - from;
      assert(took < 8_000, `${took} ms`);
      assertEquals(readdirSync(folder), []);
      // It has been told by then.
      await until(() => processesOf(`${folder}/`).length === 0);
    },
  );
}

sshdTest(
  "close() ends the ssh, and is over when it has ended",
  async ({ connect, folder }, sshd) => {
    const connection = await connect(sshd.host());
    await connection.close();
    assertEquals([processesOf(`${folder}/`), readdirSync(folder)], [[], []]);
  },
);

openSshTest(
  "channelOpenTimeoutMs is how long a server may take to open a channel",
  async (site) => {
    await using server = await startScriptedServer({ onOpen() {} });
    const { password: _, ...host } = server.host;
    const connection = await site.connect(host, { channelOpenTimeoutMs: 50 });
    const error = await rejection(connection.exec("true"));
    assertInstanceOf(error, ConnectionLostError);
    const reason = await endOf(connection);
    assert(
      reason.kind === "lost" && reason.message.endsWith("channel in 50 ms"),
      JSON.stringify(reason),
    );
    await connection.close();
  },
);
