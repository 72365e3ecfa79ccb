import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import type { Tunnel } from "../../../transport/connector.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import { ForwardError } from "../../../transport/forward/errors.ts";
import { listenLocal, listenSocks } from "../../../transport/forward/listen.ts";
import { streamOfTunnel } from "../../../transport/forward/tunnel_stream.ts";
import type { GlobalAnswer } from "../../../transport/channels/_global_requests.ts";
import { MessageReader } from "../../../transport/channels/_wire.ts";
import { RemoteForwards } from "../../../transport/channels/_remote_forward.ts";
import * as wire from "../../../transport/channels/_wire.ts";
import type { TcpTarget } from "../../../transport/host/target.ts";
import { FaultProxy } from "../../kit/fault_proxy.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import {
  dial,
  dialForward,
  ended,
  exchange,
  TestServer,
} from "../forward/_kit.ts";
import { memoryTable } from "../channels/_memory_transport.ts";
import { connect, sshdTest } from "./_kit.ts";
import { CountedPromise } from "../../kit/counted_promise.ts";

const ANY = { hostname: "127.0.0.1", port: 0 };

/** Echoes what a tunnel brings. */
function echo(tunnel: Tunnel): void {
  const stream = streamOfTunnel(tunnel);
  stream.pipe(stream);
}

sshdTest(
  "Connection.forwardIn() gives a tunnel for each connection to the port that the server chose",
  async (connection) => {
    const listener = await connection.forwardIn!(ANY, echo);
    const { hostname, port } = listener.address as TcpTarget;
    assertEquals(hostname, "127.0.0.1");
    assert(port > 0);
    const texts = Array.from({ length: 100 }, (_, i) => `client ${i}`);
    const answers = await Promise.all(
      texts.map(async (text) => exchange(await dial(listener.address), text)),
    );
    assertEquals(answers, texts);
    assertEquals(connection.openChannels, 0);
    await listener.close();
    await listener.closed;
    await assertRejects(() => dial(listener.address));
    assertEquals((await connection.exec("echo still here")).code, 0);
  },
);

sshdTest(
  "Connection.forwardIn() serves web streams and closes a tunnel whose receiver threw",
  async (connection) => {
    let isFirst = true;
    const listener = await connection.forwardIn!(ANY, (tunnel) => {
      if (isFirst) {
        isFirst = false;
        throw new Error("not now");
      }
      void tunnel.readable.pipeTo(tunnel.writable).catch(() => {});
    });
    await ended(await dial(listener.address));
    assertEquals(await exchange(await dial(listener.address), "web"), "web");
    await listener.close();
  },
);

