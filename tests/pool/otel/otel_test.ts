import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { channel } from "node:diagnostics_channel";
import { ConnectionPool } from "../../../pool/mod.ts";
import { instrument, type InstrumentOptions } from "../../../pool/otel/mod.ts";
import { Ssh2Connector } from "../../../transport/ssh2/mod.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { until } from "../../kit/until.ts";
import { TestServer } from "../../transport/forward/_kit.ts";
import { errorOf, flush, gate, Kit, OPERATIONS, range } from "../_kit.ts";
import { otelTest, pick, Recording } from "./_otel_kit.ts";

const host = "ops@db1";

otelTest(
  "instrument() makes a span of exec(), with the wait and the dial in it, in the active span of the caller",
  async () => {
    await using recording = new Recording();
    await using kit = new Kit({ commands: { five: { code: 5 } } }, {
      name: "fleet",
    });
    await recording.within("caller", async () => {
      await Promise.resolve();
      await kit.pool.exec(host, "five");
    });
    assertEquals(
      await recording.tree(),
      "caller(ssh exec(ssh acquire(ssh dial)))",
    );
    const [exec, acquire, dial] = await Promise.all(
      ["exec", "acquire", "dial"].map((it) => recording.one(`ssh ${it}`)),
    );
    assertEquals(
      [exec!.kind, acquire!.kind, dial!.kind],
      [SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.CLIENT],
    );
    const common = {
      "ssh.client.connection.pool.name": "fleet",
      "server.address": "db1",
      "server.port": 22,
      "network.transport": "tcp",
      "network.protocol.name": "ssh",
    };
    assertEquals(exec!.attributes, {
      ...common,
      "ssh.operation.name": "exec",
      "process.exit.code": 5,
    });
    assertEquals(acquire!.attributes, {
      ...common,
      "ssh.operation.name": "acquire",
      "ssh.acquire.waited": true,
    });
    assertEquals(dial!.attributes, {
      ...common,
      "ssh.operation.name": "dial",
      "ssh.dial.attempts": 1,
    });
    // An exit code is a result.
    assertEquals(exec!.status, { code: SpanStatusCode.UNSET });
    assertEquals(exec!.instrumentationScope.name, "@sshpool/sshpool");
  },
);

otelTest(
  "instrument() keeps callers apart that run at once, also where one dial serves them",
  async () => {
    await using recording = new Recording();
    const dial = gate();
    await using kit = new Kit({ onDial: () => dial.promise });
    const all = range(3).map((i) =>
      recording.within(`caller ${i}`, () => kit.pool.exec(host, "true"))
    );
    await flush();
    dial.open();
    await Promise.all(all);
    assertEquals(
      await recording.tree(),
      "caller 0(ssh exec(ssh acquire(ssh dial))) " +
        "caller 1(ssh exec(ssh acquire)) caller 2(ssh exec(ssh acquire))",
    );
    const traces = new Set(
      (await recording.spans()).map((it) => it.spanContext().traceId),
    );
    assertEquals(traces.size, 3);
  },
);

otelTest(
  "instrument() puts the calls of a fan-out into the active span of its loop",
  async () => {
    await using recording = new Recording();
    await using kit = new Kit();
    await recording.within("caller", async () => {
      const hosts = range(3).map((i) => `ops@db${i}`);
      const work = kit.pool.fanOut(hosts, "true", { concurrency: 1 });
      for await (const { ok } of work) assert(ok);
    });
    const exec = "ssh exec(ssh acquire(ssh dial))";
    assertEquals(await recording.tree(), `caller(${exec} ${exec} ${exec})`);
  },
);

otelTest(
  "instrument() begins a trace where the caller has no active span",
  async () => {
    await using recording = new Recording();
    await using kit = new Kit();
    const target = { hostname: "db", user: "ops", jump: "ops@gate" };
    await kit.pool.exec(target, "true");
    assertEquals(
      await recording.tree(),
      "ssh exec(ssh acquire(ssh dial(ssh dial)))",
    );
  },
);

otelTest(
  "the span of spawn() lasts until the process has ended, and has its exit code",
  async () => {
    await using recording = new Recording();
    const end = gate();
    await using kit = new Kit({
      commands: { wait: () => end.promise.then(() => ({ code: 3 })) },
    });
    const process = await kit.pool.spawn(host, "wait");
    assertEquals(await recording.tree(), "");
    assertEquals(recording.open, 1);
    end.open();
    await process.output();
    assertEquals(await recording.tree(), "ssh spawn(ssh acquire(ssh dial))");
    const spawn = await recording.one("ssh spawn");
    assertEquals(pick(spawn, "process.exit.code", "error.type"), [
      3,
      undefined,
    ]);
    assertEquals(spawn.status, { code: SpanStatusCode.UNSET });
  },
);

