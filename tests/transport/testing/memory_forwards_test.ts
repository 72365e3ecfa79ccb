import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import type { Tunnel } from "../../../transport/connector.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import type { ForwardTarget } from "../../../transport/host/target.ts";
import { ForwardError } from "../../../transport/forward/errors.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";

const host = { hostname: "gate", port: 22, user: "ops" };
const db = { hostname: "db", port: 5432 };
const encode = (text: string) => new TextEncoder().encode(text);
const textOf = ({ readable }: Tunnel) => new Response(readable).text();

async function send(tunnel: Tunnel, text: string): Promise<void> {
  const writer = tunnel.writable.getWriter();
  await writer.write(encode(text));
  await writer.close();
}

Deno.test("MemoryConnection.forwardOut() reaches scripted targets, ports and unix sockets", async () => {
  const connector = new MemoryConnector({
    targets: {
      "db:5432": async ({ readable, writable, target, host }) => {
        const asked = await new Response(readable).text();
        const writer = writable.getWriter();
        await writer.write(encode(`${asked} to ${target} through ${host}`));
      },
      "/run/app.sock": async ({ writable }) => {
        await writable.getWriter().write(encode("unix"));
      },
    },
  });
  await using connection = await connector.connect(host);
  const tunnel = await connection.forwardOut(db);
  await send(tunnel, "select 1");
  assertEquals(
    await textOf(tunnel),
    "select 1 to db:5432 through ops@gate:22",
  );
  await tunnel.closed;
  const unix = await connection.forwardOut({ path: "/run/app.sock" });
  assertEquals(await textOf(unix), "unix");
  assertEquals(connection.forwards, ["db:5432", "/run/app.sock"]);
  assertEquals(
    connector.calls.map(({ kind, target }) => [kind, target]),
    [["forwardOut", "db:5432"], ["forwardOut", "/run/app.sock"]],
  );
});

Deno.test("MemoryConnection.forwardOut() is refused where no target is, and names the near one", async () => {
  const connector = new MemoryConnector({ targets: { "db:5432": () => {} } });
  await using connection = await connector.connect(host);
  const error = await assertRejects(
    () => connection.forwardOut({ hostname: "db", port: 5433 }),
    ChannelOpenError,
    "connect failed: it is not in the option `targets`, did you mean " +
      '"db:5432"?',
  );
  assertEquals(error.reason, 2);
  connector.options.targets = (target) =>
    target === "db:1" ? () => {} : undefined;
  (await connection.forwardOut({ hostname: "db", port: 1 })).close();
  await assertRejects(() => connection.forwardOut(db), ChannelOpenError);
  connector.options.targets = { "*": () => {} };
  (await connection.forwardOut(db)).close();
});

Deno.test("a target that throws breaks its forward off, and its signal tells of the end", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const connector = new MemoryConnector({
    targets: {
      "db:5432": () => {
        throw new Error("crashed");
      },
      "db:1": async ({ signal }) => {
        await new Promise((resolve) => signal.onabort = resolve);
        resolve();
      },
    },
  });
  await using connection = await connector.connect(host);
  const broken = await connection.forwardOut(db);
  await assertRejects(() => textOf(broken), Error, "crashed");
  await broken.closed;
  const open = await connection.forwardOut({ hostname: "db", port: 1 });
  open.close();
  await ended;
});

Deno.test("a forward that is ahead of its reader waits, and its end comes after what was sent", async () => {
  await using connection = await new MemoryConnector().connect(host);
  const tunnel = await connection.forwardOut(db);
  const writer = tunnel.writable.getWriter();
  const megabyte = new Uint8Array(1024 * 1024);
  let written = 0;
  const writing = (async () => {
    for (let i = 0; i < 8; i++) {
      await writer.write(megabyte);
      written++;
    }
    await writer.close();
  })();
  await new Promise((resolve) => setTimeout(resolve));
  assert(written < 4, `${written} MiB are held`);
  const { byteLength } = await new Response(tunnel.readable).arrayBuffer();
  assertEquals(byteLength, 8 * megabyte.length);
  await writing;
  await tunnel.closed;
});

Deno.test("MemoryConnection.forwardOut() breaks off with its connection", async () => {
  const connection = await new MemoryConnector().connect(host);
  const tunnel = await connection.forwardOut(db);
  const reading = textOf(tunnel);
  connection.drop("cable cut");
  await assertRejects(() => reading, ConnectionLostError, "cable cut");
  await tunnel.closed;
});

