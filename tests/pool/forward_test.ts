import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { getEventListeners } from "node:events";
import { ConnectionPool } from "../../mod.ts";
import { PoolClosedError } from "../../transport/pool_errors.ts";
import type { ForwardOptions } from "../../pool/forward.ts";
import type { Connector } from "../../transport/connector.ts";
import {
  AuthenticationError,
  ChannelOpenError,
} from "../../transport/errors.ts";
import { ForwardError } from "../../transport/forward/errors.ts";
import { startBlackHole } from "../kit/black_hole.ts";
import { noSshd, startSshd } from "../kit/sshd.ts";
import {
  EmbeddedServer,
  MemoryConnector,
} from "../../transport/testing/mod.ts";
import {
  dialForward,
  ended,
  exchange,
  TestServer,
} from "../transport/forward/_kit.ts";

Deno.test("ConnectionPool.connect() gives a stream to a target, and rejects where there is none", async () => {
  await using server = await EmbeddedServer.start();
  await using pool = new ConnectionPool();
  await using target = await TestServer.start();
  await using tunnel = await pool.connect(server.host(), target.target);
  const writer = tunnel.writable.getWriter();
  await writer.write(new TextEncoder().encode("hi"));
  const reader = tunnel.readable.getReader();
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value), "hi");
  const closedTarget = await TestServer.start();
  const where = closedTarget.target;
  await closedTarget[Symbol.asyncDispose]();
  await assertRejects(
    () => pool.connect(server.host(), where),
    ChannelOpenError,
  );
  await assertRejects(() => pool.connect(server.host(), "db"), TypeError);
});

Deno.test("ConnectionPool.connect() gives all that a target has sent, though it closed long before it is read", async () => {
  await using server = await EmbeddedServer.start();
  await using pool = new ConnectionPool();
  // More than the window of a channel.
  const sent = 3 * 1024 * 1024;
  let tellClosed!: () => void;
  const closed = new Promise<void>((resolve) => tellClosed = resolve);
  await using target = await TestServer.start((socket) => {
    socket.once("close", tellClosed);
    socket.resume().end(new Uint8Array(sent));
  });
  await using tunnel = await pool.connect(server.host(), target.target);
  await tunnel.writable.close();
  await closed;
  let read = 0;
  for await (const chunk of tunnel.readable) read += chunk.length;
  assertEquals(read, sent);
});

Deno.test("ConnectionPool.forward() dials again for the next connection when the SSH connection was lost", async () => {
  await using server = await EmbeddedServer.start();
  await using pool = new ConnectionPool();
  await using target = await TestServer.start();
  await using forward = await pool.forward(server.host(), {
    type: "local",
    listen: 0,
    to: target.target,
  });
  assertEquals(pool.size, 0);
  assertEquals(await exchange(await dialForward(forward), "one"), "one");
  await pool.closeAll();
  assertEquals(await exchange(await dialForward(forward), "two"), "two");
  assertEquals(server.accepted, 2);
});

Deno.test("ConnectionPool.close() ends the forwards and their connections", async () => {
  await using server = await EmbeddedServer.start();
  const pool = new ConnectionPool();
  await using target = await TestServer.start();
  const options = { type: "local", listen: 0, to: target.target } as const;
  const forward = await pool.forward(server.host(), options);
  const client = await dialForward(forward);
  client.write("x");
  await new Promise((resolve) => client.once("data", resolve));
  await pool.close();
  assertEquals(await forward.closed, { kind: "local" });
  assertEquals(await ended(client), true);
  await assertRejects(
    () => pool.forward(server.host(), options),
    PoolClosedError,
  );
});

