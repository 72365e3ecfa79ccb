import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import { AsyncLocalStorage } from "node:async_hooks";
import {
  channel,
  type ChannelListener,
  subscribe,
  tracingChannel,
  unsubscribe,
} from "node:diagnostics_channel";
import { inspect } from "node:util";
import {
  AcquireTimeoutError,
  ConnectionPool,
  type DiagnosticEvent,
  type OperationName,
  type PoolEvent,
  type PoolOperation,
} from "../../../pool/mod.ts";
import { DialError } from "../../../transport/errors.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { TestServer } from "../../transport/forward/_kit.ts";
import {
  errorOf,
  FakeTime,
  flush,
  gate,
  Kit,
  OPERATIONS,
  range,
} from "../_kit.ts";

const host = "ops@db1";
const name = "ops@db1:22";

const EVENTS: readonly PoolEvent["type"][] = [
  "dial",
  "connected",
  "dial-failed",
  "disconnected",
  "limit-learned",
  "retry",
  "cooldown",
  "leak",
  "reclaimed",
  "forward-failed",
  "notice",
];

const STEPS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;

/** Subscribes to channels until it is disposed of. */
class Subscriptions implements Disposable {
  readonly #all: [string, ChannelListener][] = [];

  to(channel: string, listener: (message: unknown) => void): this {
    this.#all.push([channel, listener]);
    subscribe(channel, listener);
    return this;
  }

  [Symbol.dispose](): void {
    for (const [channel, listener] of this.#all) unsubscribe(channel, listener);
  }
}

/** Writes down what the tracing channels tell. */
class Traces extends Subscriptions {
  /** Whether `closed` was there when the end of a call was told, by name. */
  readonly hadClosed: [OperationName, boolean][] = [];
  /** Each step, as `exec:start`. */
  readonly steps: string[] = [];
  /** Each operation, in the order in which they began. */
  readonly operations: PoolOperation[] = [];

  constructor(...names: OperationName[]) {
    super();
    for (const name of names) {
      for (const step of STEPS) {
        this.to(`tracing:sshpool:${name}:${step}`, (message) => {
          this.steps.push(`${name}:${step}`);
          const operation = message as PoolOperation;
          assertEquals(operation.name, name);
          if (step === "asyncEnd") {
            this.hadClosed.push([name, operation.closed !== undefined]);
          }
          if (step === "start") this.operations.push(operation);
          else assert(this.operations.includes(operation));
        });
      }
    }
  }

  /** The only operation of a name. */
  one(name: OperationName): PoolOperation {
    const found = this.operations.filter((it) => it.name === name);
    assertEquals(found.length, 1, name);
    return found[0]!;
  }

