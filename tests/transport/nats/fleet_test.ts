// Clients, a bus and workers: what a pool over a bus is, what it refuses, and
// what happens when a part of it goes.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import type { ConnectionPool, PoolEvent } from "../../../pool/mod.ts";
import { fleetPool, FleetWorker, NatsConnector } from "../../../pool/nats.ts";
import {
  AuthenticationError,
  ChannelOpenError,
  ConnectionLostError,
  DialError,
  HostKeyError,
  RemoteError,
} from "../../../transport/errors.ts";
import { SudoError } from "../../../transport/command/errors.ts";
import { type NatsConnection, SHARDS } from "../../kit/nats.ts";
import { until } from "../../kit/until.ts";
import { PING_MS, quietly, site, testNats } from "./_kit.ts";

const HOST = "ops@web-1";
const RESOLVED = { hostname: "web-1", port: 22, user: "ops", alias: HOST };
const encode = (text: string) => new TextEncoder().encode(text);

testNats(
  "many clients share one worker's connections, and none is refused",
  async () => {
    await using fleet = await site({ maxSessions: 10 }, {
      pool: { maxConnectionsPerHost: 2 },
    });
    const clients: ConnectionPool[] = [];
    for (let i = 0; i < 20; i++) {
      const pool = fleetPool(await fleet.server.connect(), { pingMs: PING_MS });
      clients.push(fleet.ends.add(pool, (it) => it.close()));
    }
    const results = await Promise.all(clients.flatMap((pool, i) =>
      Array.from(
        { length: 10 },
        (_, n) => pool.exec(`ops@host-${n}`, `echo ${i}.${n}`),
      )
    ));
    assertEquals(results[199]?.stdout, "19.9\n");
    assertEquals(fleet.memory.dialsByHost.size, 10);
    for (const [host, dials] of fleet.memory.dialsByHost) {
      assert(dials <= 2, `${host} was dialled ${dials} times`);
    }
    assertEquals(fleet.worker.stats().begun, 200);
    assertEquals(clients[0]!.size, 10);
  },
);

testNats(
  "fleetPool() runs commands, processes, files, tunnels, forwards and a fan-out",
  async () => {
    await using fleet = await site({
      targets: () => ({ readable, writable }) => readable.pipeTo(writable),
    });
    await using pool = fleetPool(fleet.clientBus, { pingMs: PING_MS });
    assertEquals((await pool.exec(HOST, "cat", { stdin: "in" })).stdout, "in");
    const process = await pool.spawn(HOST, "cat");
    const writer = process.stdin.getWriter();
    await writer.write(encode("x"));
    await writer.close();
    assertEquals(await process.text(), "x");
    const sftp = await pool.sftp(HOST);
    await sftp.writeTextFile("note", "y".repeat(300_000));
    assertEquals((await sftp.readTextFile("note")).length, 300_000);
    sftp.close();
    const results = await pool.fanOut(["a", "b", "c"], "echo up");
    assertEquals(results.map(({ ok }) => ok), [true, true, true]);
    // It listens on this side.
    const forward = await pool.forward(HOST, {
      type: "local",
      listen: 0,
      to: "db:5432",
    });
    const { port } = forward.address as { port: number };
    const socket = await Deno.connect({ hostname: "127.0.0.1", port });
    await socket.write(encode("hello"));
    assertEquals(await socket.read(new Uint8Array(8)), 5);
    socket.close();
    await forward.close();
  },
);

testNats(
  "what waits at a worker has not run if the worker dies, and what runs may have",
  async () => {
    await using fleet = await site({ maxSessions: 1 }, {
      pool: { maxConnectionsPerHost: 1 },
    });
    const connection = await fleet.connector.connect(RESOLVED);
    const running = await connection.spawn("cat");
    const waiting = connection.exec("echo never").catch((error) => error);
    // A worker has to say that a command waits, before it dies.
    await until(() => fleet.worker.stats().sessions === 2);
    await until(() => fleet.bus.queued === 1);
    await fleet.workerBus.close();
    const waited = await waiting;
    const ran = await running.status.catch((error) => error);
    assertInstanceOf(waited, ConnectionLostError);
    assertInstanceOf(ran, ConnectionLostError);
    assertEquals([waited.mayHaveRun, ran.mayHaveRun], [false, true]);
    assertEquals(fleet.memory.channelsOpened, 1);
    assertEquals((await connection.closed).kind, "lost");
  },
);

