// The page to deploy, run as it says: the server, its users, the units of the
// workers, and an upgrade that nobody notices.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { nkeyAuthenticator, nkeys } from "@nats-io/transport-node";
import { parse } from "yaml";
import { fleetPool } from "../../../pool/nats.ts";
import { makeCertificates, noOpenssl } from "../../kit/certificates.ts";
import { freePort } from "../../kit/ports.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { Ends, testNats } from "./_kit.ts";
import { blockWith } from "./_page.ts";
import {
  hostNames,
  manyHosts,
  PROGRAM,
  WorkerProcess,
  writeInventory,
} from "../../kit/nats_workers.ts";
import { until } from "../../kit/until.ts";

const START = "/usr/bin/deno run -A jsr:@sshpool/sshpool/nats-worker ";

/** The lines `NAME=value` of a block. */
function settingsOf(block: string): Map<string, string> {
  return new Map(
    block.split("\n").filter((line) => line.includes("=")).map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

/** Makes a pair of keys as the page says. */
async function makeKey(folder: string) {
  const [, code] = /deno eval '([^']+)'/.exec(await blockWith("deno eval"))!;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code!],
    cwd: folder,
  }).output();
  const publicKey = new TextDecoder().decode(stdout).trim();
  assertMatch(publicKey, /^U[A-Z2-7]{55}$/, new TextDecoder().decode(stderr));
  const { mode } = await Deno.stat(`${folder}/a1.nk`);
  assertEquals(mode! & 0o777, 0o600);
  return { publicKey, seed: await Deno.readFile(`${folder}/a1.nk`) };
}

testNats(
  "the servers, users and units of the page serve a client over TLS, and end in time",
  async () => {
    if (noSshd || noOpenssl) return;
    await using ends = new Ends();
    const dispose = <T extends AsyncDisposable>(it: T): T =>
      ends.add(it, (it) => it[Symbol.asyncDispose]());
    const folder = ends.add(
      await Deno.makeTempDir(),
      (it) => Deno.remove(it, { recursive: true }),
    );
    const { ca, cert, key } = await makeCertificates(folder);
    const worker = nkeys.createUser();
    // An editor ends a file with a line.
    await Deno.writeFile(
      `${folder}/worker.nk`,
      new Uint8Array([...worker.getSeed(), 10]),
    );
    const client = await makeKey(folder);
    // Each line of the page, with other places and keys.
    const port = freePort();
    const users = (await blockWith("authorization {"))
      .replace(/^WORKER: ".*"$/m, `WORKER: "${worker.getPublicKey()}"`)
      .replace(/^A1: ".*"$/m, `A1: "${client.publicKey}"`);
    const config = (await blockWith("mappings"))
      .replace('listen: "0.0.0.0:4222"', "")
      .replace(/^ping.*$/gm, "")
      .replace("/etc/nats/cert.pem", cert).replace("/etc/nats/key.pem", key)
      .replace("/var/lib/nats", `${folder}/nats`)
      .replace('include "users.conf"', users);
    const server = dispose(await NatsServer.start({ port, config }));
    const sshd = dispose(await startSshd());
    const names = hostNames(6);
    await writeInventory(folder, { teama: manyHosts(sshd, names) });
    await Deno.rename(`${folder}/inventory.json`, `${folder}/hosts.json`);
    const env = Object.fromEntries(
      [...settingsOf(await blockWith("NATS_URL=tls://bus"))].map((
        [name, value],
      ) => [
        name,
        value.replace("tls://bus:4222", `tls://127.0.0.1:${port}`)
          .replace("/etc/sshpool", folder),
      ]),
    );
    const unit = settingsOf(await blockWith("[Service]"));
    const start = unit.get("ExecStart")!;
    assert(start.startsWith(START), start);
    const workers = await Promise.all(
      [0, 1, 2].map((index) =>
        WorkerProcess.start(
          start.slice(START.length).replaceAll("%i", String(index)).split(" "),
          env,
        )
      ),
    );
    workers.forEach(dispose);
    const pool = ends.add(
      fleetPool(
        await server.connect({
          tls: { caFile: ca },
          authenticator: nkeyAuthenticator(client.seed),
        }),
        { group: "teama", clientId: "a1" },
      ),
      (it) => it.close(),
    );
    const results = await pool.fanOut(names, "echo up");
    assertEquals(
      results.map((it) => it.ok ? it.value.stdout : it.error),
      names.map(() => "up\n"),
    );
    const signal = unit.get("KillSignal") as Deno.Signal;
    const began = performance.now();
    const codes = await Promise.all(workers.map((it) => it.end(signal)));
    assertEquals(codes, [0, 0, 0]);
    const limitMs = Number(unit.get("TimeoutStopSec")) * 1_000;
    assert(performance.now() - began < limitMs);
  },
);