Deno.test("ConnectionPool.close() ends a forward that was being set up", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const pool = new ConnectionPool({ connector: new MemoryConnector() });
    const listen = `${dir}/socket`;
    const started = pool.forward("ops@gate", {
      type: "local",
      listen,
      to: "db:1",
    });
    const closed = pool.close();
    await assertRejects(() => started, PoolClosedError);
    await closed;
    await assertRejects(() => Deno.lstat(listen), Deno.errors.NotFound);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test({
  name:
    "ConnectionPool.forward() of the host's port is set up again when the SSH connection was lost",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    await using pool = new ConnectionPool();
    await using target = await TestServer.start();
    await using forward = await pool.forward(sshd.host(), {
      type: "remote",
      listen: 0,
      to: target.target,
    });
    const { address } = forward;
    assertEquals(await exchange(await dialForward(forward), "one"), "one");
    await pool.closeAll();
    let answer: string | undefined;
    for (let i = 0; i < 100 && answer !== "two"; i++) {
      answer = await dialForward(forward).then(
        (client) => exchange(client, "two"),
      ).catch(() => undefined);
      if (answer !== "two") await new Promise((r) => setTimeout(r, 50));
    }
    assertEquals(answer, "two");
    assertEquals(forward.address, address);
  },
});

Deno.test({
  name:
    "Forward.close() of the host's port lets go a target that does not answer",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    await using pool = new ConnectionPool();
    await using hole = await startBlackHole();
    const forward = await pool.forward(sshd.host(), {
      type: "remote",
      listen: 0,
      to: { hostname: hole.hostname, port: hole.port },
    });
    const client = await dialForward(forward);
    const clientEnded = ended(client);
    while (forward.connections === 0) await new Promise((r) => setTimeout(r));
    await forward.close();
    // That no connection is being made any more the sanitizers see.
    assertEquals(forward.connections, 0);
    await clientEnded;
  },
});

Deno.test("ConnectionPool.forward() of the host's port leaves nothing on the signal when it cannot be set up", async () => {
  await using server = await EmbeddedServer.start();
  await using taken = await TestServer.start();
  await using pool = new ConnectionPool();
  const { signal } = new AbortController();
  await assertRejects(
    () =>
      pool.forward(server.host(), {
        type: "remote",
        listen: taken.port,
        to: "127.0.0.1:9",
        signal,
      }),
    ForwardError,
  );
  assertEquals(getEventListeners(signal, "abort"), []);
});

Deno.test("ConnectionPool.forward() refuses options that make no sense, before it listens", async () => {
  await using server = await EmbeddedServer.start();
  await using pool = new ConnectionPool();
  const local = { type: "local", listen: 0, to: "db:1" };
  for (
    const [options, message] of [
      [
        undefined,
        'type is undefined, must be "local" or "dynamic" or "remote"',
      ],
      [{ ...local, type: "udp" }, 'type is "udp"'],
      [{ ...local, maxConnections: NaN }, "maxConnections is NaN"],
      [{ ...local, maxConnection: 5 }, 'there is no option "maxConnection"'],
      [{ ...local, onError: 5 }, "onError is 5, must be a function"],
      [
        { type: "dynamic", listen: 0, handshakeTimeoutMs: NaN },
        "handshakeTimeoutMs is NaN",
      ],
    ] as const
  ) {
    const error = await assertRejects(() =>
      pool.forward(server.host(), options as unknown as ForwardOptions)
    );
    assert(error instanceof TypeError || error instanceof RangeError);
    assertMatch(error.message, new RegExp(`^Cannot forward: ${message}`));
  }
});

Deno.test("ConnectionPool.forward() of the host's port ends for good when the host refuses the login", async () => {
  const memory = new MemoryConnector();
  const refusal = new AuthenticationError("no", { host: "ops@gate" });
  let refused = 0;
  let refuses = false;
  const connector: Connector = {
    connect(host, options) {
      if (!refuses) return memory.connect(host, options);
      refused++;
      return Promise.reject(refusal);
    },
  };
  await using pool = new ConnectionPool({ connector, config: false });
  const errors: unknown[] = [];
  await using forward = await pool.forward("ops@gate", {
    type: "remote",
    listen: 8080,
    to: "127.0.0.1:9",
    onError: (error) => errors.push(error),
  });
  refuses = true;
  await pool.closeAll();
  const end = await forward.closed;
  assertEquals(end, { kind: "failed", error: refusal });
  assertEquals([refused, errors.length], [1, 1]);
});
