import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Tunnel } from "../../../transport/connector.ts";
import { ForwardError } from "../../../transport/forward/errors.ts";
import { listenLocal } from "../../../transport/forward/listen.ts";
import { runInChild } from "../../kit/child.ts";
import {
  dial,
  dialForward,
  ended,
  exchange,
  openPlain,
  readAll,
  TestServer,
} from "./_kit.ts";

for (const web of [false, true]) {
  const over = web ? "web streams" : "a node stream";
  const open = (
    target: { hostname: string; port: number } | { path: string },
  ) => openPlain(target, { web });

  Deno.test(`listenLocal() passes half-close on in both directions over ${over}`, async () => {
    const serverRead: string[] = [];
    await using server = await TestServer.start(async (socket) => {
      serverRead.push(await readAll(socket));
      socket.end("late answer");
    });
    await using forward = await listenLocal(open, {
      listen: 0,
      to: server.target,
    });
    const client = await dialForward(forward);
    assertEquals(await exchange(client, "question"), "late answer");
    assertEquals(serverRead, ["question"]);
  });

  Deno.test(`listenLocal() passes on the end of a server that speaks first over ${over}`, async () => {
    let gotAll: (text: string) => void;
    const got = new Promise<string>((resolve) => gotAll = resolve);
    await using server = await TestServer.start(async (socket) => {
      socket.end("bye");
      gotAll(await readAll(socket));
    });
    await using forward = await listenLocal(open, {
      listen: 0,
      to: server.target,
    });
    const client = await dialForward(forward);
    assertEquals(await readAll(client), "bye");
    client.end("still here");
    assertEquals(await got, "still here");
  });

  Deno.test(`listenLocal() stops a sender whose receiver does not read, over ${over}`, async () => {
    let paused!: Socket;
    await using server = await TestServer.start((socket) => {
      paused = socket.pause();
    });
    await using forward = await listenLocal(open, {
      listen: 0,
      to: server.target,
    });
    const client = await dialForward(forward);
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    // Until nothing is taken for a while: kernel buffers are a few MiB.
    for (;;) {
      const taken = await Promise.race([
        new Promise<boolean>((resolve) =>
          client.write(chunk, () => resolve(true))
        ),
        new Promise<boolean>((resolve) =>
          setTimeout(() => resolve(false), 400)
        ),
      ]);
      if (!taken) break;
      sent += chunk.length;
      if (sent > 256 * 1024 * 1024) throw new Error("nothing stops it");
    }
    let received = 0;
    paused.on("data", (data) => received += data.length);
    paused.resume();
    client.end();
    await new Promise((resolve) => paused.once("end", resolve));
    assertEquals(received, sent + chunk.length);
    paused.end();
    await ended(client);
  });
}

Deno.test("listenLocal() listens on 127.0.0.1 and tells the port that was chosen", async () => {
  await using forward = await listenLocal(openPlain, {
    listen: 0,
    to: "db:5432",
  });
  const { hostname, port } = forward.address as {
    hostname: string;
    port: number;
  };
  assertEquals(hostname, "127.0.0.1");
  assertEquals(port > 0, true);
});

Deno.test("listenLocal() says which address it cannot listen on", async () => {
  await using server = await TestServer.start();
  const error = await assertRejects(
    () => listenLocal(openPlain, { listen: server.port, to: "db:5432" }),
    ForwardError,
  );
  assertMatch(
    error.message,
    new RegExp(
      `Cannot listen on "127\\.0\\.0\\.1:${server.port}": .*EADDRINUSE|Address already in use`,
      "i",
    ),
  );
});

