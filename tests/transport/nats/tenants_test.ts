// Two groups behind TLS, with keys of their own and the file of permissions that
// the page to deploy has: what a client may not do, the bus refuses.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { nkeyAuthenticator, nkeys } from "@nats-io/transport-node";
import { ConnectionPool } from "../../../pool/mod.ts";
import { fleetPool, FleetWorker } from "../../../pool/nats.ts";
import { main } from "../../../pool/nats_worker.ts";
import { DialError } from "../../../transport/errors.ts";
import {
  type FleetWorkerOptions,
  NatsConnector,
} from "../../../transport/nats/mod.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { makeCertificates, noOpenssl } from "../../kit/certificates.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";
import { until } from "../../kit/until.ts";
import { Ends, PING_MS, testNats } from "./_kit.ts";
import { blockWith } from "./_page.ts";

/** Keys as the page names them, and the lines of the server that do. */
function makeKeys() {
  const pairs = new Map(
    ["WORKER", "A1", "B1"].map((name) => [name, nkeys.createUser()]),
  );
  const lines = [...pairs].map(([name, pair]) =>
    `${name}: "${pair.getPublicKey()}"`
  );
  return {
    config: lines.join("\n"),
    seed: (name: string) => pairs.get(name)!.getSeed(),
  };
}