  /** The operations as a tree, such as `exec(acquire(dial))`. */
  get tree(): string {
    const below = (parent: PoolOperation | undefined): string =>
      this.operations.filter((it) => it.parent === parent)
        .map((it) => {
          const inner = below(it);
          return inner === "" ? it.name : `${it.name}(${inner})`;
        }).join(" ");
    return below(undefined);
  }
}

Deno.test("ConnectionPool publishes what its observer is told, each event on the channel of its type", async () => {
  const told: DiagnosticEvent[] = [];
  using subscriptions = new Subscriptions();
  for (const type of EVENTS) {
    subscriptions.to(`sshpool:${type}`, (message) => {
      const event = message as DiagnosticEvent;
      assertEquals(event.type, type);
      told.push(event);
    });
  }
  using time = new FakeTime();
  const throttled = new DialError("banner", "Dropped", { throttled: true });
  const refused = new DialError("tcp", "Connection refused");
  await using kit = new Kit({
    maxSessions: 2,
    onDial: (_host, attempt) =>
      [throttled, "ok" as const, refused][attempt - 1],
    commands: { wait: () => new Promise(() => {}) },
  }, {
    maxConnectionsPerHost: 1,
    leakDetectionMs: 50,
    backoff: { initialMs: 100, jitter: 0 },
  });
  const first = kit.pool.exec(host, "true");
  await time.advance(100);
  await first;
  const held = await kit.pool.acquire(host);
  await time.advance(50);
  held.release();
  const many = range(4).map(() => errorOf(kit.pool.exec(host, "wait")));
  await time.advance(1_000);
  kit.connection(0).drop("cable cut");
  await Promise.all(many);
  await errorOf(kit.pool.exec(host, "true"));
  await flush();
  const types = new Set(kit.events.map(({ type }) => type));
  for (
    const type of [
      "dial",
      "dial-failed",
      "connected",
      "leak",
      "limit-learned",
      "retry",
      "disconnected",
      "cooldown",
    ] as const
  ) assert(types.has(type), type);
  assertEquals(
    told,
    kit.events.map((event) => ({ ...event, pool: kit.pool })),
  );
});

Deno.test("ConnectionPool publishes events without an observer, and not in the middle of its work", async () => {
  const connected = gate();
  let isInside = false;
  using _subscriptions = new Subscriptions().to(
    "sshpool:connected",
    (message) => {
      assert(!isInside, "told while the pool was at work");
      const { pool } = message as DiagnosticEvent;
      assertEquals(pool.stats().connections, 1);
      connected.open();
    },
  );
  await using kit = new Kit({}, { observer: () => {} });
  isInside = true;
  const running = kit.pool.exec(host, "true");
  isInside = false;
  await running;
  await connected.promise;
});

Deno.test("ConnectionPool has a name for telemetry", async () => {
  await using kit = new Kit({}, { name: "fleet" });
  assertEquals(kit.pool.name, "fleet");
  await using one = new Kit();
  await using two = new Kit();
  const numbers = [one, two].map(({ pool }) => {
    const [, number] = /^sshpool-(\d+)$/.exec(pool.name) ?? [];
    return Number(number);
  });
  assertEquals(numbers[1], numbers[0]! + 1);
});

Deno.test("exec() is traced from its call to its result, with the wait and the dial in it", async () => {
  using traces = new Traces("exec", "acquire", "dial");
  const dial = gate();
  await using kit = new Kit({
    onDial: () => dial.promise,
    commands: { five: { code: 5 } },
  });
  const before = performance.now();
  const running = kit.pool.exec(host, "five");
  // The first steps are told in the turn of the call.
  assertEquals(traces.steps, [
    "exec:start",
    "acquire:start",
    "acquire:end",
    "exec:end",
  ]);
  await flush();
  dial.open();
  await running;
  assertEquals(traces.steps.slice(4), [
    "dial:start",
    "dial:end",
    "dial:asyncStart",
    "dial:asyncEnd",
    "acquire:asyncStart",
    "acquire:asyncEnd",
    "exec:asyncStart",
    "exec:asyncEnd",
  ]);
  assertEquals(traces.tree, "exec(acquire(dial))");
  for (const operation of traces.operations) {
    assertStrictEquals(operation.pool, kit.pool);
    const { startedAt, durationMs, error, ...where } = operation;
    const { host, address, port, transport } = where;
    assertEquals([host, address, port, transport], [name, "db1", 22, "tcp"]);
    assert(startedAt >= before && startedAt <= performance.now());
    assert(durationMs! >= 0 && durationMs! <= performance.now() - before);
    assertEquals([error, "error" in operation], [undefined, false]);
  }
  const { code, signal } = traces.one("exec");
  assertEquals({ code, signal }, { code: 5, signal: null });
  assertEquals(traces.one("acquire").waited, true);
  assertEquals(traces.one("dial").attempts, 1);
});

Deno.test("exec() on a connection that there is does not wait for its slot, and gives it back at its end", async () => {
  await using kit = new Kit({ commands: { wait: () => end.promise } });
  const end = gate();
  await kit.pool.exec(host, "true");
  using traces = new Traces("exec", "acquire", "dial");
  const running = kit.pool.exec(host, "wait");
  await flush();
  assertEquals(traces.tree, "exec(acquire)");
  const { waited, closed, durationMs } = traces.one("acquire");
  assertEquals([waited, typeof durationMs], [false, "number"]);
  let isBack = false;
  closed!.then(() => isBack = true);
  await flush();
  assertEquals(isBack, false);
  end.open();
  await running;
  assertEquals(await closed, {});
});

Deno.test("the end of an operation is told with its closed, also that of a slot within a call", async () => {
  using traces = new Traces("exec", "spawn", "acquire");
  await using kit = new Kit();
  await kit.pool.exec(host, "true");
  await kit.pool.exec(host, "true");
  await (await kit.pool.spawn(host, "true")).output();
  (await kit.pool.acquire(host)).release();
  assertEquals(traces.hadClosed, [
    ["acquire", true],
    ["exec", false],
    ["acquire", true],
    ["exec", false],
    ["acquire", true],
    ["spawn", true],
    ["acquire", true],
  ]);
});

Deno.test("exec() that fails is traced with its error, and so is each part that failed", async () => {
  using traces = new Traces("exec", "acquire", "dial");
  const refused = new DialError("tcp", "Connection refused");
  await using kit = new Kit({ onDial: () => refused });
  const error = await errorOf(kit.pool.exec(host, "true"));
  assertEquals(traces.steps.slice(4), [
    "dial:start",
    "dial:end",
    "dial:error",
    "dial:asyncStart",
    "dial:asyncEnd",
    "acquire:error",
    "acquire:asyncStart",
    "acquire:asyncEnd",
    "exec:error",
    "exec:asyncStart",
    "exec:asyncEnd",
  ]);
  for (const operation of traces.operations) {
    assertStrictEquals(operation.error, error);
    assert(operation.durationMs !== undefined);
  }
});

Deno.test("a host that is reached through a command is traced as one behind a pipe", async () => {
  using traces = new Traces("exec", "acquire", "dial");
  await using kit = new Kit();
  await kit.pool.exec(
    { hostname: "db1", user: "ops", proxyCommand: "nc" },
    "a",
  );
  const transports = traces.operations.map(({ transport }) => transport);
  assertEquals(transports, ["pipe", "pipe", "pipe"]);
});

Deno.test("exec() that is tried again is one operation with a slot for each try", async () => {
  using traces = new Traces("exec", "acquire");
  await using kit = new Kit({ maxSessions: 1 }, {
    maxConnectionsPerHost: 1,
  });
  await Promise.all(range(2).map(() => kit.pool.exec(host, "true")));
  const [first, second] = traces.operations.filter(({ name }) =>
    name === "exec"
  );
  const triesOf = (exec: PoolOperation | undefined) =>
    traces.operations.filter(({ parent }) => parent === exec);
  const tries = [...triesOf(first), ...triesOf(second)];
  assert(tries.length > 2, "no try was refused");
  assertEquals([first?.error, second?.error], [undefined, undefined]);
  // Each slot was given back, that of a refused try too.
  for (const { closed } of tries) assertEquals(await closed, {});
});

Deno.test("exec() of a host that cannot be looked up is traced under the name that the caller has for it", async () => {
  using traces = new Traces("exec");
  await using kit = new Kit();
  const error = await errorOf(kit.pool.exec("ssh://ops:hunter2@db1", "true"));
  const exec = traces.one("exec");
  assertStrictEquals(exec.error, error);
  assertEquals([exec.host, exec.address], ["db1", undefined]);
});

Deno.test("a call whose arguments are wrong is not traced", async () => {
  using traces = new Traces(...OPERATIONS);
  await using kit = new Kit();
  assertInstanceOf(await errorOf(kit.pool.exec(host, "")), TypeError);
  assertEquals(traces.operations, []);
});

Deno.test("a dial is part of the wait of the caller that has waited longest", async () => {
  using traces = new Traces("exec", "acquire", "dial");
  const dial = gate();
  await using kit = new Kit({ onDial: () => dial.promise });
  const waiting = kit.pool.getConnection(host);
  const all = range(3).map(() => kit.pool.exec(host, "true"));
  await flush();
  dial.open();
  await Promise.all([waiting, ...all]);
  const shared = traces.operations.find((it) =>
    it.name === "acquire" && it.parent === undefined
  );
  assertEquals(traces.tree, "acquire(dial)" + " exec(acquire)".repeat(3));
  assertStrictEquals(traces.one("dial").parent, shared);
});

Deno.test("the dial of a hop is part of the dial of its target", async () => {
  using traces = new Traces("exec", "acquire", "dial");
  await using kit = new Kit();
  const target = { hostname: "db", user: "ops", jump: "ops@gate" };
  await kit.pool.exec(target, "true");
  assertEquals(traces.tree, "exec(acquire(dial(dial)))");
  const dials = traces.operations.filter((it) => it.name === "dial");
  assertEquals(dials.map((it) => it.host), ["ops@db:22", "ops@gate:22"]);
});

Deno.test("a dial counts its attempts, and tells of an abort", async () => {
  using time = new FakeTime();
  using traces = new Traces("dial");
  const throttled = new DialError("banner", "Dropped", { throttled: true });
  await using kit = new Kit({
    onDial: (_host, attempt) => attempt === 1 ? throttled : "never",
  }, { backoff: { initialMs: 100, jitter: 0 } });
  const controller = new AbortController();
  const { signal } = controller;
  const running = errorOf(kit.pool.exec(host, "true", { signal }));
  await time.advance(100);
  const dial = traces.one("dial");
  assertEquals(dial.attempts, 2);
  await time.advance(50);
  controller.abort();
  await running;
  await time.advance(100);
  assertEquals((dial.error as Error).name, "AbortError");
  assertEquals(dial.durationMs, 150);
});

Deno.test("a caller that gives up is traced with its error, and its dial goes on for others", async () => {
  using time = new FakeTime();
  using traces = new Traces("acquire", "dial");
  await using kit = new Kit({ dialMs: 100 });
  const impatient = errorOf(kit.pool.acquire(host, { acquireTimeoutMs: 50 }));
  const patient = kit.pool.acquire(host);
  await time.advance(100);
  assertInstanceOf(await impatient, AcquireTimeoutError);
  (await patient).release();
  await flush();
  const [first, second] = traces.operations.filter((it) =>
    it.name === "acquire"
  );
  assertInstanceOf(first?.error, AcquireTimeoutError);
  assertEquals([first.durationMs, second?.durationMs], [50, 100]);
  assertEquals(traces.one("dial").error, undefined);
});

Deno.test("acquire() is traced until its lease is released", async () => {
  using traces = new Traces("acquire");
  await using kit = new Kit();
  for (const waited of [true, false]) {
    const lease = await kit.pool.acquire(host);
    const operation = traces.operations.at(-1)!;
    assertEquals([operation.waited, operation.host], [waited, name]);
    let isBack = false;
    operation.closed!.then(() => isBack = true);
    await flush();
    assertEquals(isBack, false);
    lease.release();
    assertEquals(await operation.closed, {});
  }
  assertEquals(traces.operations.length, 2);
});

Deno.test("getConnection() is traced when it has to wait, and the calls of its connection are", async () => {
  using traces = new Traces(...OPERATIONS);
  await using kit = new Kit();
  const connection = await kit.pool.getConnection(host);
  assertEquals(traces.tree, "acquire(dial)");
  await kit.pool.getConnection(host);
  assertEquals(traces.operations.length, 2);
  await connection.exec("true");
  assertEquals(traces.tree, "acquire(dial) exec(acquire)");
  assertEquals(traces.one("exec").host, name);
});

Deno.test("spawn() is traced, and tells how the process ended", async () => {
  using traces = new Traces("spawn", "acquire");
  await using server = await EmbeddedServer.start({
    commands: { fail: { code: 3 } },
  });
  await using pool = new ConnectionPool({
    connector: await connectorOfMain(),
  });
  const process = await pool.spawn(server.host(), "fail");
  await process.output();
  const spawn = traces.one("spawn");
  assertEquals(await spawn.closed, { code: 3, signal: null });
  assertEquals(spawn.commandLine(), "fail");
  const [slot] = traces.operations.filter((it) => it.parent === spawn);
  assertEquals(await slot?.closed, {});
});

Deno.test({
  name: "shell() is traced, and tells how the shell ended" +
    (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  async fn() {
    using traces = new Traces(...OPERATIONS);
    await using sshd = await startSshd();
    await using pool = new ConnectionPool({
      connector: await connectorOfMain(),
    });
    const shell = await pool.shell(sshd.host());
    const writer = shell.stdin.getWriter();
    await writer.write(new TextEncoder().encode("exit 3\n"));
    writer.releaseLock();
    await shell.output();
    assertEquals(traces.tree, "shell(acquire(dial))");
    const operation = traces.one("shell");
    assertEquals(operation.commandLine(), undefined);
    assertEquals(await operation.closed, { code: 3, signal: null });
  },
});

/** The connector that the main entry point has. */
async function connectorOfMain() {
  const { Ssh2Connector } = await import("../../../transport/ssh2/mod.ts");
  return new Ssh2Connector();
}

Deno.test("a process whose connection is lost ends with that error", async () => {
  using traces = new Traces("spawn");
  await using kit = new Kit({
    commands: { wait: () => new Promise(() => {}) },
  });
  const process = await kit.pool.spawn(host, "wait");
  kit.connection(0).drop("cable cut");
  const error = await errorOf(process.status);
  assertStrictEquals((await traces.one("spawn").closed)?.error, error);
});

Deno.test("connect() and forward() are traced until they are closed", async () => {
  using traces = new Traces(...OPERATIONS);
  await using server = await EmbeddedServer.start();
  await using target = await TestServer.start();
  await using pool = new ConnectionPool({
    connector: await connectorOfMain(),
  });
  const tunnel = await pool.connect(server.host(), target.target);
  assertEquals(traces.tree, "connect(acquire(dial))");
  const connect = traces.one("connect");
  assertEquals([connect.address, connect.port], [
    server.host().hostname,
    server.host().port,
  ]);
  tunnel.close();
  assertEquals(await connect.closed, {});
  const forward = await pool.forward(server.host(), {
    type: "local",
    listen: 0,
    to: target.target,
  });
  await forward.close();
  assertEquals(await traces.one("forward").closed, {});
});

Deno.test({
  name: "sftp(), upload() and download() are traced, one in the other" +
    (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  async fn() {
    using traces = new Traces(...OPERATIONS);
    await using sshd = await startSshd();
    await using pool = new ConnectionPool({
      connector: await connectorOfMain(),
    });
    const dir = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(`${dir}/a`, "a");
      await Deno.chmod(dir, 0o777);
      const host = sshd.host();
      await pool.upload(host, `${dir}/a`, `${dir}/b`);
      assertEquals(traces.tree, "upload(sftp(acquire(dial)))");
      const sftp = await pool.sftp(host);
      sftp.close();
      assertEquals(await traces.operations.at(-1)?.closed, {});
      await pool.download(host, `${dir}/b`, `${dir}/c`);
      assertEquals(
        traces.tree,
        "upload(sftp(acquire(dial))) sftp download(sftp)",
      );
      assertEquals(await Deno.readTextFile(`${dir}/c`), "a");
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

Deno.test("no message shows a credential, a command line or output", async () => {
  const MARK = "hunter2";
  const messages: unknown[] = [];
  using subscriptions = new Subscriptions();
  for (const type of EVENTS) {
    subscriptions.to(`sshpool:${type}`, (message) => messages.push(message));
  }
  for (const operation of OPERATIONS) {
    for (const step of STEPS) {
      subscriptions.to(
        `tracing:sshpool:${operation}:${step}`,
        (message) => messages.push(message),
      );
    }
  }
  await using kit = new Kit({
    commands: { [`echo ${MARK}`]: { stdout: MARK, stderr: MARK, code: 1 } },
  });
  const secretive = {
    hostname: "db1",
    user: "ops",
    password: MARK,
    jump: { hostname: "gate", user: "ops", password: MARK },
  };
  await kit.pool.exec(secretive, `echo ${MARK}`, { env: { LC_A: MARK } });
  await (await kit.pool.spawn(secretive, `echo ${MARK}`)).output();
  (await kit.pool.acquire(secretive)).release();
  await kit.pool.closeAll();
  await flush();
  assert(messages.length > 30, `${messages.length} messages`);
  for (const message of messages) {
    const shown = [
      Deno.inspect(message, { depth: 20, showHidden: true, getters: true }),
      inspect(message, { depth: 20, showHidden: true, getters: true }),
      JSON.stringify(message),
      JSON.stringify({ ...message as object }),
    ];
    for (const text of shown) assert(!text.includes(MARK), text);
  }
  const [exec] = messages.filter((message) =>
    (message as PoolOperation).name === "exec"
  ) as PoolOperation[];
  assertEquals(exec?.commandLine(), `echo ${MARK}`);
});

Deno.test("a store that is bound to the channel of a start holds within the call", async () => {
  const storage = new AsyncLocalStorage<string>();
  const { start } = tracingChannel("sshpool:exec");
  start.bindStore(
    storage,
    (message) => `in ${(message as unknown as PoolOperation).name}`,
  );
  try {
    const within: unknown[] = [];
    await using kit = new Kit({
      commands: { see: () => void within.push(storage.getStore()) },
    });
    await kit.pool.exec(host, "true");
    await kit.pool.exec(host, "see");
    assertEquals([within, storage.getStore()], [["in exec"], undefined]);
  } finally {
    start.unbindStore(storage);
  }
});

Deno.test("one subscriber of any step is enough for it to be told", async () => {
  for (const step of STEPS) {
    let calls = 0;
    using _subscriptions = new Subscriptions().to(
      `tracing:sshpool:exec:${step}`,
      () => calls++,
    );
    await using kit = new Kit();
    const signal = AbortSignal.abort();
    await kit.pool.exec(host, "true", { signal }).catch(() => {});
    assertEquals(calls, 1, step);
  }
});

Deno.test("nothing is told any more of a channel that was left", async () => {
  const traces = new Traces("exec", "acquire", "dial");
  await using kit = new Kit();
  traces[Symbol.dispose]();
  await kit.pool.exec(host, "true");
  assertEquals(traces.steps, []);
  assertEquals(channel("sshpool:dial").hasSubscribers, false);
});
