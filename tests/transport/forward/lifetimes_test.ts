// What must not outlive its owner: clients, tunnels and listeners that cross the
// end of their forward.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { getEventListeners } from "node:events";
import { Server } from "node:net";
import { Duplex } from "node:stream";
import { mock } from "node:test";
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
import {
  setStreamOfTunnel,
  socketOfTunnel,
  streamOfTunnel,
} from "../../../transport/forward/tunnel_stream.ts";
import type { ForwardTarget } from "../../../transport/host/target.ts";
import { startBlackHole } from "../../kit/black_hole.ts";
import { until } from "../../kit/until.ts";
import { FakeTime, flush } from "../../pool/_kit.ts";
import { dial, dialForward, ended, openPlain, TestServer } from "./_kit.ts";

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

/** A tunnel over a stream that ends when the test says so. */
function slowTunnel() {
  const tunnel = countedTunnel();
  const { promise: end, resolve: release } = Promise.withResolvers<void>();
  let destroys = 0;
  const stream = new Duplex({
    read() {},
    write: (_chunk, _encoding, done) => done(),
    destroy: (error, done) => void end.then(() => done(error)),
  });
  const destroy = stream.destroy.bind(stream);
  stream.destroy = (error) => {
    destroys++;
    return destroy(error);
  };
  const close = tunnel.close.bind(tunnel);
  tunnel.close = () => {
    close();
    stream.destroy();
  };
  setStreamOfTunnel(tunnel, () => stream);
  return { tunnel, stream, release, destroys: () => destroys };
}

const turns = async () => {
  for (let turn = 0; turn < 20; turn++) await null;
};

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

Deno.test("a listener closes the tunnel that comes for a client that has hung up", async () => {
  const tunnel = countedTunnel();
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
  const { promise: left, resolve: onLeft } = Promise.withResolvers<void>();
  const { promise: told, resolve: onTold } = Promise.withResolvers<void>();
  await using forward = await listenLocal(async (_to, { signal }) => {
    signal.addEventListener("abort", () => onLeft());
    onAsked();
    await left;
    return tunnel;
  }, { ...NOWHERE, onError: () => onTold() });
  const client = await dialForward(forward);
  await asked;
  client.resetAndDestroy();
  await told;
  assertEquals(tunnel.closings, 1);
});

Deno.test("a listener has nothing more to do with a connection that has ended", async () => {
  const { tunnel, stream, release, destroys } = slowTunnel();
  release();
  const signals: AbortSignal[] = [];
  await using forward = await listenLocal((_to, { signal }) => {
    signals.push(signal);
    return Promise.resolve(tunnel);
  }, NOWHERE);
  const client = await dialForward(forward);
  client.end();
  stream.push(null);
  await ended(client);
  await until(() => forward.connections === 0);
  const before = destroys();
  await forward.close();
  assertEquals(destroys(), before);
  assertEquals(signals.map(({ aborted }) => aborted), [false]);
});