Deno.test("MemoryConnection.forwardIn() gives a tunnel for each forward to its address", async () => {
  const connector = new MemoryConnector();
  await using connection = await connector.connect(host);
  await using other = await connector.connect({ ...host, user: "eve" });
  const listener = await connection.forwardIn(
    { hostname: "127.0.0.1", port: 0 },
    (tunnel) => void tunnel.readable.pipeTo(tunnel.writable),
  );
  const { address } = listener;
  assert("port" in address && address.port > 0);
  for (const from of [connection, other]) {
    const tunnel = await from.forwardOut(address);
    await send(tunnel, "through the host");
    assertEquals(await textOf(tunnel), "through the host");
  }
  await assertRejects(
    () => other.forwardIn(address, () => {}),
    ForwardError,
    `Cannot listen on "127.0.0.1:${address.port}" of "eve@gate:22": the ` +
      "server refused",
  );
  await listener.close();
  await listener.closed;
  connector.options.targets = {};
  await assertRejects(() => other.forwardOut(address), ChannelOpenError);
});

Deno.test("MemoryConnection.forwardIn() ends with its connection, tunnels and all", async () => {
  const connector = new MemoryConnector({ targets: {} });
  const connection = await connector.connect(host);
  await using other = await connector.connect(host);
  const listen = { path: "/run/app.sock" };
  const taken: Tunnel[] = [];
  const listener = await connection.forwardIn(listen, (it) => taken.push(it));
  const tunnel = await other.forwardOut(listen);
  connection.drop();
  await listener.closed;
  await taken[0]!.closed;
  await tunnel.closed;
  await assertRejects(() => other.forwardOut(listen), ChannelOpenError);
  await listener.close();
});

Deno.test("MemoryConnection.forwardIn() closes the tunnel when its callback throws", async () => {
  await using connection = await new MemoryConnector().connect(host);
  const listen = { path: "/run/app.sock" };
  await connection.forwardIn(listen, () => {
    throw new Error("not me");
  });
  const tunnel = await connection.forwardOut(listen);
  assertEquals(await textOf(tunnel), "");
  await tunnel.closed;
});

Deno.test("MemoryConnection.forwardIn() asks onListen, and can be aborted", async () => {
  const connector = new MemoryConnector({
    onListen: () => new Error("not permitted"),
  });
  await using connection = await connector.connect(host);
  await assertRejects(
    () => connection.forwardIn(db, () => {}),
    ForwardError,
    "not permitted",
  );
  connector.options.onListen = () => "never";
  const controller = new AbortController();
  const { signal } = controller;
  const listening = connection.forwardIn(db, () => {}, { signal });
  controller.abort(new Error("enough"));
  await assertRejects(() => listening, Error, "enough");
});

Deno.test("MemoryConnector carries the forwards of a pool", async () => {
  const connector = new MemoryConnector();
  await using pool = new ConnectionPool({ connector, config: false });
  const tunnel = await pool.connect("ops@gate", "db:5432");
  await send(tunnel, "echo");
  assertEquals(await textOf(tunnel), "echo");
  await using server = Deno.serve(
    { port: 0, onListen() {} },
    () => new Response("from here"),
  );
  await using forward = await pool.forward("ops@gate", {
    type: "remote",
    listen: "127.0.0.1:8080",
    to: `127.0.0.1:${server.addr.port}`,
  });
  const request = await pool.connect("ops@gate", "127.0.0.1:8080");
  await send(request, "GET / HTTP/1.0\r\n\r\n");
  const answer = await textOf(request);
  assert(answer.endsWith("from here"), answer);
  await forward.close();
});

Deno.test("MemoryConnection refuses a target with a field that there is none", async () => {
  const connector = new MemoryConnector();
  await using connection = await connector.connect(host);
  const calls = [
    () => connection.forwardOut({ ...db, prt: 1 } as ForwardTarget),
    () => connection.forwardIn({ ...db, prt: 1 } as ForwardTarget, () => {}),
  ];
  for (const call of calls) {
    await assertRejects(
      call,
      TypeError,
      'there is no field "prt", did you mean "port"?',
    );
  }
  assertEquals(connector.calls, []);
});