sshdTest(
  "Connection.forwardIn() and forwardOut() go through unix sockets of the host",
  async (connection, sshd) => {
    const dir = await Deno.makeTempDir();
    try {
      await Deno.chmod(dir, 0o777);
      const path = `${dir}/r.sock`;
      const listener = await connection.forwardIn!({ path }, echo);
      assertEquals(listener.address, { path });
      await using forward = await listenLocal(
        (target, options) => connection.forwardOut!(target, options),
        { listen: 0, to: path },
      );
      // Out through one channel, back in through another.
      assertEquals(await exchange(await dialForward(forward), "x"), "x");
      await listener.close();
      const error = await assertRejects(
        () => connection.forwardOut!({ path }),
        ChannelOpenError,
      );
      assertEquals(error.reason, 2);
      assert(sshd.port > 0);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

sshdTest(
  "Connection.forwardIn() says that the server refused a port that is in use",
  async (connection) => {
    await using server = await TestServer.start();
    const error = await assertRejects(
      () =>
        connection.forwardIn!(
          { hostname: "127.0.0.1", port: server.port },
          echo,
        ),
      ForwardError,
    );
    assertMatch(
      error.message,
      /^Cannot listen on "127\.0\.0\.1:\d+" of ".*": the server refused$/,
    );
  },
);

Deno.test({
  name:
    "Connection.forwardIn() and forwardOut() give typed errors where AllowTcpForwarding is no",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({ config: ["AllowTcpForwarding no"] });
    await using connection = await connect(sshd.host());
    await assertRejects(() => connection.forwardIn!(ANY, echo), ForwardError);
    const error = await assertRejects(
      () => connection.forwardOut!({ hostname: "127.0.0.1", port: 1 }),
      ChannelOpenError,
    );
    assertEquals(error.reason, 1);
  },
});

Deno.test({
  name:
    "Connection.forwardIn() settles when its connection is cut, before and after the answer",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    await using proxy = await FaultProxy.start(sshd.port);
    const host = { ...sshd.host(), port: proxy.port };
    for (const when of ["unanswered", "listening", "open"] as const) {
      const connection = await connect(host);
      if (when === "unanswered") {
        proxy.stall();
        const pending = connection.forwardIn!(ANY, echo);
        proxy.reset();
        await assertRejects(() => pending, ConnectionLostError);
        proxy.resume();
      } else {
        let failed!: (error: Error) => void;
        const failure = new Promise<Error>((resolve) => failed = resolve);
        let begun!: () => void;
        const begin = new Promise<void>((resolve) => begun = resolve);
        const listener = await connection.forwardIn!(ANY, (tunnel) => {
          const stream = streamOfTunnel(tunnel);
          stream.once("error", failed).resume();
          begun();
        });
        if (when === "open") {
          const client = await dial(listener.address);
          await begin;
          proxy.reset();
          assertInstanceOf(await failure, ConnectionLostError);
          client.destroy();
        } else proxy.reset();
        await listener.closed;
        await listener.close();
      }
      await connection.close();
    }
  },
});

Deno.test({
  name:
    "Connection.forwardIn() that is aborted before the answer leaves no listener on the server",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    await using connection = await connect(sshd.host());
    const free = await TestServer.start();
    const listen = { hostname: "127.0.0.1", port: free.port };
    await free[Symbol.asyncDispose]();
    const stop = new AbortController();
    const pending = connection.forwardIn!(listen, echo, {
      signal: stop.signal,
    });
    const reason = new Error("changed my mind");
    stop.abort(reason);
    assertStrictEquals(await assertRejects(() => pending), reason);
    // Answers come in order: once this one is there the first is cancelled.
    for (let i = 0; i < 2; i++) {
      const other = await connection.forwardIn!(ANY, echo);
      await other.close();
    }
    await assertRejects(() => dial(listen));
  },
});

Deno.test({
  name: "a forward resets its clients when the SSH connection is cut",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    await using server = await TestServer.start((socket) =>
      void socket.write("begin")
    );
    await using proxy = await FaultProxy.start(sshd.port);
    await using connection = await connect({
      ...sshd.host(),
      port: proxy.port,
    });
    const errors: unknown[] = [];
    await using forward = await listenLocal(
      (target, options) => connection.forwardOut!(target, options),
      {
        listen: 0,
        to: server.target,
        onError: (error) => void errors.push(error),
      },
    );
    const client = await dialForward(forward);
    await new Promise((resolve) => client.once("data", resolve));
    proxy.reset();
    assertEquals(await ended(client), true);
    assertInstanceOf(errors[0], ConnectionLostError);
    assertEquals(
      await dialForward(forward).then(ended, () => true),
      true,
    );
  },
});

