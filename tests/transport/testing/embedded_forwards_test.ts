/** The forwards of EmbeddedServer, which a client of bare ssh2 asks for. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
// @ts-types="@types/ssh2"
import type { Channel, Client, ClientChannel } from "ssh2";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { until } from "../../kit/until.ts";
import { ask, login, run, withServer } from "./_peer.ts";

/** A server that answers, once all of a connection has come, with how much it was. */
async function startCounter(path?: string) {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (chunk) => bytes += chunk.length);
    socket.on("end", () => socket.end(String(bytes)));
  });
  await new Promise<void>((resolve) =>
    path === undefined
      ? server.listen(0, "127.0.0.1", resolve)
      : server.listen({ path }, resolve)
  );
  return {
    port: (server.address() as AddressInfo).port,
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Callback<T> = (error?: Error | null, value?: T) => void;

function called<T>(call: (callback: Callback<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) =>
    call((error, value) => error ? reject(error) : resolve(value!))
  );
}

const forwardOut = (client: Client, port: number, host = "127.0.0.1") =>
  called<ClientChannel>((done) =>
    client.forwardOut("127.0.0.1", 1, host, port, done)
  );
const forwardIn = (client: Client, port: number, host = "localhost") =>
  called<number>((done) => client.forwardIn(host, port, done));

/** Sends much, then its end of file, and gives the answer. */
async function count(channel: ClientChannel, bytes: number): Promise<string> {
  let answer = "";
  channel.on("data", (chunk: Uint8Array) => answer += chunk.toString());
  const closed = new Promise((resolve) => channel.once("close", resolve));
  channel.end(new Uint8Array(bytes));
  await closed;
  return answer;
}

/** Answers each connection of a forward with what it has sent. */
function echoAll(client: Client): void {
  const answer = (_: unknown, accept: () => Channel) => {
    const channel = accept();
    let text = "";
    channel.on("data", (chunk: Uint8Array) => text += chunk.toString());
    channel.on("end", () => channel.end(`you said ${text}`));
  };
  client.on("tcp connection", answer);
  client.on("unix connection", answer);
}

