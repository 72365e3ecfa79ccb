// What a client makes of a worker that breaks the protocol: each call ends, with
// an error of this library, and nothing is said of it that is not so.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  Frame,
  jsonBytes,
  wordBytes,
} from "../../../transport/nats/_frames.ts";
import {
  ConnectionLostError,
  DialError,
  SshError,
} from "../../../transport/errors.ts";
import { SudoError } from "../../../transport/command/errors.ts";
import type { Tunnel } from "../../../transport/connector.ts";
import { NatsConnector } from "../../../transport/nats/mod.ts";
import { type FakeFrame, FakeWorker } from "./_fake_worker.ts";

const HALF = new TextEncoder().encode("half");
const OUT: FakeFrame = [Frame.out, HALF];
const EXIT: FakeFrame = [Frame.exit, wordBytes(0)];
const QUEUED: FakeFrame = [Frame.queued];
const CLOSED: FakeFrame = [Frame.closed];
const opened = (how: number): FakeFrame => [Frame.opened, Uint8Array.of(how)];
const failed = (json: unknown): FakeFrame => [Frame.fail, jsonBytes(json)];

/** A pool over a worker that answers commands like this. */
function siteOf(...answer: FakeFrame[]) {
  const worker = new FakeWorker();
  worker.answer = answer;
  const pool = worker.pool();
  return {
    worker,
    pool,
    async [Symbol.asyncDispose]() {
      await pool.close({ drainTimeoutMs: 0 });
      worker.bus.close();
    },
  };
}

const UNASKED: Record<string, FakeFrame[]> = {
  "has output": [QUEUED, OUT, EXIT],
  "has an end": [QUEUED, EXIT],
  "has started": [QUEUED, [Frame.started], CLOSED],
  "was opened": [QUEUED, opened(0), CLOSED],
  "was opened, and has output": [QUEUED, opened(1), OUT, CLOSED],
  "waits after its output": [OUT, QUEUED, CLOSED],
  "waits after it was opened": [opened(0), QUEUED, CLOSED],
};

for (const [what, answer] of Object.entries(UNASKED)) {
  Deno.test(`a command that waits, and ${what}, may have run, and is not run again`, async () => {
    await using site = siteOf(...answer);
    const { pool, worker } = site;
    const opens: Promise<void>[] = [];
    const onOpen = () => {
      const open = new Promise<void>((resolve) => setTimeout(resolve, 0));
      opens.push(open);
      return open;
    };
    const error = await assertRejects(
      () => pool.exec("web-1", "true", { onOpen }),
      ConnectionLostError,
      "nonsense",
    );
    await Promise.all(opens);
    assertEquals([error.mayHaveRun, worker.opened], [true, ["command"]]);
  });
}

Deno.test("a command whose worker says twice that it runs is lost, and has its input once", async () => {
  await using site = siteOf(opened(0), [Frame.started], [Frame.started], EXIT);
  const { pool, worker: { bus } } = site;
  const error = await assertRejects(
    () => pool.exec("web-1", "cat", { stdin: "half" }),
    ConnectionLostError,
    "nonsense",
  );
  assertEquals(error.mayHaveRun, true);
  const input = bus.sent.filter(({ payload }) => payload[0] === Frame.input);
  assert(input.length <= 1, `${input.length} times`);
});

const DENIALS: Record<string, object> = {
  "was lost before": { name: "ConnectionLostError", mayHaveRun: false },
  "had no channel": { name: "ChannelOpenError", reason: 2 },
  "was not dialled": { name: "DialError", phase: "tcp", throttled: true },
  "failed in a new way": { name: "New", code: "SSH_NEW", mayHaveRun: false },
};

for (const [what, json] of Object.entries(DENIALS)) {
  Deno.test(`a command whose output came may have run, though its worker says that it ${what}`, async () => {
    await using site = siteOf(OUT, failed({ message: "no", ...json }));
    const { pool, worker } = site;
    const error = await assertRejects(
      () => pool.exec("web-1", "true"),
      ConnectionLostError,
    );
    assertEquals([error.mayHaveRun, worker.opened], [true, ["command"]]);
    assertEquals(error.output?.stdout, HALF);
    const failure = await assertRejects(
      () => pool.spawn("web-1", "true"),
      ConnectionLostError,
    );
    assertEquals([failure.mayHaveRun, worker.opened.length], [true, 2]);
  });
}

Deno.test("what sudo denies has not run, though it has written", async () => {
  const json = { name: "SudoError", reason: "not-allowed", user: "root" };
  await using site = siteOf(OUT, failed({ message: "no", ...json }));
  const error = await assertRejects(
    () => site.pool.exec("web-1", "true", { sudo: true }),
    SudoError,
  );
  assertEquals(error.mayHaveRun, false);
});