testNats(
  "a worker that dials is pinged as one that runs something",
  async () => {
    const pingMs = 100;
    await using fleet = await site({ onDial: () => "never" }, {
      client: { pingMs },
    });
    const stop = new AbortController();
    const dial = fleet.connector.connect(RESOLVED, { signal: stop.signal });
    dial.catch(() => {});
    await until(() => fleet.memory.dials === 1);
    let ticks = 0;
    const timer = setInterval(() => ticks++, pingMs);
    await until(() => fleet.bus.pings >= 8);
    clearInterval(timer);
    // One that is idle is pinged with each fifth tick.
    assert(ticks < 20, `${ticks} ticks`);
    stop.abort();
    await assertRejects(() => dial, DOMException);
  },
);

testNats(
  "a worker that ends while it dials sends the client to another",
  async () => {
    const dials = ["never", "ok"] as const;
    let count = 0;
    await using fleet = await site({ onDial: () => dials[count++] ?? "ok" });
    await using pool = fleetPool(fleet.clientBus, { pingMs: PING_MS });
    const result = pool.exec(HOST, "echo up");
    await until(() => fleet.memory.dials === 1);
    await fleet.addWorker();
    await fleet.worker.close();
    assertEquals((await result).stdout, "up\n");
  },
);

testNats("a client that leaves is an abort of what it runs", async () => {
  await using fleet = await site();
  const pool = fleetPool(fleet.clientBus, { pingMs: PING_MS });
  const process = await pool.spawn(HOST, "cat");
  const [live] = fleet.memory.live;
  assertEquals(live?.openChannels, 1);
  await fleet.clientBus.close();
  const error = await process.status.catch((error) => error);
  assertInstanceOf(error, ConnectionLostError);
  assertEquals(error.mayHaveRun, true);
  await until(() => live?.openChannels === 0);
  await until(() => fleet.worker.stats().connections === 0);
  await assertRejects(() => pool.exec(HOST, "true"), DialError, "bus");
  await pool.close();
});

testNats(
  "a frame that was lost without a sound is found by the next ping",
  async () => {
    await using fleet = await site();
    const connection = await fleet.connector.connect(RESOLVED);
    // The worker's next message to a session is swallowed: its end.
    fleet.bus.swallowed = 1;
    const error = await connection.exec("echo gone").catch((error) => error);
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, true);
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
  },
);

testNats(
  "a name without a worker, and one that no worker knows, are errors that say so",
  async () => {
    await using fleet = await site({}, {
      host: ({ name }) => name === HOST ? name : undefined,
    });
    await using pool = fleetPool(fleet.clientBus, {
      pingMs: PING_MS,
      dialTimeoutMs: 1500,
    });
    const unknown = await assertRejects(
      () => pool.exec("web-2", "true"),
      DialError,
    );
    assertEquals(unknown.phase, "dns");
    assert(unknown.message.includes('no such host in "default"'));
    await fleet.worker.close();
    const none = await assertRejects(
      () => pool.exec("web-3", "true"),
      DialError,
    );
    assertEquals(none.throttled, true);
    assert(none.message.includes("no worker serves it"), none.message);
    assertThrows(
      () => fleetPool(fleet.clientBus, { connector: {} } as never),
      TypeError,
      "the worker decides",
    );
    await assertRejects(
      () => pool.exec({ hostname: "web-1", password: "hunter2" }, "true"),
      TypeError,
      '"password" belongs where the host is dialled',
    );
  },
);

testNats(
  "clients see no address, file, hint or cause of the worker's, and the worker sees all",
  async () => {
    const seen: unknown[] = [];
    const secret = "vault-7731";
    const failures: (Error | "ok")[] = [
      new AuthenticationError('Cannot connect to "root@10.9.8.7:22": refused', {
        host: "root@10.9.8.7:22",
        hint: `set ${secret}`,
        tried: [`publickey ${secret}`],
        cause: new Error(secret),
      }),
      new HostKeyError("Cannot trust the key of root@10.9.8.6:22", {
        host: "root@10.9.8.6:22",
        fingerprint: "SHA256:x",
        reason: "mismatch",
        location: `/etc/${secret}/known_hosts:3`,
      }),
    ];
    await using fleet = await site({ onDial: () => failures.shift() ?? "ok" }, {
      host({ name }) {
        if (name === "broken") throw new TypeError(`no file ${secret}`);
        const hostname = name === HOST ? "10.9.8.7" : "10.9.8.6";
        return { hostname, user: "root", alias: name };
      },
      worker: { onError: (error) => seen.push(error) },
    });
    await using pool = fleetPool(fleet.clientBus, {
      pingMs: PING_MS,
      backoff: { initialMs: 0, maxMs: 0, refusedMs: 0 },
    });
    const refused = await assertRejects(
      () => pool.exec(HOST, "true"),
      AuthenticationError,
    );
    assertEquals(refused.tried, ["publickey"]);
    assertEquals(refused.host, HOST);
    const untrusted = await assertRejects(
      () => pool.exec("web-3", "true"),
      HostKeyError,
    );
    const broken = await assertRejects(
      () => pool.exec("broken", "true"),
      DialError,
    );
    assertEquals([broken.phase, broken.hint], ["config", undefined]);
    for (const error of [refused, untrusted, broken]) {
      const text = Deno.inspect(error) + JSON.stringify(error);
      assert(!text.includes(secret) && !text.includes("10.9.8."), text);
    }
    assertEquals(seen.length, 3);
    assert(Deno.inspect(seen).includes(secret));
  },
);

