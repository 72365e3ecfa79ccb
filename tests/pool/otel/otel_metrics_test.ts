import { assert, assertEquals } from "@std/assert";
import { DialError } from "../../../transport/errors.ts";
import { errorOf, FakeTime, flush, gate, Kit, range } from "../_kit.ts";
import { dialForward, ended } from "../../transport/forward/_kit.ts";
import { otelTest, Recording } from "./_otel_kit.ts";

const host = "ops@db1";

otelTest(
  "instrument() measures how long dials, waits, slots and calls take, in seconds",
  async () => {
    using time = new FakeTime();
    await using recording = new Recording();
    const end = gate();
    await using kit = new Kit({
      dialMs: 2_000,
      commands: { wait: () => end.promise },
    }, { name: "fleet" });
    const running = kit.pool.exec(host, "wait");
    await time.advance(2_000);
    await time.advance(5_000);
    end.open();
    await running;
    await flush();
    const pool = { "ssh.client.connection.pool.name": "fleet" };
    const metric = async (name: string) => {
      const { unit, points } = await recording.metric(`ssh.client.${name}`);
      assertEquals(unit, "s", name);
      return points;
    };
    const one = (sum: number, attributes = {}) => [
      { attributes: { ...pool, ...attributes }, value: { count: 1, sum } },
    ];
    assertEquals(await metric("connection.create_time"), one(2));
    assertEquals(await metric("connection.wait_time"), one(2));
    assertEquals(await metric("connection.use_time"), one(5));
    assertEquals(
      await metric("operation.duration"),
      one(7, { "ssh.operation.name": "exec" }),
    );
  },
);

otelTest(
  "instrument() measures how long a lease, a process and a failed wait take",
  async () => {
    using time = new FakeTime();
    await using recording = new Recording();
    const end = gate();
    await using kit = new Kit({ commands: { wait: () => end.promise } }, {
      maxConnectionsPerHost: 1,
      maxSessionsPerConnection: 2,
      name: "fleet",
    });
    const lease = await kit.pool.acquire(host);
    const process = await kit.pool.spawn(host, "wait");
    const options = { acquireTimeoutMs: 1_000 };
    const late = errorOf(kit.pool.exec(host, "true", options));
    await time.advance(1_000);
    await late;
    await time.advance(2_000);
    lease.release();
    await time.advance(4_000);
    end.open();
    await process.output();
    await flush();
    const pool = { "ssh.client.connection.pool.name": "fleet" };
    const timedOut = { ...pool, "error.type": "SSH_ACQUIRE_TIMEOUT" };
    const metric = async (name: string) =>
      (await recording.metric(`ssh.client.${name}`)).points;
    assertEquals(await metric("connection.use_time"), [
      { attributes: pool, value: { count: 2, sum: 10 } },
    ]);
    assertEquals(await metric("connection.wait_time"), [
      { attributes: pool, value: { count: 2, sum: 0 } },
      { attributes: timedOut, value: { count: 1, sum: 1 } },
    ]);
    assertEquals(await recording.metric("ssh.client.connection.timeouts"), {
      unit: "{timeout}",
      points: [{ attributes: pool, value: 1 }],
    });
    assertEquals(await metric("operation.duration"), [
      {
        attributes: { ...timedOut, "ssh.operation.name": "exec" },
        value: { count: 1, sum: 1 },
      },
      {
        attributes: { ...pool, "ssh.operation.name": "spawn" },
        value: { count: 1, sum: 7 },
      },
    ]);
  },
);

