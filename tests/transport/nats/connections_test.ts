// How few connections a host needs, however many clients there are.

import { assert, assertEquals } from "@std/assert";
import { ConnectionPool } from "../../../mod.ts";
import type { PoolEvent } from "../../../pool/mod.ts";
import { fleetPool } from "../../../pool/nats.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { PING_MS, startFleet, testNats } from "./_kit.ts";

const CLIENTS = 20;
const HOSTS = 10;

testNats(
  "200 commands of 20 clients at once make at most two connections to a host of a default pool",
  async () => {
    if (noSshd) return;
    await using sshd = await startSshd({
      maxStartups: "100:30:200",
      listen: "0.0.0.0",
    });
    const events: PoolEvent[] = [];
    await using pool = new ConnectionPool({
      config: false,
      observer: (event) => void events.push(event),
    });
    await using fleet = await startFleet(pool, {
      host: ({ name }) => sshd.host({ hostname: `127.0.1.${name}` }),
    });
    const clients: ConnectionPool[] = [];
    for (let i = 0; i < CLIENTS; i++) {
      const bus = await fleet.server.connect();
      clients.push(fleetPool(bus, { pingMs: PING_MS }) as ConnectionPool);
    }
    const results = await Promise.all(clients.flatMap((client, i) =>
      Array.from(
        { length: HOSTS },
        (_, n) => client.exec(String(n + 1), `echo ${i}.${n}`),
      )
    ));
    assertEquals(results[199]?.stdout, "19.9\n");
    const dials = new Map<string, number>();
    for (const { type, host } of events) {
      if (type === "dial") dials.set(host!, (dials.get(host!) ?? 0) + 1);
    }
    assertEquals(dials.size, HOSTS);
    for (const [host, count] of dials) {
      assert(count <= 2, `${host} was dialled ${count} times`);
    }
    await Promise.all(clients.map((it) => it.close()));
  },
);

testNats(
  "a long output of a real sshd crosses the bus, with all of its pauses",
  async () => {
    if (noSshd) return;
    await using sshd = await startSshd();
    await using pool = new ConnectionPool({ config: false });
    await using fleet = await startFleet(pool, { host: () => sshd.host() });
    await using client = fleetPool(fleet.clientBus, { pingMs: PING_MS });
    const bytes = 64 * 1024 * 1024;
    const { stdout } = await client.exec(
      "web-1",
      `head -c ${bytes} /dev/zero`,
      {
        encoding: "bytes",
        timeoutMs: 60_000,
      },
    );
    assertEquals(stdout.length, bytes);
  },
);