Deno.test("listenLocal() makes a unix socket in a folder of 96 bytes, and says why not in a longer one", async () => {
  const dir = await Deno.makeTempDir({ dir: "/tmp" });
  try {
    for (const length of [96, 97]) {
      const folder = `${dir}/`.padEnd(length, "x");
      await Deno.mkdir(folder, { recursive: true });
      const listen = () =>
        listenLocal(openPlain, { listen: `${folder}/s`, to: "db:5432" });
      if (length === 96) await (await listen()).close();
      else {
        const error = await assertRejects(listen, ForwardError);
        assertMatch(
          error.message,
          /its folder has a path of 97 bytes, must have 96 at most/,
        );
      }
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("listenLocal() tells of a connection that cannot be opened, resets it and goes on", async () => {
  const errors: unknown[] = [];
  const refusal = new Error("no way");
  await using server = await TestServer.start();
  let refuse = true;
  await using forward = await listenLocal(
    (target) => refuse ? Promise.reject(refusal) : openPlain(target),
    {
      listen: 0,
      to: server.target,
      onError: (error) => {
        errors.push(error);
        throw new Error("thrown by the callback");
      },
    },
  );
  assertEquals(await dialForward(forward).then(ended, () => true), true);
  assertEquals(errors, [refusal]);
  refuse = false;
  assertEquals(await exchange(await dialForward(forward), "x"), "x");
});

Deno.test("listenLocal() resets the client when its tunnel is lost", async () => {
  let tunnel!: Tunnel;
  await using server = await TestServer.start((socket) =>
    void socket.write("begin")
  );
  await using forward = await listenLocal(async (target) => {
    return tunnel = await openPlain(target);
  }, { listen: 0, to: server.target });
  const client = await dialForward(forward);
  await new Promise((resolve) => client.once("data", resolve));
  tunnel.close();
  assertEquals(await ended(client), true);
});

Deno.test("listenLocal() aborts the opening of a client that hung up, and of a closed forward", async () => {
  const reasons: unknown[] = [];
  let opening!: () => void;
  const open = (
    _target: unknown,
    { signal }: { signal: AbortSignal },
  ): Promise<Tunnel> =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => {
        reasons.push(signal.reason);
        reject(signal.reason);
      });
      opening();
    });
  const next = () => new Promise<void>((resolve) => opening = resolve);
  const errors: unknown[] = [];
  let onError!: () => void;
  const told = new Promise<void>((resolve) => onError = resolve);
  const forward = await listenLocal(open, {
    listen: 0,
    to: "db:1",
    onError: (error) => {
      errors.push(error);
      onError();
    },
  });
  let asked = next();
  const client = await dialForward(forward);
  await asked;
  client.resetAndDestroy();
  await told;
  assertEquals(errors, reasons);
  asked = next();
  const other = await dialForward(forward);
  await asked;
  assertEquals(forward.connections, 1);
  await forward.close();
  assertEquals(reasons.length, 2);
  assertEquals(errors.length, 1);
  assertEquals(forward.connections, 0);
  assertEquals(await forward.closed, { kind: "local" });
  await ended(other);
});

Deno.test("listenLocal() resets the connection beyond maxConnections and tells of it", async () => {
  const errors: unknown[] = [];
  await using server = await TestServer.start();
  await using forward = await listenLocal(openPlain, {
    listen: 0,
    to: server.target,
    maxConnections: 1,
    onError: (error) => void errors.push(error),
  });
  const first = await dialForward(forward);
  first.write("x");
  await new Promise((resolve) => first.once("data", resolve));
  // The reset may come before the client knows that it is connected.
  assertEquals(await dialForward(forward).then(ended, () => true), true);
  assertMatch(String(errors[0]), /1 connections are open/);
  first.end();
  await ended(first);
});

Deno.test("listenLocal() is closed by its signal, and rejects if that has aborted before", async () => {
  const stop = new AbortController();
  const options = { listen: 0, to: "db:1", signal: stop.signal };
  const forward = await listenLocal(openPlain, options);
  const reason = new Error("enough");
  stop.abort(reason);
  assertEquals(await forward.closed, { kind: "local" });
  assertEquals(
    await assertRejects(() => listenLocal(openPlain, options)),
    reason,
  );
});

Deno.test("listenLocal() serves a hundred connections at once, and nine beside one that is stuck", async () => {
  await using server = await TestServer.start();
  await using forward = await listenLocal(openPlain, {
    listen: 0,
    to: server.target,
  });
  const texts = Array.from({ length: 100 }, (_, i) => `client ${i}`);
  const answers = await Promise.all(
    texts.map(async (text) => exchange(await dialForward(forward), text)),
  );
  assertEquals(answers, texts);
  const stuck = await dialForward(forward);
  stuck.pause().write(Buffer.alloc(32 * 1024 * 1024));
  const nine = await Promise.all(
    texts.slice(0, 9).map(async (text) =>
      exchange(await dialForward(forward), text)
    ),
  );
  assertEquals(nine, texts.slice(0, 9));
  assertEquals(forward.connections >= 1, true);
  stuck.destroy();
});

Deno.test("listenLocal() makes a unix socket of mode 0600 and removes it on close", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/a.sock`;
    await using server = await TestServer.start(undefined, `${dir}/b.sock`);
    const forward = await listenLocal(openPlain, {
      listen: path,
      to: `${dir}/b.sock`,
    });
    assertEquals(forward.address, { path });
    const { mode } = await Deno.lstat(path);
    assertEquals((mode ?? 0) & 0o777, 0o600);
    assertEquals(await exchange(await dialForward(forward), "hi"), "hi");
    assertEquals(server.sockets.size <= 1, true);
    await forward.close();
    const left = (await Array.fromAsync(Deno.readDir(dir)))
      .map(({ name }) => name);
    assertEquals(left, ["b.sock"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("listenLocal() replaces a stale socket only if it is asked to, and never another file", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = `${dir}/a.sock`;
    await using server = await TestServer.start();
    const to = server.target;
    const first = await listenLocal(openPlain, { listen: path, to });
    const error = await assertRejects(
      () => listenLocal(openPlain, { listen: path, to }),
      ForwardError,
    );
    assertMatch(error.message, /Cannot listen on ".*a\.sock": EADDRINUSE/);
    const second = await listenLocal(openPlain, {
      listen: path,
      to,
      replaceSocket: true,
    });
    // The first must not take the second's socket away.
    await first.close();
    assertEquals(await exchange(await dial({ path }), "hi"), "hi");
    await second.close();
    await Deno.writeTextFile(path, "precious");
    await assertRejects(
      () => listenLocal(openPlain, { listen: path, to, replaceSocket: true }),
      ForwardError,
    );
    assertEquals(await Deno.readTextFile(path), "precious");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test({
  name:
    "listenLocal() takes one file of those that can be open, and leaves none",
  // prlimit is of Linux.
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const dir = await Deno.makeTempDir();
    try {
      const program = new URL("_last_file_program.ts", import.meta.url);
      assertEquals(await runInChild(program, dir), {
        refused: "EMFILE",
        listening: ["a.sock"],
        closed: [],
      });
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
