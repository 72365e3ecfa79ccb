// What the observer of a pool is told of the connections of its forwards.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { channel } from "node:diagnostics_channel";
import { inspect } from "node:util";
import {
  ChannelOpenError,
  ConnectionPool,
  type Forward,
  ForwardError,
  type PoolEvent,
  type SshHost,
} from "../../mod.ts";
import type { DiagnosticEvent } from "../../pool/mod.ts";
import { targetName } from "../../transport/host/target.ts";
import { noSsh, sshHint } from "../kit/ssh.ts";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";
import { EmbeddedServer } from "../../transport/testing/mod.ts";
import {
  dialForward,
  ended,
  exchange,
  TestServer,
} from "../transport/forward/_kit.ts";

type ForwardFailed = Extract<PoolEvent, { readonly type: "forward-failed" }>;

/** A pool, and what it tells of its forwards. */
class Observed implements AsyncDisposable {
  readonly events: ForwardFailed[] = [];
  readonly pool = new ConnectionPool({
    config: false,
    observer: (event) => {
      if (event.type !== "forward-failed") return;
      this.events.push(event);
      this.#wake?.();
    },
  });
  #wake: (() => void) | undefined;

  /** Waits for so many events in all. */
  async told(count: number): Promise<ForwardFailed[]> {
    while (this.events.length < count) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.events;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close();
  }
}

/** Connects to a forward that resets its client, at once or soon. */
async function cut(forward: Forward): Promise<void> {
  const isReset = await dialForward(forward).then(ended, () => true);
  assert(isReset);
}

/** A port of 127.0.0.1 on which nobody listens. */
async function freePort(): Promise<number> {
  const server = await TestServer.start();
  const { port } = server;
  await server[Symbol.asyncDispose]();
  return port;
}

/** SOCKS5, connect to a port of 127.0.0.1. */
const toPort = (port: number) =>
  Uint8Array.of(5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255);

for (const transport of ["ssh2", "openssh"] as const) {
  const missing = noSshd
    ? sshdHint
    : transport === "openssh" && noSsh
    ? sshHint
    : undefined;
  const test = (name: string, fn: (name: string) => Promise<void>) => {
    const full = `${name}, over ${transport}`;
    Deno.test({
      name: missing === undefined ? full : `${full} (${missing})`,
      ignore: missing !== undefined,
      fn: () => fn(transport),
    });
  };

  test("ConnectionPool tells its observer of each connection that the server denies to a forward", async () => {
    await using sshd = await startSshd({ config: ["AllowTcpForwarding no"] });
    await using observed = new Observed();
    const { pool } = observed;
    const host: SshHost = sshd.host({ transport });
    await using local = await pool.forward(host, {
      type: "local",
      listen: 0,
      to: "127.0.0.1:5432",
    });
    await cut(local);
    await observed.told(1);
    const heard: unknown[] = [];
    await using dynamic = await pool.forward(host, {
      type: "dynamic",
      listen: 0,
      onError: (error) => void heard.push(error),
    });
    const client = await dialForward(dynamic);
    client.write(toPort(5433));
    await ended(client);
    const events = await observed.told(2);
    const name = `${sshd.user}@127.0.0.1:${sshd.port}`;
    assertEquals(
      events.map(({ error: _, ...event }) => event),
      [
        {
          type: "forward-failed",
          host: name,
          forward: "local",
          listen: targetName(local.address),
          to: "127.0.0.1:5432",
          reason: "not-opened",
        },
        {
          type: "forward-failed",
          host: name,
          forward: "dynamic",
          listen: targetName(dynamic.address),
          to: "127.0.0.1:5433",
          reason: "not-opened",
        },
      ],
    );
    for (const { error } of events) {
      assertInstanceOf(error, ChannelOpenError);
      assertEquals(error.reason, 1); // administratively prohibited
    }
    assertEquals(heard, [events[1]!.error]);
    assertEquals(pool.stats().counters.forwardFailures, 2);
    assert(!inspect(events, { depth: 9 }).includes(host.privateKey as string));
  });

  test("ConnectionPool tells its observer of each target of a remote forward that is not there", async () => {
    await using sshd = await startSshd();
    await using observed = new Observed();
    const port = await freePort();
    await using forward = await observed.pool.forward(
      sshd.host({ transport }),
      { type: "remote", listen: 0, to: { hostname: "127.0.0.1", port } },
    );
    // sshd ends it in an orderly way: nothing else tells of it.
    await ended(await dialForward(forward));
    const [event] = await observed.told(1);
    assertEquals([event!.forward, event!.reason, event!.to], [
      "remote",
      "not-opened",
      `127.0.0.1:${port}`,
    ]);
    assertInstanceOf(event!.error, ForwardError);
  });
}