otelTest(
  "the span of a process ends with its connection, and with its pool",
  async () => {
    for (const by of ["loss", "close"]) {
      await using recording = new Recording();
      await using kit = new Kit({
        commands: { wait: () => new Promise(() => {}) },
      });
      const process = await kit.pool.spawn(host, "wait");
      const status = errorOf(process.status);
      if (by === "loss") kit.connection(0).drop("cable cut");
      else await kit.pool.close({ drainTimeoutMs: 0 });
      await status;
      const spawn = await recording.one("ssh spawn");
      assertEquals(spawn.status, { code: SpanStatusCode.ERROR });
      assertEquals(pick(spawn, "error.type"), ["SSH_CONNECTION_LOST"]);
      assertEquals(recording.open, 0, by);
    }
  },
);

otelTest(
  "the spans of connect() and forward() end when these are open, and a later dial is a trace of its own",
  async () => {
    await using recording = new Recording();
    await using server = await EmbeddedServer.start();
    await using target = await TestServer.start();
    await using pool = new ConnectionPool({ connector: new Ssh2Connector() });
    const there = server.host();
    await using forward = await recording.within(
      "caller",
      () =>
        pool.forward(there, { type: "local", listen: 0, to: target.target }),
    );
    assertEquals(await recording.tree(), "caller(ssh forward)");
    const { hostname, port } = forward.address as Deno.NetAddr & {
      hostname: string;
    };
    const socket = await Deno.connect({ hostname, port });
    await until(async () => (await recording.spans()).length === 4);
    assertEquals(
      await recording.tree(),
      "caller(ssh forward) ssh acquire(ssh dial)",
    );
    const acquire = await recording.one("ssh acquire");
    const { spanId } = (await recording.one("ssh forward")).spanContext();
    assertEquals(acquire.links.map(({ context }) => context.spanId), [spanId]);
    socket.close();
    const tunnel = await pool.connect(there, target.target);
    assertEquals(recording.open, 0);
    await recording.one("ssh connect");
    tunnel.close();
  },
);

otelTest("instrument() records one pool alone if it is asked to", async () => {
  await using one = new Kit({}, { name: "one" });
  await using two = new Kit({}, { name: "two" });
  await using recording = new Recording({ pool: one.pool });
  await using all = new Recording();
  const max = async (recording: Recording) => {
    const { points } = await recording.metric("ssh.client.connection.max");
    return points.map(({ attributes }) =>
      attributes["ssh.client.connection.pool.name"]
    );
  };
  // Also before anything has happened in it.
  assertEquals(await max(recording), ["one"]);
  await two.pool.exec(host, "true");
  await one.pool.exec(host, "true");
  assertEquals((await recording.spans()).length, 3);
  assertEquals(await max(recording), ["one"]);
  assertEquals((await all.spans()).length, 6);
  assertEquals(await max(all), ["two", "one"]);
});

otelTest(
  "stop() leaves no subscriber, ends the spans that are open, and measures no more",
  async () => {
    await using recording = new Recording();
    const steps = ["start", "end", "asyncStart", "asyncEnd", "error"];
    const subscribed = () =>
      OPERATIONS.flatMap((name) =>
        steps.filter((step) =>
          channel(`tracing:sshpool:${name}:${step}`).hasSubscribers
        ).map((step) => `${name}:${step}`)
      );
    assertEquals(
      subscribed(),
      OPERATIONS.flatMap((name) => [`${name}:start`, `${name}:asyncEnd`]),
    );
    const end = gate();
    await using kit = new Kit({ commands: { wait: () => end.promise } });
    const running = kit.pool.exec(host, "wait");
    const process = await kit.pool.spawn(host, "wait");
    const lease = await kit.pool.acquire(host);
    await flush();
    assertEquals(recording.open, 2);
    recording.instrumentation.stop();
    recording.instrumentation.stop();
    assertEquals(recording.open, 0);
    assertEquals(subscribed(), []);
    const before = (await recording.spans()).length;
    end.open();
    lease.release();
    await running;
    await process.output();
    await kit.pool.exec(host, "true");
    assertEquals((await recording.spans()).length, before);
    for (const it of ["connection.use_time", "operation.duration"]) {
      const { points } = await recording.metric(`ssh.client.${it}`);
      assertEquals(points, [], it);
    }
    const { points } = await recording.metric("ssh.client.connection.max");
    assertEquals(points, []);
  },
);

