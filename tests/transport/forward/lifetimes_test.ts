// What must not outlive its owner: clients, tunnels and listeners that cross the
// end of their forward.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { Server } from "node:net";
import type {
  Connection,
  RemoteListener,
  Tunnel,
} from "../../../transport/connector.ts";
import { ForwardError } from "../../../transport/forward/errors.ts";
import { connectTarget } from "../../../transport/forward/connect_target.ts";
import {
  listenLocal,
  type OpenTunnel,
} from "../../../transport/forward/listen.ts";
import { RemoteForward } from "../../../transport/forward/remote.ts";
import { dial, dialForward, openPlain, TestServer } from "./_kit.ts";

const NOWHERE = { listen: 0, to: "127.0.0.1:1" };

/** A forward, and the server that listens for it. */
async function listen(open: OpenTunnel) {
  const original = Server.prototype.listen;
  let server: Server | undefined;
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    server = this;
    return Reflect.apply(original, this, args);
  } as typeof original;
  try {
    const starting = listenLocal(open, NOWHERE);
    Server.prototype.listen = original;
    const forward = await starting;
    assert(server !== undefined);
    return { forward, server };
  } finally {
    Server.prototype.listen = original;
  }
}

/** A tunnel without an end of its own, which counts how often it is closed. */
function countedTunnel(): Tunnel & { closings: number } {
  let end!: () => void;
  const closed = new Promise<void>((resolve) => end = resolve);
  return {
    readable: new ReadableStream(),
    writable: new WritableStream(),
    closed,
    closings: 0,
    close() {
      this.closings++;
      end();
    },
  };
}

/** A port of 127.0.0.1 at which nobody listens. */
async function closedPort() {
  const server = await TestServer.start();
  const { target } = server;
  await server[Symbol.asyncDispose]();
  return target;
}

Deno.test("a listener that closes resets a client that arrives late, and opens nothing for it", async () => {
  await using echo = await TestServer.start();
  let opened = 0;
  const { forward, server } = await listen(() => {
    opened++;
    return openPlain(echo.target);
  });
  const late = await dial(echo.target);
  const closing = forward.close();
  server.emit("connection", late);
  const wasReset = late.destroyed;
  late.destroy();
  await closing;
  assertEquals([opened, wasReset, forward.connections], [0, true, 0]);
});

Deno.test("close() of a listener waits for what its clients have begun", async () => {
  await using echo = await TestServer.start();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: end, resolve: release } = Promise.withResolvers<void>();
  const { forward, server } = await listen(async () => {
    begin();
    await end;
    return await openPlain(echo.target);
  });
  const client = await dialForward(forward);
  await begun;
  const gone = Promise.all(
    [client, server].map((it) =>
      new Promise<void>((resolve) => it.once("close", () => resolve()))
    ),
  );
  let isClosed = false;
  const closing = forward.close().then(() => isClosed = true);
  client.resume();
  await gone;
  for (let turn = 0; turn < 20; turn++) await null;
  assertEquals([isClosed, forward.connections], [false, 1]);
  release();
  await closing;
  assertEquals(forward.connections, 0);
});

Deno.test("listenLocal() rejects with the reason of a signal that aborts while it starts", async () => {
  const controller = new AbortController();
  const reason = new EvalError("changed my mind");
  const { signal } = controller;
  const starting = listenLocal(openPlain, { ...NOWHERE, signal });
  controller.abort(reason);
  const error = await assertRejects(() => starting, EvalError);
  assertStrictEquals(error, reason);
});

Deno.test("connectTarget() closes its tunnel when the target cannot be reached", async () => {
  const tunnel = countedTunnel();
  const target = await closedPort();
  await assertRejects(() => connectTarget(tunnel, target), ForwardError);
  assertEquals(tunnel.closings, 1);
});

/** A host that lets the test answer each request to listen. */
class Host {
  readonly asked: PromiseWithResolvers<RemoteListener>[] = [];
  onAsk: () => void = () => {};
  handOver: (tunnel: Tunnel) => void = () => {};

  readonly connection = {
    forwardIn: (_listen: unknown, onConnection: (tunnel: Tunnel) => void) => {
      this.handOver = onConnection;
      const answer = Promise.withResolvers<RemoteListener>();
      this.asked.push(answer);
      this.onAsk();
      return answer.promise;
    },
  } as unknown as Connection;

  /** Starts a forward through the host, which listens. */
  async start() {
    const first = new HostListener();
    const starting = RemoteForward.start({
      get: () => Promise.resolve(this.connection),
      listen: first.address,
      to: { hostname: "127.0.0.1", port: 1 },
      options: {},
      isFinal: () => false,
    });
    await this.untilAsked(1);
    this.asked[0]!.resolve(first);
    return { forward: await starting, first };
  }

  /** Waits until the host was asked so often. */
  async untilAsked(times: number): Promise<void> {
    while (this.asked.length < times) {
      await new Promise<void>((resolve) => this.onAsk = resolve);
    }
  }
}

class HostListener implements RemoteListener {
  readonly address = { hostname: "127.0.0.1", port: 4000 };
  closings = 0;
  readonly #end = Promise.withResolvers<void>();
  readonly closed = this.#end.promise;

  /** Ends it as if its connection had ended. */
  lose(): void {
    this.#end.resolve();
  }

  close(): Promise<void> {
    this.closings++;
    this.#end.resolve();
    return Promise.resolve();
  }
}

Deno.test("RemoteForward closes a listener that the host grants after close()", async () => {
  const host = new Host();
  const { forward, first } = await host.start();
  first.lose();
  await host.untilAsked(2);
  await forward.close();
  const late = new HostListener();
  host.asked[1]!.resolve(late);
  for (let turn = 0; turn < 20; turn++) await null;
  assertEquals(late.closings, 1);
  assertEquals(host.asked.length, 2);
});

Deno.test("RemoteForward closes a tunnel that the host hands over after close()", async () => {
  const host = new Host();
  const { forward } = await host.start();
  await forward.close();
  const tunnel = countedTunnel();
  host.handOver(tunnel);
  assertEquals([tunnel.closings, forward.connections], [1, 0]);
});