Deno.test("listenLocal() leaves nothing on its signal once it is closed", async () => {
  const { signal } = new AbortController();
  const forward = await listenLocal(openPlain, { ...NOWHERE, signal });
  await forward.close();
  assertEquals(getEventListeners(signal, "abort"), []);
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

Deno.test("connectTarget() has no timer once the target was reached or the tunnel closed", async () => {
  await using server = await TestServer.start();
  await using hole = await startBlackHole();
  const { hostname, port } = hole;
  using time = new FakeTime();
  const { tunnel, stream, release } = slowTunnel();
  let pending: number | undefined;
  const opened = () => {
    pending = time.pending;
    tunnel.close();
  };
  const led = connectTarget(tunnel, server.target, opened);
  assertEquals(time.pending, 1);
  release();
  await led;
  assertEquals([pending, stream.destroyed], [0, true]);
  const closed = countedTunnel();
  const leading = connectTarget(closed, { hostname, port });
  assertEquals(time.pending, 1);
  closed.close();
  await assertRejects(() => leading, ForwardError, "the tunnel was closed");
  assertEquals(time.pending, 0);
});

Deno.test("the node stream of a tunnel that is destroyed lets go of all of it", async () => {
  const gone: string[] = [];
  const tunnel = {
    ...countedTunnel(),
    readable: new ReadableStream<Uint8Array>({
      cancel: () => void gone.push("readable"),
    }),
    writable: new WritableStream<Uint8Array>({
      abort: () => void gone.push("writable"),
    }),
  };
  const stream = streamOfTunnel(tunnel);
  stream.destroy();
  await new Promise((resolve) => stream.once("close", resolve));
  await turns();
  assertEquals([gone.toSorted(), tunnel.closings], [
    ["readable", "writable"],
    1,
  ]);
});

Deno.test("socketOfTunnel() tells of its connection after connect(), to whom listens by then", async () => {
  const { tunnel, release } = slowTunnel();
  release();
  const socket = socketOfTunnel(tunnel) as Duplex & { connect(): Duplex };
  const connected = new Promise<void>((resolve) =>
    void socket.connect().once("connect", resolve)
  );
  await connected;
  assertStrictEquals(socketOfTunnel(tunnel), socket);
  socket.destroy();
});

/** A host that lets the test answer each request to listen. */
class Host {
  readonly asked: PromiseWithResolvers<RemoteListener>[] = [];
  readonly signals: (AbortSignal | undefined)[] = [];
  onAsk: () => void = () => {};
  handOver: (tunnel: Tunnel) => void = () => {};

  readonly connection = {
    forwardIn: (
      _listen: unknown,
      onConnection: (tunnel: Tunnel) => void,
      { signal }: { signal?: AbortSignal },
    ) => {
      this.handOver = onConnection;
      this.signals.push(signal);
      const answer = Promise.withResolvers<RemoteListener>();
      this.asked.push(answer);
      this.onAsk();
      return answer.promise;
    },
  } as unknown as Connection;

  /** Starts a forward through the host, which listens. */
  async start(
    to: ForwardTarget = { hostname: "127.0.0.1", port: 1 },
    signal?: AbortSignal,
  ) {
    const first = new HostListener();
    const starting = RemoteForward.start({
      get: () => Promise.resolve(this.connection),
      listen: first.address,
      to,
      options: signal ? { signal } : {},
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
  assertEquals(host.signals[1]!.aborted, false);
  await forward.close();
  assertEquals(host.signals[1]!.aborted, true);
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

Deno.test("RemoteForward gives the host its signal as it starts, and leaves nothing on it", async () => {
  const host = new Host();
  const { signal } = new AbortController();
  const { forward } = await host.start(undefined, signal);
  assertEquals(host.signals, [signal]);
  await forward.close();
  assertEquals(getEventListeners(signal, "abort"), []);
});

Deno.test("RemoteForward counts its tunnels while they last, and close() waits for them", async () => {
  await using echo = await TestServer.start();
  const host = new Host();
  const { forward } = await host.start(echo.target);
  const [first, second] = [slowTunnel(), slowTunnel()];
  host.handOver(first.tunnel);
  host.handOver(second.tunnel);
  assertEquals(forward.connections, 2);
  first.release();
  first.tunnel.close();
  await until(() => forward.connections === 1);
  let isClosed = false;
  const closing = forward.close().then(() => isClosed = true);
  await turns();
  assertEquals([isClosed, second.tunnel.closings], [false, 1]);
  second.release();
  await closing;
  assertEquals(forward.connections, 0);
});

Deno.test("RemoteForward asks the host again after twice as long each time, at most after 30 s", async () => {
  const host = new Host();
  const { forward, first } = await host.start();
  mock.timers.enable({ apis: ["setTimeout"] } as never);
  try {
    first.lose();
    await host.untilAsked(2);
    for (const seconds of [0.5, 1, 2, 4, 8, 16, 30, 30]) {
      const asked = host.asked.length;
      host.asked.at(-1)!.reject(new Error("not yet"));
      await turns();
      mock.timers.tick(1000 * seconds - 1);
      await turns();
      assertEquals(host.asked.length, asked, `before ${seconds} s`);
      mock.timers.tick(1);
      await turns();
      assertEquals(host.asked.length, asked + 1, `after ${seconds} s`);
    }
  } finally {
    mock.timers.reset();
  }
  await forward.close();
});

Deno.test("RemoteForward asks a host that lets it listen and hangs up as seldom, and at once after more than 30 s", async () => {
  using time = new FakeTime();
  const host = new Host();
  const { forward, first } = await host.start();
  let listener = first;
  const holdFor = async (ms: number) => {
    await time.advance(ms);
    listener.lose();
    await flush();
  };
  const grant = async () => {
    host.asked.at(-1)!.resolve(listener = new HostListener());
    await flush();
  };
  for (const afterMs of [0, 30_001]) {
    await holdFor(afterMs);
    for (const seconds of [0.5, 1, 2, 4, 8, 16, 30, 30]) {
      // The one before was asked for by now.
      await grant();
      const asked = host.asked.length;
      await holdFor(30_000);
      await time.advance(1000 * seconds - 1);
      assertEquals(host.asked.length, asked, `before ${seconds} s`);
      await time.advance(1);
      assertEquals(host.asked.length, asked + 1, `after ${seconds} s`);
    }
    await grant();
  }
  await forward.close();
  assertEquals([host.asked.length, time.pending], [19, 0]);
});

// A timer that is left is seen by the sanitizer.
Deno.test("RemoteForward waits no more for its next attempt once it is closed", async () => {
  const host = new Host();
  const { forward, first } = await host.start();
  first.lose();
  await host.untilAsked(2);
  host.asked[1]!.reject(new Error("not yet"));
  await turns();
  await forward.close();
});
