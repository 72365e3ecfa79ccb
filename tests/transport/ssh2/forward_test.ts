import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Tunnel } from "../../../transport/connector.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
  DialError,
} from "../../../transport/errors.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { until } from "../../kit/until.ts";
import { connect, embeddedTest, rejection, sshdTest } from "./_kit.ts";

const HOSTNAME = "127.0.0.1";

/** A TCP server to lead tunnels to. */
async function startTarget(onSocket: (socket: Socket) => void) {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, HOSTNAME, resolve));
  return {
    address: {
      hostname: HOSTNAME,
      port: (server.address() as AddressInfo).port,
    },
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

embeddedTest(
  "Connection.forwardOut() rejects when the server refuses, with its reason",
  { refuseForwards: true },
  async (connection) => {
    const error = await rejection(
      connection.forwardOut!({ hostname: HOSTNAME, port: 1 }),
    );
    assertInstanceOf(error, ChannelOpenError);
    assert(error.reason > 0);
    assertEquals(error.mayHaveRun, false);
  },
);

sshdTest(
  "Connection.forwardOut() rejects when the target refuses, with reason 2",
  async (connection) => {
    const target = await startTarget(() => {});
    await target[Symbol.asyncDispose]();
    const error = await rejection(connection.forwardOut!(target.address));
    assertInstanceOf(error, ChannelOpenError);
    assertEquals(error.reason, 2);
    assertEquals((await connection.exec("true")).code, 0);
  },
);

embeddedTest(
  "Connection.forwardOut() says what the reason means when the server gives no text",
  { refuseForwards: true },
  async (connection) => {
    const target = { hostname: HOSTNAME, port: 1 };
    assertMatch(
      String(await rejection(connection.forwardOut!(target))),
      /with reason 2: connect failed$/,
    );
  },
);

embeddedTest(
  "Connection.forwardOut() rejects with the reason of an abort",
  {},
  async (connection) => {
    await using target = await startTarget(() => {});
    const reason = new Error("enough");
    const before = connection.forwardOut!(target.address, {
      signal: AbortSignal.abort(reason),
    });
    assertStrictEquals(await rejection(before), reason);
    const controller = new AbortController();
    const opening = connection.forwardOut!(target.address, {
      signal: controller.signal,
    });
    controller.abort(reason);
    assertStrictEquals(await rejection(opening), reason);
    await until(() => target.open.size === 0);
  },
);

sshdTest(
  "Tunnel ends for its reader when the target closes",
  async (connection) => {
    await using target = await startTarget((socket) => socket.end("bye"));
    const tunnel = await connection.forwardOut!(target.address);
    assertEquals(await new Response(tunnel.readable).text(), "bye");
    tunnel.close();
    await tunnel.closed;
  },
);

sshdTest(
  "Tunnel is half closed by its writer, and still reads",
  async (connection) => {
    await using target = await startTarget((socket) => {
      let size = 0;
      socket.on("data", (chunk) => size += chunk.length);
      socket.on("end", () => socket.end(String(size)));
    });
    const tunnel = await connection.forwardOut!(target.address);
    const answer = new Response(tunnel.readable).text();
    const writer = tunnel.writable.getWriter();
    await writer.write(new Uint8Array(3_000_000));
    await writer.close();
    assertEquals(await answer, "3000000");
    tunnel.close();
  },
);

embeddedTest(
  "Tunnel.close() leaves nothing at the target",
  {},
  async (connection) => {
    await using target = await startTarget((socket) => void socket.resume());
    const tunnel = await connection.forwardOut!(target.address);
    await until(() => target.open.size === 1);
    tunnel.close();
    await tunnel.closed;
    await until(() => [...target.open].every((socket) => socket.readableEnded));
  },
);

sshdTest(
  "Connection through two hops carries 2 MB each way, and names the dead one",
  async (first, sshd) => {
    const target = { hostname: HOSTNAME, port: sshd.port };
    const second = await connect(sshd.host(), {
      tunnel: await first.forwardOut!(target),
    });
    const third = await connect(sshd.host(), {
      tunnel: await second.forwardOut!(target),
    });
    const stdin = new Uint8Array(2_000_000).fill(7);
    const { stdout } = await third.exec("cat", { stdin, encoding: "bytes" });
    assertEquals(stdout, stdin);
    const running = rejection(third.exec("sleep 60"));
    await third.exec("true");
    await first.close();
    const error = await running;
    assertInstanceOf(error, ConnectionLostError);
    for (const connection of [second, third]) {
      assert((await connection.closed).kind !== "local");
      await connection.close();
    }
  },
);

sshdTest(
  "Connection closes its tunnel with itself, and with a dial that fails",
  async (hop, sshd) => {
    const target = { hostname: HOSTNAME, port: sshd.port };
    const used = await hop.forwardOut!(target);
    const inner = await connect(sshd.host(), { tunnel: used });
    await inner.close();
    await used.closed;
    const wrong = await hop.forwardOut!(target);
    const error = await rejection(connect(
      sshd.host({ hostKey: `SHA256:${"A".repeat(43)}` }),
      { tunnel: wrong },
    ));
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "hostkey");
    await wrong.closed;
    assertEquals((await hop.exec("true")).code, 0);
  },
);

sshdTest(
  "Connection runs over a tunnel that somebody else made",
  async (hop, sshd) => {
    const own = await hop.forwardOut!({ hostname: HOSTNAME, port: sshd.port });
    let closes = 0;
    const foreign: Tunnel = {
      readable: own.readable,
      writable: own.writable,
      closed: own.closed,
      close() {
        closes++;
        own.close();
      },
    };
    const inner = await connect(sshd.host(), { tunnel: foreign });
    assertEquals((await inner.exec("echo hop")).stdout, "hop\n");
    await inner.close();
    await own.closed;
    assert(closes > 0);
  },
);

Deno.test("Connection through a frozen hop is lost when the hop is", async () => {
  await using gate = await EmbeddedServer.start();
  await using server = await EmbeddedServer.start();
  await using hop = await connect(gate.host(), {
    keepaliveIntervalMs: 300,
    keepaliveCountMax: 2,
  });
  const tunnel = await hop.forwardOut!(server);
  await using inner = await connect(server.host(), {
    tunnel,
    keepaliveIntervalMs: 0,
  });
  const running = rejection(inner.exec("sleep 9"));
  await inner.exec("true");
  gate.freeze();
  assertInstanceOf(await running, ConnectionLostError);
  const reason = await inner.closed;
  assertEquals(reason.kind, "lost");
  assert(reason.kind === "lost" && reason.cause instanceof ConnectionLostError);
  gate.thaw();
});
