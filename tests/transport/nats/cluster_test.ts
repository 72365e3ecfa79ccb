// A bus of three servers: the one that a program is connected to goes, and it
// moves on to another.

import { assert, assertEquals } from "@std/assert";
import { fleetPool } from "../../../pool/nats.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";
import { seed } from "../../kit/random.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { Ends, testNats } from "./_kit.ts";
import { Marks } from "../../kit/marks.ts";
import {
  hostNames,
  manyHosts,
  WorkerProcess,
  writeInventory,
} from "../../kit/nats_workers.ts";

const HOSTS = hostNames(4);

testNats(
  "clients and workers outlive each server of a cluster, and tell the truth",
  async () => {
    if (noSshd) return;
    await using ends = new Ends();
    const dispose = <T extends AsyncDisposable>(it: T): T =>
      ends.add(it, (it) => it[Symbol.asyncDispose]());
    const servers = (await NatsServer.startCluster(3)).map(dispose);
    const addresses = servers.map(({ port }) => `127.0.0.1:${port}`);
    const sshd = dispose(await startSshd({ maxStartups: "100:30:200" }));
    const folder = ends.add(
      await Deno.makeTempDir(),
      (it) => Deno.remove(it, { recursive: true }),
    );
    await Deno.chmod(folder, 0o777);
    const inventory = await writeInventory(folder, {
      default: manyHosts(sshd, HOSTS),
    });
    // Two workers for all shards: the bus gives each request to one of them.
    const workers = await Promise.all(
      ["w1", "w2"].map((id) =>
        WorkerProcess.start([
          ...["--servers", addresses.join(), "--shards", String(SHARDS)],
          ...["--inventory", inventory, "--id", id, "--index", "0"],
        ])
      ),
    );
    workers.forEach(dispose);
    const bus = await servers[0]!.connect({ servers: addresses });
    const marks = new Marks({
      pool: ends.add(
        fleetPool(bus),
        (it) => it.close({ drainTimeoutMs: 0 }),
      ),
      hosts: HOSTS,
      file: `${folder}/marks`,
      pauseMs: 20,
      seed,
    });
    marks.start();
    await marks.recovered();
    const seen = new Set([bus.getServer()]);
    for (const server of servers) {
      await server.kill();
      // One host after another, and not all by a worker that was not concerned.
      await marks.recovered();
      seen.add(bus.getServer());
      await server.begin();
    }
    await marks.finish(0);
    await marks.check(`${seen.size} servers`);
    assertEquals(bus.isClosed(), false);
    assert(seen.size >= 2, [...seen].join());
    assert(marks.countOf("ok") > marks.count / 2);
  },
);