async function inFolder(fn: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await fn(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("EmbeddedServer forwards to a port, and each direction ends by itself", () =>
  withServer({}, async (server, { client }) => {
    await using target = await startCounter();
    const channel = await forwardOut(client, target.port);
    // More than the window, so that the end of file has to wait its turn.
    assertEquals(await count(channel, 5_000_000), "5000000");
    await until(() => target.open.size === 0);
    assertEquals([server.forwards, server.sessions, server.live], [1, 0, 1]);
  }));

Deno.test("EmbeddedServer forwards to a unix socket", () =>
  inFolder((dir) =>
    withServer({}, async (_server, { client }) => {
      const path = join(dir, "target.sock");
      await using _target = await startCounter(path);
      const channel = await called<ClientChannel>((done) =>
        client.openssh_forwardOutStreamLocal(path, done)
      );
      assertEquals(await count(channel, 100), "100");
      const none = called((done) =>
        client.openssh_forwardOutStreamLocal(join(dir, "none"), done)
      );
      assertEquals(await reasonOf(none), 2);
    })
  ));

Deno.test("EmbeddedServer closes the target when the client closes or is lost", () =>
  withServer({}, async (_server, { client, socket }) => {
    await using target = await startCounter();
    const first = await forwardOut(client, target.port);
    await forwardOut(client, target.port);
    await until(() => target.open.size === 2);
    first.close();
    await until(() => target.open.size === 1);
    client.removeAllListeners("error");
    client.on("error", () => {});
    socket.destroy();
    await until(() => target.open.size === 0);
  }));

Deno.test("EmbeddedServer leaves a target that goes on when the client has closed", () =>
  withServer({}, async (_server, { client }) => {
    const target = createServer({ allowHalfOpen: true });
    const taken = new Promise<Socket>((resolve) =>
      target.once("connection", resolve)
    );
    await new Promise<void>((resolve) =>
      target.listen(0, "127.0.0.1", resolve)
    );
    const { port } = target.address() as AddressInfo;
    const channel = await forwardOut(client, port);
    const socket = await taken;
    let isClosed = false;
    socket.on("error", () => {}).on("close", () => isClosed = true);
    channel.close();
    socket.resume();
    await until(() => {
      // Whoever writes to what is closed hears of it.
      if (!isClosed) socket.write("more");
      return isClosed;
    });
    await new Promise((resolve) => target.close(resolve));
  }));

Deno.test("EmbeddedServer listens on a port that it chooses, until it is cancelled", () =>
  withServer({}, async (server, { client }) => {
    echoAll(client);
    const port = await forwardIn(client, 0);
    const to = { host: "127.0.0.1", port };
    assertEquals(await ask(to, "one"), "you said one");
    assertEquals(await ask(to, "two"), "you said two");
    assertEquals(server.forwards, 2);
    // The port is taken.
    await assertRejects(() => forwardIn(client, port));
    await called((done) => client.unforwardIn("localhost", port, done));
    // Another program may listen there by now.
    const answer = await ask(to, "three").catch(() => "nothing");
    assertNotEquals(answer, "you said three");
    assertEquals(server.forwards, 2);
    await assertRejects(() =>
      called((done) => client.unforwardIn("localhost", port, done))
    );
    assertEquals(await forwardIn(client, port), port);
    assertEquals(await ask(to, "four"), "you said four");
  }));

Deno.test("EmbeddedServer closes the channel of a connection that was reset before the client took it", () =>
  withServer({}, async (_server, { client }) => {
    const held: (() => Channel)[] = [];
    client.once("tcp connection", (_, accept) => held.push(accept));
    const port = await forwardIn(client, 0);
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", () => {});
    await until(() => held.length === 1);
    socket.resetAndDestroy();
    // The server has seen it once it has served somebody else.
    echoAll(client);
    await ask({ host: "127.0.0.1", port }, "one");
    let isClosed = false;
    held[0]!().once("close", () => isClosed = true).resume();
    await until(() => isClosed);
  }));

Deno.test("EmbeddedServer listens on loopback addresses alone", () =>
  withServer({}, async (_server, { client }) => {
    echoAll(client);
    const port = await forwardIn(client, 0, "0.0.0.0");
    assertEquals(
      await ask({ host: "127.0.0.1", port }, "a"),
      "you said a",
    );
    const all = Object.values(Deno.networkInterfaces())
      .filter(({ family, address }) =>
        family === "IPv4" && !address.startsWith("127.")
      );
    for (const { address: host } of all) {
      await assertRejects(() => ask({ host, port }, "a"));
    }
  }));

Deno.test("EmbeddedServer listens on a unix socket of mode 0600, which it removes", () =>
  inFolder((dir) =>
    withServer({}, async (_server, { client }) => {
      echoAll(client);
      const path = join(dir, "listen.sock");
      await called((done) => client.openssh_forwardInStreamLocal(path, done));
      assertEquals((await stat(path)).mode & 0o777, 0o600);
      assertEquals(await ask({ path }, "one"), "you said one");
      await assertRejects(() =>
        called((done) => client.openssh_forwardInStreamLocal(path, done))
      );
      await called((done) => client.openssh_unforwardInStreamLocal(path, done));
      assert(!existsSync(path));
    })
  ));

Deno.test("EmbeddedServer stops listening with the connection, and with close()", () =>
  inFolder(async (dir) => {
    const server = await EmbeddedServer.start();
    const path = join(dir, "listen.sock");
    const ports: number[] = [];
    for (let i = 0; i < 2; i++) {
      await using peer = await login(server);
      ports.push(await forwardIn(peer.client, 0));
      const held = connect({ host: "127.0.0.1", port: ports[i]! });
      held.on("error", () => {});
      await new Promise((resolve) => held.once("connect", resolve));
      const closed = new Promise((resolve) => held.once("close", resolve));
      if (i === 1) {
        await called((done) =>
          peer.client.openssh_forwardInStreamLocal(path, done)
        );
        peer.client.removeAllListeners("error").on("error", () => {});
        await server.close();
        assert(!existsSync(path));
      } else {
        peer.socket.destroy();
        await until(() => server.live === 0);
      }
      held.resume();
      await closed;
      const to = { host: "127.0.0.1", port: ports[i]! };
      const error = await assertRejects(() => ask(to, "a"), Error);
      assertMatch(error.message, /ECONNREFUSED|ECONNRESET/);
    }
  }));

async function reasonOf(refused: Promise<unknown>): Promise<unknown> {
  const error = await assertRejects(() => refused);
  return (error as Error & { reason?: number }).reason;
}

Deno.test("EmbeddedServer refuses to connect and to listen with refuseForwards", () =>
  withServer({ refuseForwards: true }, async (server, { client }) => {
    await using target = await startCounter();
    assertEquals(await reasonOf(forwardOut(client, target.port)), 2);
    await assertRejects(() => forwardIn(client, 0));
    server.options.refuseForwards = false;
    assertEquals(await count(await forwardOut(client, target.port), 3), "3");
    assert(await forwardIn(client, 0) > 0);
    assertEquals((await run(client, "true")).code, 0);
  }));
