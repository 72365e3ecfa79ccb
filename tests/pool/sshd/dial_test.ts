/** Dials that cannot succeed, through the pool: typed, in time, nothing left. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  AuthenticationError,
  type ConnectionPool,
  DialError,
  HostKeyError,
  type SshHost,
} from "../../../mod.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { startBlackHole } from "../../kit/black_hole.ts";
import { FaultProxy } from "../../kit/fault_proxy.ts";
import { startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import {
  errorOf,
  impatientPool,
  overBoth,
  overSshd,
  PATIENCE_MS,
  range,
} from "../_faults_kit.ts";

const WRONG_KEY = `SHA256:${"A".repeat(43)}` as const;

/** Twenty callers at once; all get the one failure of the one dial. */
async function failures(
  pool: ConnectionPool,
  host: SshHost,
): Promise<DialError> {
  const errors = await Promise.all(
    range(20).map(() => errorOf(pool.exec(host, "true"), DialError)),
  );
  for (const error of errors) assertEquals(error, errors[0]);
  assertEquals(pool.stats().counters.dials >= 1, true);
  assertEquals(pool.stats().connections, 0);
  assertEquals(pool.stats().dialing, 0);
  return errors[0]!;
}

overBoth("a wrong host key ends before any login", async (site) => {
  await using pool = impatientPool({ backoff: { refusedMs: 60_000 } });
  const host = { ...site.host, hostKey: WRONG_KEY };
  const error = await failures(pool, host);
  assert(error instanceof HostKeyError);
  assertEquals(error.phase, "hostkey");
  assertNotEquals(error.fingerprint, WRONG_KEY);
  await failures(pool, host);
  assertEquals(site.proxy.links.length, 1, "the refusal is remembered");
  await until(() => site.proxy.open.length === 0, "its socket to close");
});

overSshd("a wrong key is tried once for 20 callers", async () => {
  await using sshd = await startSshd();
  await using other = await startSshd();
  await using proxy = await FaultProxy.start(sshd.port);
  await using pool = impatientPool({ backoff: { refusedMs: 60_000 } });
  const host = sshd.host({
    port: proxy.port,
    privateKey: await Deno.readTextFile(other.privateKeyPath),
  });
  const error = await failures(pool, host);
  assert(error instanceof AuthenticationError);
  assertEquals(error.phase, "auth");
  assertEquals(await failures(pool, host), error);
  assertEquals(proxy.links.length, 1, "the refusal is remembered");
  await until(() => proxy.open.length === 0, "its socket to close");
  const log = await sshd.log();
  assertEquals(
    log.match(/^Failed publickey|^Connection closed by authenticating/gm)
      ?.length,
    1,
    log,
  );
  // The right key is another credential: the refusal is not for it.
  assertEquals(
    (await pool.exec(sshd.host({ port: proxy.port }), "true")).code,
    0,
  );
});

Deno.test("a wrong password is tried once for 20 callers", async () => {
  await using server = await EmbeddedServer.start({ password: "right" });
  await using pool = impatientPool({ backoff: { refusedMs: 60_000 } });
  const { privateKey: _, ...bare } = server.host();
  const host = { ...bare, password: "wrong-4711" };
  const error = await failures(pool, host);
  assert(error instanceof AuthenticationError);
  assertEquals(await failures(pool, host), error);
  assertEquals(server.authAttempts, 1);
  assertEquals(server.connections, 1);
  assertEquals(Deno.inspect(error).includes("4711"), false);
  assertEquals(
    (await pool.exec({ ...bare, password: "right" }, "true")).code,
    0,
  );
});

const NETWORK_FAULTS: {
  name: string;
  phases: string[];
  host: (server: EmbeddedServer) => SshHost;
  prepare?: (server: EmbeddedServer) => void;
}[] = [
  {
    name: "a refused port",
    // The system may let one in while it closes the port, and then resets it.
    phases: ["tcp", "banner"],
    host: (server) => server.host(),
    prepare: (server) => server.refuse(),
  },
  {
    name: "an unresolvable name",
    phases: ["dns"],
    host: (server) => server.host({ hostname: "does-not-exist.invalid" }),
  },
  {
    name: "a server that closes before its banner",
    phases: ["banner"],
    host: (server) => server.host(),
    prepare: (server) => void (server.options.dropBeforeBanner = true),
  },
  {
    name: "a server that closes after its banner",
    phases: ["kex", "banner"],
    host: (server) => server.host(),
    prepare: (server) => void (server.options.dropAfterBanner = true),
  },
  {
    name: "a server that never sends a banner",
    phases: ["timeout"],
    host: (server) => server.host(),
    prepare: (server) => void (server.options.neverBanner = true),
  },
];

for (const { name, phases, host, prepare } of NETWORK_FAULTS) {
  Deno.test(`${name} is a DialError that says so, within the deadline`, async () => {
    await using server = await EmbeddedServer.start();
    // What is no matter of time has enough of it.
    await using pool = impatientPool(
      { dialTimeoutMs: phases.includes("timeout") ? 500 : 2_000 },
    );
    prepare?.(server);
    const start = performance.now();
    const error = await failures(pool, host(server));
    const tookMs = performance.now() - start;
    assert(phases.includes(error.phase), `${error.phase}: ${error.message}`);
    assert(tookMs < PATIENCE_MS / 2, `took ${tookMs} ms`);
    assertEquals(error.mayHaveRun, false);
    await until(() => server.live === 0, "its socket to close");
  });
}

Deno.test("a black-holed address is a DialError that says so, within the deadline", async () => {
  await using hole = await startBlackHole();
  await using pool = impatientPool({ dialTimeoutMs: 500 });
  const { hostname, port } = hole;
  const start = performance.now();
  const error = await failures(pool, {
    hostname,
    port,
    user: "ops",
    password: "not reached",
    hostKey: "insecure-accept-any",
  });
  const tookMs = performance.now() - start;
  assertEquals(error.phase, "timeout");
  assert(error.message.includes("while connecting"), error.message);
  assert(tookMs > 400 && tookMs < PATIENCE_MS / 2, `took ${tookMs} ms`);
});

for (const end of ["the last caller leaves", "the pool is closed"]) {
  Deno.test(`a dial ends with its socket when ${end}`, async () => {
    await using server = await EmbeddedServer.start({ neverBanner: true });
    // Nothing but the abort ends this dial before the test gives up.
    await using pool = impatientPool({ dialTimeoutMs: 10 * PATIENCE_MS });
    const caller = new AbortController();
    const { signal } = caller;
    const waiting = errorOf(
      pool.exec(server.host(), "true", { signal }),
      Error,
    );
    await until(() => server.live === 1, "the dial");
    if (end === "the pool is closed") await pool.close();
    else caller.abort(new Error("no longer needed"));
    await waiting;
    await until(() => server.live === 0, "its socket to close");
    assertEquals(server.connections, 1);
  });
}

Deno.test("a server that drops dials is tried again within the deadline", async () => {
  await using server = await EmbeddedServer.start({ dropBeforeBanner: true });
  await using pool = impatientPool();
  const running = pool.exec(server.host(), "echo at last");
  running.catch(() => {}); // until it is awaited
  await until(() => server.connections >= 3, "a third attempt");
  server.options.dropBeforeBanner = false;
  assertEquals((await running).stdout, "at last\n");
});