Deno.test({
  name: "listenSocks() serves curl, by name and by address",
  ignore: noSshd || !await hasCurl(),
  async fn() {
    await using sshd = await startSshd();
    await using connection = await connect(sshd.host());
    await using web = await TestServer.start((socket) =>
      void socket.once("data", () =>
        socket.end(
          "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        ))
    );
    await using forward = await listenSocks(
      (target, options) => connection.forwardOut!(target, options),
      { listen: 0 },
    );
    const { port } = forward.address as TcpTarget;
    const ways = ["--socks5-hostname", "--socks5", "--socks4", "--socks4a"];
    for (const how of ways) {
      const { stdout } = await curl(
        how,
        `127.0.0.1:${port}`,
        `http://localhost:${web.port}/`,
      );
      assertEquals(stdout, "hello");
    }
    const free = await TestServer.start();
    const closedPort = free.port;
    await free[Symbol.asyncDispose]();
    const { stderr } = await curl(
      "--socks5-hostname",
      `127.0.0.1:${port}`,
      `http://127.0.0.1:${closedPort}/`,
    );
    assertMatch(stderr, /\(5\)/);
    const refused = await curl(
      "--socks4a",
      `127.0.0.1:${port}`,
      `http://localhost:${closedPort}/`,
    );
    assertMatch(refused.stderr, /\(91\)/);
  },
});

Deno.test("Connection.forwardIn() leaves nothing on the connection for a listener that was closed, refused or given up", async () => {
  let held = 0;
  const closed = new CountedPromise();
  // REQUEST_SUCCESS with port 4000.
  const granted = new Uint8Array([81, 0, 0, 0x0f, 0xa0]);
  let isGranted = true;
  const asked: string[] = [];
  const ask = (name: string, _fields: unknown, onAnswer: GlobalAnswer) => {
    asked.push(name);
    queueMicrotask(() =>
      onAnswer(isGranted ? new MessageReader(granted) : undefined)
    );
  };
  const forwards = new RemoteForwards(
    {
      table: {
        socketRef: { take: () => held++, release: () => held-- },
        offers: { accept() {} },
        globals: { ask },
      },
      host: "ops@gate:22",
      lost: (doing: string) => new Error(doing),
      closed: closed.promise,
    } as unknown as ConstructorParameters<typeof RemoteForwards>[0],
  );
  const listen = () => forwards.listen(ANY, () => {}, undefined);
  for (let i = 0; i < 20; i++) {
    const listener = await listen();
    await Promise.all([listener.close(), listener.close()]);
    assertEquals(asked.splice(0), ["tcpip-forward", "cancel-tcpip-forward"]);
  }
  assertEquals([closed.waiting, held], [1, 0]);
  isGranted = false;
  await assertRejects(listen, ForwardError, "the server refused");
  const stop = new AbortController();
  const given = forwards.listen(ANY, () => {}, stop.signal);
  stop.abort(new RangeError("enough"));
  await assertRejects(() => given, RangeError);
  assertEquals([closed.waiting, held], [1, 0]);
  isGranted = true;
  const last = await listen();
  closed.resolve();
  await last.closed;
  assertEquals(held, 0);
});

Deno.test("Connection.forwardIn() takes no connection that crosses the close() of its listener", async () => {
  const { transport, table, say } = memoryTable();
  const forwards = new RemoteForwards({
    table,
    host: "ops@gate:22",
    lost: (doing) => new ConnectionLostError(doing, { host: "ops@gate:22" }),
    closed: new Promise(() => {}),
  });
  let taken = 0;
  const onConnection = (tunnel: Tunnel) => {
    taken++;
    streamOfTunnel(tunnel);
  };
  const listening = forwards.listen(ANY, onConnection, undefined);
  await Promise.resolve();
  say(wire.REQUEST_SUCCESS, 4000);
  const listener = await listening;
  const client = (id: number) =>
    say(
      wire.CHANNEL_OPEN,
      "forwarded-tcpip",
      ...[id, 2 ** 21, 2 ** 15, "127.0.0.1", 4000, "127.0.0.1", 5000],
    );
  transport.taken();
  client(7);
  const closing = listener.close();
  client(8);
  assertEquals([taken, transport.taken()], [1, [
    wire.CHANNEL_OPEN_CONFIRMATION,
    wire.GLOBAL_REQUEST,
    wire.CHANNEL_OPEN_FAILURE,
  ]]);
  say(wire.REQUEST_SUCCESS);
  await closing;
});

async function curl(...args: string[]) {
  const { stdout, stderr } = await new Deno.Command("curl", {
    args: ["-4", "-sS", "--max-time", "20", "--noproxy", "", ...args],
  }).output();
  const text = new TextDecoder();
  return { stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

async function hasCurl(): Promise<boolean> {
  try {
    return (await new Deno.Command("curl", { args: ["-V"] }).output()).success;
  } catch {
    return false;
  }
}
