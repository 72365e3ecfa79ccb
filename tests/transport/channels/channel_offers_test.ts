/** Connections that a host asks for, over a transport in memory. */

import {
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import type { Connection, Tunnel } from "../../../transport/connector.ts";
import { RemoteForwards } from "../../../transport/channels/_remote_forward.ts";
import * as wire from "../../../transport/channels/_wire.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { RemoteForward } from "../../../transport/forward/remote.ts";
import { streamOfTunnel } from "../../../transport/forward/tunnel_stream.ts";
import type { ForwardTarget } from "../../../transport/host/target.ts";
import { startBlackHole } from "../../kit/black_hole.ts";
import { until } from "../../kit/until.ts";
import { FakeTime, flush } from "../../pool/_kit.ts";
import { TestServer } from "../forward/_kit.ts";
import { fieldsOf, memoryTable } from "./_memory_transport.ts";

const LISTEN = { hostname: "127.0.0.1", port: 4000 };

/** A host that lets us listen; `client()` is a connection that it takes. */
function listeningHost() {
  const { table, transport, say } = memoryTable();
  const forwards = new RemoteForwards({
    table,
    host: "ops@gate:22",
    lost: (doing) => new ConnectionLostError(doing, { host: "ops@gate:22" }),
    closed: new Promise(() => {}),
  });
  transport.onSend = ([type]) => {
    if (type === wire.GLOBAL_REQUEST) {
      queueMicrotask(() => say(wire.REQUEST_SUCCESS));
    }
  };
  const listen = async (onConnection: (tunnel: Tunnel) => void) => {
    const listener = await forwards.listen(LISTEN, onConnection, undefined);
    transport.taken();
    return listener;
  };
  return {
    table,
    transport,
    say,
    listen,
    client: (id: number) =>
      say(
        wire.CHANNEL_OPEN,
        "forwarded-tcpip",
        ...[id, 2 ** 21, 2 ** 15, "127.0.0.1", 4000, "127.0.0.1", 5000],
      ),
    /** What was refused since the last look: each number, and the reason. */
    refused: () =>
      transport.sent.splice(0).map((payload) => {
        assertEquals(payload[0], wire.CHANNEL_OPEN_FAILURE);
        const fields = fieldsOf(payload);
        return [fields.uint32(), fields.uint32()];
      }),
    /** A forward of its port to a target on this side. */
    async forward(to: ForwardTarget, onError: (error: unknown) => void) {
      return await RemoteForward.start({
        get: () =>
          Promise.resolve(
            {
              forwardIn: (_: unknown, take: (tunnel: Tunnel) => void) =>
                listen(take),
            } as unknown as Connection,
          ),
        listen: LISTEN,
        to,
        options: { onError },
        isFinal: () => false,
      });
    },
  };
}

for (
  const [way, take] of [
    ["node stream is", (it: Tunnel) => void streamOfTunnel(it)],
    ["readable stream is", (it: Tunnel) => void it.readable],
    ["writable stream is", (it: Tunnel) => void it.writable],
  ] as const
) {
  Deno.test(`Connection.forwardIn() opens a connection of the host when its ${way} asked for, once`, async () => {
    const host = listeningHost();
    const tunnels: Tunnel[] = [];
    const listener = await host.listen((tunnel) => void tunnels.push(tunnel));
    host.client(7);
    // It could say nothing yet: it has no number of ours.
    assertEquals(host.transport.taken(), []);
    take(tunnels[0]!);
    take(tunnels[0]!);
    const confirmed = fieldsOf(host.transport.sent[0]);
    assertEquals(confirmed.uint32(), 7);
    assertEquals(host.transport.taken(), [wire.CHANNEL_OPEN_CONFIRMATION]);
    tunnels[0]!.close();
    assertEquals(host.transport.taken(), [wire.CHANNEL_CLOSE]);
    host.say(wire.CHANNEL_CLOSE, 0);
    await tunnels[0]!.closed;
    await listener.close();
    assertEquals(host.transport.isRef, false);
  });
}

Deno.test("Connection.forwardIn() refuses a connection of the host that is closed before its bytes are asked for", async () => {
  const host = listeningHost();
  const listener = await host.listen((tunnel) => {
    tunnel.close();
    tunnel.close();
    streamOfTunnel(tunnel);
  });
  host.client(7);
  assertEquals(host.refused(), [[7, 2]]);
  await listener.close();
});

Deno.test("Connection.forwardIn() answers any number of waiting connections in one turn", async () => {
  const host = listeningHost();
  const tunnels: Tunnel[] = [];
  const listener = await host.listen((tunnel) => void tunnels.push(tunnel));
  for (let id = 0; id < 3000; id++) host.client(id);
  host.transport.unsentBytes = 1;
  for (const tunnel of tunnels) tunnel.close();
  assertEquals([host.refused().length, host.transport.destroyedWith], [
    3000,
    undefined,
  ]);
  await listener.close();
});

Deno.test("Connection.forwardIn() ends a connection that waits with the link to the host, and says nothing more of it", async () => {
  const host = listeningHost();
  const tunnels: Tunnel[] = [];
  await host.listen((tunnel) => void tunnels.push(tunnel));
  host.client(7);
  host.table.end();
  await tunnels[0]!.closed;
  const stream = streamOfTunnel(tunnels[0]!);
  assertInstanceOf(stream.errored, ConnectionLostError);
  assertEquals(host.transport.taken(), []);
});

Deno.test("RemoteForward lets the host send nothing before its target answers, refuses it after 10 s, and goes on", async () => {
  await using hole = await startBlackHole();
  const { hostname, port } = hole;
  using time = new FakeTime();
  const host = listeningHost();
  const errors: unknown[] = [];
  let tell = () => {};
  const forward = await host.forward({ hostname, port }, (error) => {
    errors.push(error);
    tell();
  });
  for (const id of [7, 8]) {
    const told = new Promise<void>((resolve) => tell = resolve);
    host.client(id);
    await time.advance(9_999);
    assertEquals([forward.connections, host.transport.taken()], [1, []]);
    await time.advance(1);
    await told;
    assertStringIncludes(
      String(errors.pop()),
      `Cannot connect to "127.0.0.1:${port}": it did not answer in 10000 ms`,
    );
    await flush();
    assertEquals(host.refused(), [[id, 2]]);
    assertEquals([forward.connections, time.pending], [0, 0]);
  }
  host.client(9);
  await forward.close();
  assertEquals(errors, []);
  assertEquals(host.transport.taken(), [
    wire.CHANNEL_OPEN_FAILURE,
    wire.GLOBAL_REQUEST,
  ]);
});

Deno.test("RemoteForward lets the host send once its target is there", async () => {
  await using target = await TestServer.start();
  const host = listeningHost();
  const errors: unknown[] = [];
  const forward = await host.forward(
    target.target,
    (error) => void errors.push(error),
  );
  host.client(7);
  assertEquals(host.transport.taken(), []);
  await until(() => host.transport.sent.length > 0);
  assertEquals(host.transport.taken(), [wire.CHANNEL_OPEN_CONFIRMATION]);
  host.say(wire.CHANNEL_DATA, 0, "hello");
  await until(() => host.transport.sent.length > 0);
  const echo = fieldsOf(host.transport.sent[0]);
  assertEquals([echo.uint32(), echo.string()], [7, "hello"]);
  await forward.close();
  assertEquals(errors, []);
});