Deno.test("a command that a signal ended has not succeeded, whatever its code", async () => {
  await using site = siteOf([
    Frame.exit,
    jsonBytes({ code: 0, signal: "KILL" }),
  ]);
  const { success, signal } = await site.pool.exec("web-1", "true");
  assertEquals([success, signal], [false, "KILL"]);
});

const STRANGE: Record<string, object> = {
  "an error of JavaScript": { name: "Error", message: "odd\x1b[2J" },
  "an abort": { name: "AbortError", message: "odd" },
  "a timeout": { name: "TimeoutError", message: "odd" },
  "no error": {},
};

for (const [what, json] of Object.entries(STRANGE)) {
  Deno.test(`a worker that says that ${what} has failed a call is no abort of the caller`, async () => {
    await using site = siteOf(failed(json));
    const { pool } = site;
    const calls = [
      () => pool.exec("web-1", "true"),
      () => pool.spawn("web-1", "true"),
      () => pool.shell("web-1"),
      () => pool.sftp("web-1"),
      () => pool.connect("web-1", "db:5432"),
    ];
    for (const call of calls) {
      const error = await assertRejects(call, SshError);
      assertEquals(error.code, "SSH_REMOTE");
      assert(!error.message.includes("\x1b"));
    }
  });
}

const NO_DIALS: Record<string, object> = {
  ...STRANGE,
  "a mistake of the caller": { name: "TypeError", message: "Cannot" },
  "a command": { name: "CommandError", exitCode: 1, signal: null },
  "a lost command": { name: "ConnectionLostError", mayHaveRun: true },
};

for (const [what, json] of Object.entries(NO_DIALS)) {
  Deno.test(`a worker that says that ${what} has failed a dial is a dial that fails`, async () => {
    await using site = siteOf();
    site.worker.dial = [failed(json)];
    const error = await assertRejects(
      () => site.pool.exec("web-1", "true"),
      DialError,
    );
    assertEquals([error.mayHaveRun, error.phase], [false, "tcp"]);
    assertEquals(site.worker.opened, []);
  });
}

const STARTED: FakeFrame = [Frame.started, jsonBytes(null)];
const HALVES: Record<string, FakeFrame[]> = {
  "has data without a byte": [[Frame.out], OUT, [Frame.eof], [Frame.exit]],
  "is ended as a command": [CLOSED],
  "is stopped": [[Frame.stop]],
  "ends twice": [[Frame.eof], [Frame.eof]],
  "goes on after its end": [[Frame.eof], OUT],
};

for (const [what, rest] of Object.entries(HALVES)) {
  Deno.test(`a tunnel that ${what} is lost, and not at its end`, async () => {
    await using site = siteOf(STARTED, OUT, ...rest);
    const tunnel = await site.pool.connect("web-1", "db:5432");
    await tunnel.closed;
    // The end that came first is one; what came then is an error of the writer.
    const outcome = rest[0]![0] === Frame.eof
      ? tunnel.writable.getWriter().closed
      : new Response(tunnel.readable).text();
    await assertRejects(() => outcome, ConnectionLostError, "nonsense");
  });
}

Deno.test("a worker that names a connection like another offers none, and the other is as it was", async () => {
  const worker = new FakeWorker();
  worker.ticket = "a".repeat(32);
  worker.answer = [OUT, EXIT];
  const connector = new NatsConnector(worker.bus);
  const host = { hostname: "web-1", port: 22, user: "ops" };
  const connection = await connector.connect(host);
  await assertRejects(
    () => connector.connect(host, { timeoutMs: 50 }),
    DialError,
    "no worker answered in 50 ms",
  );
  assertEquals((await connection.exec("x")).stdout, "half");
  connector.close();
  worker.bus.close();
});

Deno.test("a worker that names what a host has taken like another stream loses what it listens with", async () => {
  const taken: FakeFrame = [
    Frame.incoming,
    jsonBytes("a".repeat(32)),
  ];
  const address = jsonBytes({ hostname: "127.0.0.1", port: 8080 });
  await using site = siteOf(
    [Frame.started, address],
    taken,
    taken,
  );
  const connector = new NatsConnector(site.worker.bus);
  const host = { hostname: "web-1", port: 22, user: "ops" };
  const connection = await connector.connect(host);
  const tunnels: Tunnel[] = [];
  const listener = await connection.forwardIn!(
    { hostname: "127.0.0.1", port: 0 },
    (tunnel) => void tunnels.push(tunnel),
  );
  await listener.closed;
  assertEquals(tunnels.length, 1);
  // The first is as it was.
  await connection.close();
  await tunnels[0]!.closed;
  connector.close();
});