async function site() {
  const ends = new Ends();
  const folder = ends.add(
    await Deno.makeTempDir(),
    (it) => Deno.remove(it, { recursive: true }),
  );
  const { ca, cert, key } = await makeCertificates(folder);
  const keys = makeKeys();
  const users = await blockWith("authorization {");
  const server = ends.add(
    await NatsServer.start({
      config: `${keys.config}
${users.replace(/^(WORKER|A1|B1):.*$/gm, "")}
tls { cert_file: "${cert}", key_file: "${key}" }`,
    }),
    (it) => it[Symbol.asyncDispose](),
  );
  const trusted = { ca: await Deno.readTextFile(ca) };
  const connect = (name: string) =>
    server.connect({
      tls: trusted,
      authenticator: nkeyAuthenticator(keys.seed(name)),
    });
  const memory = new MemoryConnector();
  const pool = ends.add(
    new ConnectionPool({ connector: memory }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  const worker = ends.add(
    new FleetWorker(await connect("WORKER"), {
      pool,
      host: ({ name, group }) => `${group}@${name}`,
      shards: SHARDS,
      pingMs: PING_MS,
      freshMs: 60_000,
    }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  await worker.serve({ index: 0, of: 1 });
  return {
    folder,
    ca,
    trusted,
    keys,
    connect,
    server,
    memory,
    worker,
    [Symbol.asyncDispose]: () => ends[Symbol.asyncDispose](),
  };
}

/** Registers a test that needs certificates too. */
function testTenants(name: string, fn: () => Promise<void>): void {
  if (!noOpenssl) testNats(name, fn);
}

testTenants(
  "each group reaches its own hosts, under its own names",
  async () => {
    await using fleet = await site();
    const { connect, memory } = fleet;
    await using a = fleetPool(await connect("A1"), {
      group: "teama",
      clientId: "a1",
    });
    await using b = fleetPool(await connect("B1"), {
      group: "teamb",
      clientId: "b1",
    });
    const results = await Promise.all([
      a.exec("web-1", "echo a"),
      b.exec("web-1", "echo b"),
    ]);
    assertEquals(results.map(({ stdout }) => stdout), ["a\n", "b\n"]);
    assertEquals([...memory.dialsByHost.keys()].sort(), [
      "teama@web-1:22",
      "teamb@web-1:22",
    ]);
  },
);

/** A worker and a client, as "w" and "a" with a password each, and their rights. */
async function pairOf(
  rights: { readonly worker?: string; readonly client?: string },
  onError?: FleetWorkerOptions["onError"],
) {
  const { worker: ofWorker = "", client: ofClient = "" } = rights;
  const ends = new Ends();
  const server = ends.add(
    await NatsServer.start({
      config: `authorization { users = [
        { user: w, password: w, permissions: { ${ofWorker} } }
        { user: a, password: a, permissions: { ${ofClient} } } ] }`,
    }),
    (it) => it[Symbol.asyncDispose](),
  );
  const pool = ends.add(
    new ConnectionPool({ connector: new MemoryConnector() }),
    (it) => it.close(),
  );
  const worker = ends.add(
    new FleetWorker(await server.connect({ user: "w", pass: "w" }), {
      pool,
      host: ({ name }) => name,
      shards: SHARDS,
      freshMs: 60_000,
      ...onError !== undefined && { onError },
    }),
    (it) => it.close({ drainTimeoutMs: 0 }),
  );
  await worker.serve({ index: 0, of: 1 });
  return {
    client: await server.connect({ user: "a", pass: "a" }),
    [Symbol.asyncDispose]: () => ends[Symbol.asyncDispose](),
  };
}

testNats(
  "a client that may ask for a host, and not write to its worker, is told so",
  async () => {
    await using pair = await pairOf({
      client: `publish: ["ssh.shard.>"], subscribe: ["ssh.c.>"]`,
    });
    await using client = fleetPool(pair.client);
    const error = await assertRejects(
      () => client.exec("web-1", "true"),
      DialError,
      "does not let this program write to the worker",
    );
    assertEquals(error.phase, "auth");
  },
);

for (
  const [operation, worker] of [
    ["subscription", `subscribe: ["_INBOX.>"]`],
    ["publish", `publish: ["_INBOX.>"]`],
  ] as const
) {
  testNats(
    `a worker whose ${operation} the bus refuses is told so, once`,
    async () => {
      const told: unknown[] = [];
      await using pair = await pairOf({ worker }, (error, { name }) => {
        told.push([name, (error as { operation?: string }).operation]);
      });
      const connector = new NatsConnector(pair.client, { pingMs: PING_MS });
      const dials = [1, 2].map(() =>
        connector.connect({ hostname: "web-1", port: 22, user: "ops" })
          .then(() => "connected", () => "refused")
      );
      await until(() => told.length > 0);
      connector.close();
      assertEquals(await Promise.all(dials), ["refused", "refused"]);
      assertEquals(told, [["", operation]]);
    },
  );
}

testTenants(
  "a client that asks for hosts of another group is told that it may not",
  async () => {
    await using fleet = await site();
    const bus = await fleet.connect("A1");
    await using pool = fleetPool(bus, { group: "teamb", clientId: "a1" });
    const error = await assertRejects(
      () => pool.exec("web-1", "true"),
      DialError,
    );
    assertEquals(error.phase, "auth");
    assert(error.message.includes('hosts of the group "teamb"'), error.message);
    // And one that says that it is another.
    const impostor = fleetPool(bus, { group: "teama", clientId: "b1" });
    const refused = await assertRejects(
      () => impostor.exec("web-1", "true"),
      DialError,
    );
    assertEquals(refused.phase, "auth");
    await impostor.close();
    assertEquals(fleet.memory.dials, 0);
  },
);

testTenants(
  "a client cannot listen to others, play a worker, or reach the leases",
  async () => {
    await using fleet = await site();
    const bus = await fleet.connect("A1");
    const refused: string[] = [];
    (async () => {
      for await (const status of bus.status()) {
        if (status.type === "error") refused.push(status.error.message);
      }
    })();
    const subjects = [
      "ssh.>",
      "ssh.c.b1.>",
      "ssh.shard.>",
      "ssh.w.>",
      "_INBOX.>",
    ];
    for (const subject of subjects) {
      bus.subscribe(subject, { callback: () => {} });
    }
    const published = [
      "ssh.c.b1.x.y",
      "ssh.shard.1.teamb.web-1",
      "ssh.w.worker-0.ping",
      "$KV.ssh_shards.1",
    ];
    for (const subject of published) bus.publish(subject, "x");
    await bus.flush();
    const isRefused = (subject: string) =>
      refused.some((it) => it.includes(`"${subject}"`));
    await until(() => [...subjects, ...published].every(isRefused));
  },
);

testTenants(
  "a client without the right key, or without the right authority, is told so",
  async () => {
    await using fleet = await site();
    const { server, trusted } = fleet;
    const stranger = nkeyAuthenticator(nkeys.createUser().getSeed());
    const refused = (options: Parameters<typeof server.connect>[0]) =>
      assertRejects(() => server.connect(options), Error);
    const wrongKey = await refused({ tls: trusted, authenticator: stranger });
    assertStringIncludes(wrongKey.message, "Authorization Violation");
    const noKey = await refused({ tls: trusted });
    assertStringIncludes(noKey.message, "Authorization Violation");
    // The system trusts others.
    const untrusted = await refused({
      tls: {},
      authenticator: nkeyAuthenticator(fleet.keys.seed("A1")),
    });
    assert(/certificate|issuer/i.test(untrusted.message), untrusted.message);
  },
);

testTenants(
  "the worker that needs no code proves itself with a key over TLS, and insists on it",
  async () => {
    await using fleet = await site();
    await fleet.worker.close();
    const { folder, server, ca } = fleet;
    const write = async (name: string, text: string | Uint8Array) => {
      const path = `${folder}/${name}`;
      if (typeof text === "string") await Deno.writeTextFile(path, text);
      else await Deno.writeFile(path, text);
      return path;
    };
    const inventory = await write("hosts.json", '{"teama": {"web-1": "a@b"}}');
    const seed = await write("worker.nk", fleet.keys.seed("WORKER"));
    const url = `tls://127.0.0.1:${server.port}`;
    const env = {
      NATS_URL: url,
      NATS_NKEY: seed,
      NATS_CA: ca,
      SSHPOOL_INVENTORY: inventory,
      SSHPOOL_INDEX: "0",
      SSHPOOL_SHARDS: String(SHARDS),
    };
    const run = async (changed: Record<string, string | undefined>) => {
      const lines: string[] = [];
      const stop = new AbortController();
      await main({
        args: [],
        env: { ...env, ...changed },
        signal: stop.signal,
        log: (line) => {
          lines.push(line);
          if (line.includes('"serving"')) stop.abort();
        },
      });
      return lines.join("\n");
    };
    assertStringIncludes(await run({}), '"ended"');
    const other = await write("other.nk", nkeys.createUser().getSeed());
    const refused = await assertRejects(() => run({ NATS_NKEY: other }), Error);
    assertStringIncludes(refused.message, "Cannot connect to the bus at tls:");
    assertStringIncludes(refused.message, "Authorization Violation");
    await assertRejects(
      () => run({ NATS_CA: undefined }),
      Error,
      "Cannot connect to the bus",
    );
    // A server without TLS, or who stands between, hears no word.
    await using plain = await NatsServer.start();
    const bare = await assertRejects(
      () =>
        run({
          NATS_URL: `tls://ops:hunter2@127.0.0.1:${plain.port}`,
          NATS_CA: undefined,
          NATS_NKEY: undefined,
        }),
      Error,
      "does not support 'tls'",
    );
    assert(!bare.message.includes("hunter2"), bare.message);
  },
);

Deno.test("the page to deploy maps to as many shards as a worker has by default", async () => {
  assertStringIncludes(await blockWith("mappings"), "partition(1024,1,2)");
});