testNats(
  "the password of sudo is the worker's, or sent if the client insists",
  async () => {
    const asked: unknown[] = [];
    await using fleet = await site({}, {
      worker: {
        sudoPassword(request) {
          asked.push(request);
          return undefined;
        },
      },
    });
    const connection = await fleet.connector.connect(RESOLVED);
    const withPassword = { sudo: { password: "hunter2" } };
    const error = await assertRejects(
      () => connection.exec("id", withPassword),
      TypeError,
      "sudo.password must be left out",
    );
    assert(!error.message.includes("hunter2"));
    const withPrompts = { sudo: { prompts: () => "123456" } };
    for (const run of ["exec", "spawn"] as const) {
      await assertRejects(
        () => connection[run]("id", withPrompts),
        TypeError,
        "sudo.prompts must be left out",
      );
    }
    // The fake has no sudo: what counts is who was asked.
    await connection.exec("id", { sudo: { user: "app" } }).catch((error) => {
      if (
        !(error instanceof SudoError) && !(error instanceof Error)
      ) throw error;
    });
    assertEquals(asked, [{ name: HOST, group: "default", user: "app" }]);
  },
);

testNats(
  "a worker that ends hands its hosts over, and no command is lost",
  async () => {
    await using fleet = await site();
    await using pool = fleetPool(fleet.clientBus, { pingMs: PING_MS });
    let isOver = false;
    const loop = async (host: string) => {
      let count = 0;
      while (!isOver) {
        const { stdout } = await pool.exec(host, `echo ${count}`);
        assertEquals(stdout, `${count}\n`);
        count++;
      }
      return count;
    };
    const loops = Promise.all(
      Array.from({ length: 8 }, (_, i) => loop(`ops@host-${i}`)),
    );
    // They are awaited in the end: what fails before is what counts.
    loops.catch(() => {});
    await until(() => fleet.worker.stats().begun > 20);
    const running = await pool.spawn("ops@host-0", "cat");
    // Added late: of two that are there the bus might choose this one for all.
    const second = await fleet.addWorker();
    const closing = fleet.worker.close();
    await until(() => second.stats().begun > 50);
    // What runs on the worker that ends may end.
    await running.stdin.close();
    assertEquals((await running.status).success, true);
    await closing;
    const begun = fleet.worker.stats().begun;
    await until(() => second.stats().begun > 100);
    isOver = true;
    const counts = await loops;
    assertEquals(fleet.worker.stats().begun, begun);
    const total = counts.reduce((sum, count) => sum + count, 0) + 1;
    assertEquals(fleet.worker.stats().begun + second.stats().begun, total);
  },
);

testNats(
  "a tunnel that has failed at the worker is not at its end",
  async () => {
    await using fleet = await site({
      targets: () => () => Promise.reject(new Error("odd")),
    });
    await using pool = fleetPool(fleet.clientBus, { pingMs: PING_MS });
    const tunnel = await pool.connect(HOST, "db:5432");
    const read = new Response(tunnel.readable).text();
    await assertRejects(() => read, RemoteError, "odd");
  },
);

testNats("a client with too much open waits with the rest of it", async () => {
  await using fleet = await site({}, { worker: { maxSessionsPerClient: 2 } });
  const connection = await fleet.connector.connect(RESOLVED);
  const held = [await connection.spawn("cat"), await connection.spawn("cat")];
  const error = await assertRejects(
    () => connection.exec("true"),
    ChannelOpenError,
  );
  assertEquals([error.reason, error.mayHaveRun], [2, false]);
  for (const process of held) await process.output();
  await connection.close();
  await using pool = fleetPool(fleet.clientBus, { pingMs: PING_MS });
  const all = Array.from(
    { length: 30 },
    (_, i) => pool.exec(HOST, `echo ${i}`),
  );
  assertEquals((await Promise.all(all)).length, 30);
  assert(fleet.worker.stats().refused > 0);
});

/** A bus of a client that decides what becomes of its questions for a host. */
function withQuestions(
  bus: NatsConnection,
  send: (nth: number, ask: () => void) => void,
): NatsConnection {
  let asked = 0;
  return new Proxy(bus, {
    get(target, key) {
      const value = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      if (key !== "publish") return value.bind(target);
      return (...args: Parameters<typeof bus.publish>) => {
        const ask = () => target.publish(...args);
        if (args[0].startsWith("ssh.dial.")) send(++asked, ask);
        else ask();
      };
    },
  });
}