Deno.test("the StatefulSet of the page has the settings of the worker, and time to drain", async () => {
  const program = await Deno.readTextFile(PROGRAM);
  const set = parse(await blockWith("kind: StatefulSet"));
  const { template, selector } = set.spec;
  assertEquals(set.apiVersion, "apps/v1");
  assertEquals(selector.matchLabels, template.metadata.labels);
  const { containers: [worker], volumes, terminationGracePeriodSeconds } =
    template.spec;
  assert(START.includes(` ${worker.args.join(" ")} `), worker.args);
  const env = new Map<string, string>(
    worker.env.map((it: { name: string; value?: string }) => [
      it.name,
      it.value,
    ]),
  );
  const file = settingsOf(await blockWith("NATS_URL=tls://bus"));
  for (const [name, value] of file) assertEquals(env.get(name), value);
  for (const name of [...env.keys(), ...file.keys()]) {
    assertMatch(program, new RegExp(`: "${name}",$`, "m"));
  }
  assertEquals(env.get("SSHPOOL_OF"), String(set.spec.replicas));
  assertEquals(worker.volumeMounts[0].name, volumes[0].name);
  // 30 s of what runs, and some to end.
  const drainMs = Number(/"drain-ms", (\d+)_000\)/.exec(program)?.[1]) * 1_000;
  assert(terminationGracePeriodSeconds * 1_000 > drainMs + 10_000);
});

testNats(
  "an upgrade of two workers, one after the other, loses none of 200 commands",
  async () => {
    if (noSshd) return;
    await using ends = new Ends();
    const dispose = <T extends AsyncDisposable>(it: T): T =>
      ends.add(it, (it) => it[Symbol.asyncDispose]());
    const server = dispose(await NatsServer.start());
    const sshd = dispose(await startSshd({ maxStartups: "100:30:200" }));
    const folder = ends.add(
      await Deno.makeTempDir(),
      (it) => Deno.remove(it, { recursive: true }),
    );
    const names = hostNames(8);
    const inventory = await writeInventory(folder, {
      default: manyHosts(sshd, names),
    });
    // For the same part: the bus gives each request to one of them.
    const workers = await Promise.all(
      ["w1", "w2"].map((id) =>
        WorkerProcess.start([
          ...["--servers", `127.0.0.1:${server.port}`, "--id", id],
          ...["--inventory", inventory, "--shards", String(SHARDS)],
          ...["--index", "0"],
        ])
      ),
    );
    workers.forEach(dispose);
    const pool = ends.add(
      fleetPool(await server.connect()),
      (it) => it.close(),
    );
    const printed: string[] = [];
    let isUpgraded = false;
    let next = 0;
    const loop = async (name: string) => {
      while (next < 200 || !isUpgraded) {
        const id = String(next++);
        const { stdout } = await pool.exec(name, `sleep 0.02; echo ${id}`, {
          check: true,
        });
        printed.push(stdout.trim());
      }
    };
    const upgrade = async () => {
      try {
        for (const worker of workers) {
          const before = printed.length;
          await until(() => printed.length >= before + 60);
          assertEquals(await worker.end("SIGTERM"), 0);
          await worker.begin();
        }
      } finally {
        isUpgraded = true;
      }
    };
    await Promise.all([upgrade(), ...names.map(loop)]);
    assertEquals(new Set(printed).size, next);
  },
);