Deno.test("ConnectionPool tells why a connection of a forward has failed, and goes on", async () => {
  await using server = await EmbeddedServer.start();
  await using target = await TestServer.start();
  await using observed = new Observed();
  const { pool } = observed;
  await using forward = await pool.forward(server.host(), {
    type: "local",
    listen: 0,
    to: target.target,
    maxConnections: 1,
  });
  const first = await dialForward(forward);
  first.write("x");
  await new Promise((resolve) => first.once("data", resolve));
  await cut(forward);
  await observed.told(1);
  server.dropAll();
  await ended(first);
  await observed.told(2);
  await using dynamic = await pool.forward(server.host(), {
    type: "dynamic",
    listen: 0,
  });
  const odd = await dialForward(dynamic);
  odd.write("GET / HTTP/1.1\r\n\r\n");
  await ended(odd);
  const to = targetName(target.target);
  assertEquals(
    (await observed.told(3)).map((it) => [it.forward, it.reason, it.to]),
    [
      ["local", "too-many", to],
      ["local", "broken", to],
      ["dynamic", "client", undefined],
    ],
  );
  assert(!("to" in observed.events[2]!));
  assertEquals(await exchange(await dialForward(forward), "on"), "on");
  assertEquals(observed.events.length, 3);
});

Deno.test("ConnectionPool tells that a remote forward cannot listen again, and not of what close() ends", async () => {
  await using server = await EmbeddedServer.start();
  await using target = await TestServer.start();
  await using observed = new Observed();
  const { pool } = observed;
  const forward = await pool.forward(server.host(), {
    type: "remote",
    listen: 0,
    to: target.target,
  });
  const client = await dialForward(forward);
  client.write("x");
  await new Promise((resolve) => client.once("data", resolve));
  // Nothing is there to dial any more.
  await server.close();
  await ended(client);
  for (let seen = 0; !observed.events.some(isNotListening);) {
    seen = (await observed.told(seen + 1)).length;
  }
  const told = observed.events.length;
  await forward.close();
  await pool.close();
  assertEquals(observed.events.slice(told), []);
});

const isNotListening = ({ reason }: ForwardFailed) =>
  reason === "not-listening";

Deno.test("ConnectionPool publishes a failed connection of a forward to subscribers in the process", async () => {
  await using server = await EmbeddedServer.start();
  await using pool = new ConnectionPool({ config: false });
  const to = { hostname: "127.0.0.1", port: await freePort() };
  await using forward = await pool.forward(server.host(), {
    type: "local",
    listen: 0,
    to,
  });
  const told = new Promise<DiagnosticEvent>((resolve) => {
    const failed = channel("sshpool:forward-failed");
    const listener = (message: unknown) => {
      const event = message as DiagnosticEvent;
      if (event.pool !== pool) return;
      failed.unsubscribe(listener);
      resolve(event);
    };
    failed.subscribe(listener);
  });
  await cut(forward);
  const event = await told;
  assert(event.type === "forward-failed");
  assertEquals([event.reason, event.to], ["not-opened", targetName(to)]);
});