testNats(
  "questions that a frozen worker gets are asked again soon",
  async () => {
    await using fleet = await site();
    const bus = withQuestions(
      fleet.clientBus,
      (nth, ask) => nth > 8 ? ask() : undefined,
    );
    const connector = new NatsConnector(bus, { pingMs: PING_MS });
    // One that waits twice as long each time takes 6 s.
    const connection = await connector.connect(RESOLVED, { timeoutMs: 4_000 });
    await connection.close();
    connector.close();
  },
);

testNats("an answer counts that comes after the next question", async () => {
  await using fleet = await site();
  let late: ReturnType<typeof setTimeout> | undefined;
  const bus = withQuestions(fleet.clientBus, (nth, ask) => {
    if (nth === 1) late = setTimeout(ask, 400);
  });
  const connector = new NatsConnector(bus, { pingMs: PING_MS });
  const connection = await connector.connect(RESOLVED, { timeoutMs: 4_000 });
  await connection.close();
  connector.close();
  clearTimeout(late);
});

testNats("nothing is begun by a worker that may have been asleep", async () => {
  await using fleet = await site({}, { worker: { freshMs: 1_500 } });
  const connection = await fleet.connector.connect(RESOLVED);
  // The proof that it is awake does not come any more.
  fleet.bus.isProven = false;
  await quietly(async () => {
    for (;;) await connection.exec("true");
  }, (error) => {
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, false);
    assert(error.message.includes("asleep"), error.message);
  });
  const late = fleet.connector.connect(RESOLVED, { timeoutMs: 500 });
  await assertRejects(() => late, DialError, "no worker answered");
  assert(fleet.worker.stats().stale >= 2);
});

testNats(
  "nothing is begun by a worker whose machine was suspended",
  async () => {
    await using fleet = await site();
    const connection = await fleet.connector.connect(RESOLVED);
    fleet.bus.isProven = false;
    assertEquals((await connection.exec("true")).success, true);
    // Its steady clock has stood still, and all that came meanwhile is old.
    const wall = Date.now;
    Date.now = () => wall() + 90_000;
    const error = await connection.exec("true").catch((error) => error);
    Date.now = wall;
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, false);
    assert(error.message.includes("asleep"), error.message);
  },
);

testNats("the trace of a caller crosses the bus with its command", async () => {
  const traces: unknown[] = [];
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  let sent: Record<string, string> | undefined = { traceparent };
  await using fleet = await site({}, {
    worker: {
      runInTrace(trace, run) {
        traces.push(trace);
        return run();
      },
    },
    client: { trace: () => sent },
  });
  const connection = await fleet.connector.connect(RESOLVED);
  await connection.exec("true");
  sent = { a: "x".repeat(2_000) };
  await connection.exec("true");
  sent = Object.fromEntries("abcdefghi".split("").map((it) => [it, it]));
  await connection.exec("true");
  sent = undefined;
  await connection.exec("true");
  assertEquals(traces, [{ traceparent }]);
});

testNats(
  "a bus that breaks fails what runs, and the next command dials anew",
  async () => {
    await using fleet = await site();
    const events: PoolEvent[] = [];
    await using pool = fleetPool(fleet.clientBus, {
      pingMs: PING_MS,
      observer: (event) => void events.push(event),
    });
    const process = await pool.spawn(HOST, "cat");
    await fleet.server.kill();
    const error = await process.status.catch((error) => error);
    assertInstanceOf(error, ConnectionLostError);
    assertEquals(error.mayHaveRun, true);
    const waiting = pool.exec(HOST, "echo back");
    await fleet.server.begin();
    assertEquals((await waiting).stdout, "back\n");
    // The worker has kept its own connection to the host.
    assertEquals(fleet.memory.dials, 1);
  },
);

testNats(
  "a worker serves one of so many equal parts, and no other",
  async () => {
    await using fleet = await site();
    const other = new FleetWorker(fleet.workerBus, {
      pool: fleet.pool,
      host: ({ name }) => name,
      shards: SHARDS,
    });
    await assertRejects(
      () => other.serve({ index: 3, of: 3 }),
      RangeError,
      "index is 3",
    );
    await assertRejects(
      () => other.serve({ index: 0 } as never),
      RangeError,
      "of",
    );
    await other.serve({ index: 1, of: 3 });
    assertEquals(other.shards, [1, 4, 7, 10, 13]);
    await assertRejects(() => other.serve({ index: 1, of: 3 }), TypeError);
    await other.close();
    const connector = new NatsConnector(fleet.clientBus);
    connector.close();
    await assertRejects(() => connector.connect(RESOLVED), DialError);
  },
);