otelTest(
  "instrument() makes no span of a call that began before it, and begins a trace with a dial for it",
  async () => {
    await using kit = new Kit({}, { maxConnections: 1 });
    const channels = ["exec", "acquire"].map((name) =>
      channel(`tracing:sshpool:${name}:start`)
    );
    const ignore = () => {};
    for (const it of channels) it.subscribe(ignore);
    try {
      const lease = await kit.pool.acquire("ops@other");
      const running = kit.pool.exec(host, "true");
      await using recording = new Recording();
      // The dial begins in the turn of one who has nothing to do with it.
      await recording.within("caller", async () => {
        lease.release();
        await running;
      });
      assertEquals(await recording.tree(), "caller ssh dial");
      const { points } = await recording.metric(
        "ssh.client.operation.duration",
      );
      assertEquals(points.length, 1);
    } finally {
      for (const it of channels) it.unsubscribe(ignore);
    }
  },
);

otelTest("an SDK that throws harms no call", async () => {
  const fail = (): never => {
    throw new Error("of the SDK");
  };
  const meter = new Proxy({}, {
    get: (_, name) =>
      name === "createHistogram" || name === "createCounter"
        ? () => ({ record: fail, add: fail })
        : name === "createObservableUpDownCounter"
        ? () => ({})
        : name === "addBatchObservableCallback"
        ? () => {}
        : fail,
  });
  const broken: InstrumentOptions = {
    tracerProvider: { getTracer: () => ({ startSpan: fail }) },
    meterProvider: { getMeter: () => meter },
  };
  {
    using _ = instrument(broken);
    await using kit = new Kit();
    assertEquals((await kit.pool.exec(host, "echo hi")).stdout, "hi\n");
    await (await kit.pool.spawn(host, "true")).output();
    (await kit.pool.acquire(host)).release();
    await new Promise((resolve) => setTimeout(resolve));
  }
});

otelTest("instrument() checks its options", () => {
  const wrong: [unknown, string][] = [
    [null, "options is null, must be an object"],
    [
      { recordCommand: true },
      'there is no option "recordCommand", did you mean "recordCommands"?',
    ],
    [{ recordCommands: 1 }, "recordCommands is 1, must be true or false"],
    [{ metricsPerHost: "" }, 'metricsPerHost is "", must be true or false'],
    [
      { pool: {} },
      "pool is an object, must be an object with a stats() method",
    ],
    [
      { tracerProvider: null },
      "tracerProvider is null, must be an object with a getTracer() method",
    ],
    [
      { meterProvider: 1 },
      "meterProvider is a number, must be an object with a getMeter() method",
    ],
  ];
  for (const [options, message] of wrong) {
    const error = assertThrows(
      () => instrument(options as InstrumentOptions),
      TypeError,
    );
    assertEquals(error.message, `Cannot instrument the pool: ${message}`);
  }
});

otelTest(
  "instrument() says on the span of a dial what the server calls itself, and which algorithms were agreed on",
  async () => {
    await using recording = new Recording();
    await using server = await EmbeddedServer.start();
    await using pool = new ConnectionPool({
      connector: new Ssh2Connector(),
      config: false,
    });
    const algorithms = {
      kex: "ecdh-sha2-nistp256",
      cipher: "chacha20-poly1305@openssh.com",
    };
    await pool.exec({ ...server.host(), algorithms }, "true");
    const connection = await pool.getConnection({
      ...server.host(),
      algorithms,
    });
    assert(connection.serverSoftware !== undefined);
    assertEquals(connection.algorithms?.kex, "ecdh-sha2-nistp256");
    const { attributes } = await recording.one("ssh dial");
    assertEquals(
      Object.entries(attributes).filter(([name]) =>
        /^ssh\.(server|algorithm)/.test(name)
      ),
      [
        ["ssh.server.software", connection.serverSoftware],
        ["ssh.algorithm.kex", "ecdh-sha2-nistp256"],
        ["ssh.algorithm.host_key", "ssh-ed25519"],
        ["ssh.algorithm.cipher", "chacha20-poly1305@openssh.com"],
        ["ssh.algorithm.mac", "<implicit>"],
      ],
    );
  },
);