otelTest(
  "instrument() reads connections, their maximum and who waits, and 0 of a pool that is closed",
  async () => {
    await using recording = new Recording();
    const end = gate();
    await using kit = new Kit({ commands: { wait: () => end.promise } }, {
      name: "fleet",
      maxConnections: 7,
      maxConnectionsPerHost: 1,
      maxSessionsPerConnection: 1,
    });
    await kit.pool.exec("ops@db2", "true");
    const running = range(3).map(() => kit.pool.exec(host, "wait"));
    await flush();
    const pool = { "ssh.client.connection.pool.name": "fleet" };
    const state = (state: string) => ({
      ...pool,
      "ssh.client.connection.state": state,
    });
    assertEquals(await recording.metric("ssh.client.connection.count"), {
      unit: "{connection}",
      points: [
        { attributes: state("idle"), value: 1 },
        { attributes: state("used"), value: 1 },
      ],
    });
    assertEquals(await recording.metric("ssh.client.connection.max"), {
      unit: "{connection}",
      points: [{ attributes: pool, value: 7 }],
    });
    assertEquals(
      await recording.metric("ssh.client.connection.pending_requests"),
      { unit: "{request}", points: [{ attributes: pool, value: 2 }] },
    );
    end.open();
    await Promise.all(running);
    await kit.pool.close();
    for (const name of ["count", "max", "pending_requests"]) {
      const { points } = await recording.metric(
        `ssh.client.connection.${name}`,
      );
      assertEquals(
        points.map(({ value }) => value),
        Array(points.length).fill(0),
      );
      assert(points.length > 0, name);
    }
  },
);

otelTest(
  "instrument() reads a pool once for each collection, however many calls it has traced",
  async () => {
    await using recording = new Recording();
    await using kit = new Kit({}, { name: "fleet" });
    let reads = 0;
    const { pool } = kit;
    const stats = pool.stats.bind(pool);
    pool.stats = () => (reads++, stats());
    for (const _ of range(3)) await pool.exec(host, "true");
    await recording.metric("ssh.client.connection.count");
    assertEquals(reads, 1);
    await recording.metric("ssh.client.connection.count");
    assertEquals(reads, 2);
  },
);

otelTest(
  "instrument() tells hosts apart in times if it is asked to, and not users",
  async () => {
    await using recording = new Recording({ metricsPerHost: true });
    await using kit = new Kit({}, { name: "fleet" });
    for (const it of ["ops@db1", "root@db1", "ops@[::1]:2222"]) {
      await kit.pool.exec(it, "true");
    }
    const server = (address: string, port: number) => ({
      "ssh.client.connection.pool.name": "fleet",
      "server.address": address,
      "server.port": port,
    });
    for (const name of ["wait_time", "create_time", "use_time"]) {
      const { points } = await recording.metric(
        `ssh.client.connection.${name}`,
      );
      assertEquals(
        points.map(({ attributes }) => attributes),
        [server("db1", 22), server("::1", 2222)],
      );
    }
  },
);

otelTest(
  "instrument() counts no timeout where a wait fails for another reason",
  async () => {
    await using recording = new Recording();
    await using kit = new Kit({
      onDial: () => new DialError("tcp", "Connection refused"),
    }, { name: "fleet" });
    await errorOf(kit.pool.exec(host, "true"));
    await flush();
    const attributes = {
      "ssh.client.connection.pool.name": "fleet",
      "error.type": "SSH_DIAL",
    };
    for (const name of ["create_time", "wait_time"]) {
      const { points } = await recording.metric(
        `ssh.client.connection.${name}`,
      );
      assertEquals(points.map((it) => it.attributes), [attributes], name);
    }
    const { points } = await recording.metric("ssh.client.connection.timeouts");
    assertEquals(points, []);
  },
);

otelTest(
  "instrument() counts the connections of forwards that failed, by kind and reason",
  async () => {
    await using recording = new Recording();
    await using kit = new Kit({
      onDial: () => new DialError("tcp", "Connection refused"),
    }, { name: "fleet" });
    await using forward = await kit.pool.forward(host, {
      type: "local",
      listen: 0,
      to: "db:5432",
    });
    const client = await dialForward(forward);
    await ended(client);
    await kit.told("forward-failed");
    assertEquals(await recording.metric("ssh.client.forward.failures"), {
      unit: "{connection}",
      points: [{
        attributes: {
          "ssh.client.connection.pool.name": "fleet",
          "ssh.forward.type": "local",
          "ssh.forward.failure.reason": "not-opened",
          "error.type": "SSH_DIAL",
        },
        value: 1,
      }],
    });
  },
);
