/** ssh2 is loaded at the first dial: once, in its time, and again if it fails. */

import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import type { Tunnel } from "../../../../transport/connector.ts";
import { DialError } from "../../../../transport/errors.ts";
import { loadFor, loadOnce } from "../../../../transport/ssh2/dial/load.ts";
import { rejection, resolved } from "../_kit.ts";

const host = resolved({ hostname: "db1", port: 22 });
const timeoutMs = 20_000;

/** A tunnel that only knows whether it was closed. */
function fakeTunnel(): Tunnel & { isClosed: boolean } {
  return {
    isClosed: false,
    readable: new ReadableStream(),
    writable: new WritableStream(),
    closed: new Promise(() => {}),
    close() {
      this.isClosed = true;
    },
  };
}

Deno.test("loadOnce() shares one load between all callers", async () => {
  let loads = 0;
  const load = loadOnce(() => Promise.resolve({ number: ++loads }));
  const [first, second] = await Promise.all([load(), load()]);
  assertStrictEquals(first, second);
  assertStrictEquals(await load(), first);
  assertEquals(loads, 1);
});

Deno.test("loadOnce() does not keep a load that failed", async () => {
  let loads = 0;
  const load = loadOnce(() =>
    ++loads === 1
      ? Promise.reject(new Error("disk on fire"))
      : Promise.resolve("module")
  );
  const callers = [load(), load()];
  for (const caller of callers) {
    await assertRejects(() => caller, Error, "disk on fire");
  }
  assertEquals(loads, 1);
  assertEquals(await load(), "module");
  assertEquals(await load(), "module");
  assertEquals(loads, 2);
});

Deno.test("loadFor() says that ssh2 cannot be loaded, and closes the tunnel", async () => {
  const cause = new Error("Cannot find package 'ssh2'\nDid you mean ssh?");
  const tunnel = fakeTunnel();
  const error = await rejection(
    loadFor(() => Promise.reject(cause), host, { timeoutMs, tunnel }),
  );
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "config");
  assertEquals(
    error.message,
    'Cannot connect to "ops@db1:22": ssh2 cannot be loaded: ' +
      "Cannot find package 'ssh2'",
  );
  assertEquals(error.hint?.includes("ssh2"), true);
  assertEquals(error.throttled, false);
  assertStrictEquals(error.cause, cause);
  assertEquals(tunnel.isClosed, true);
});

Deno.test("loadFor() leaves at the deadline of the dial, while the load goes on", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const tunnel = fakeTunnel();
  const error = await rejection(
    loadFor(() => promise, host, { timeoutMs: 20, tunnel }),
  );
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "timeout");
  assertEquals(
    error.message,
    'Cannot connect to "ops@db1:22": no success within 20 ms, while loading ssh2',
  );
  assertEquals(tunnel.isClosed, true);
  resolve("module");
  assertEquals(await loadFor(() => promise, host, { timeoutMs }), "module");
});

Deno.test("loadFor() rejects with the reason of an abort, and then does not care how the load ends", async () => {
  const { promise, reject } = Promise.withResolvers<never>();
  const controller = new AbortController();
  const tunnel = fakeTunnel();
  const { signal } = controller;
  const options = { timeoutMs, signal, tunnel };
  const waiting = rejection(loadFor(() => promise, host, options));
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals(await waiting, reason);
  assertEquals(tunnel.isClosed, true);
  reject(new Error("too late to matter"));
  let loads = 0;
  const load = () => Promise.resolve(++loads);
  assertStrictEquals(await rejection(loadFor(load, host, options)), reason);
  assertEquals(loads, 0);
});
