// Subsystems as bytes: SFTP of the pool over a connection that has nothing else,
// and the slot that such a channel takes.

import { assertEquals, assertRejects } from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import type { Connection, Connector } from "../../../transport/connector.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";

const HOST = "ops@web-1";

/** What passes all on but SFTP, and subsystems too if they are to be hidden. */
function without(
  connector: MemoryConnector,
  hidden: readonly (keyof Connection)[],
): Connector {
  return {
    async connect(host, options) {
      const connection = await connector.connect(host, options);
      return new Proxy(connection, {
        get(target, name) {
          if (hidden.includes(name as keyof Connection)) return undefined;
          const value = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
  };
}

Deno.test("ConnectionPool.sftp() works over a connection that gives subsystems alone", async () => {
  const memory = new MemoryConnector();
  await using pool = new ConnectionPool({
    connector: without(memory, ["sftp"]),
  });
  const sftp = await pool.sftp(HOST);
  const big = new Uint8Array(1_500_000).map((_, i) => i * 7);
  await sftp.writeFile("big", big);
  assertEquals(await sftp.readFile("big"), big);
  assertEquals(memory.files(HOST).readFile("big"), big);
  sftp.close();
  assertEquals(memory.calls.map(({ kind, command }) => [kind, command]), [
    ["subsystem", "sftp"],
  ]);
});

Deno.test("ConnectionPool.sftp() over a subsystem fails as over any SFTP", async () => {
  const memory = new MemoryConnector({ files: false });
  await using pool = new ConnectionPool({
    connector: without(memory, ["sftp"]),
  });
  await assertRejects(() => pool.sftp(HOST), ChannelOpenError, '"sftp"');
  delete (memory.options as { files?: unknown }).files;
  const sftp = await pool.sftp(HOST);
  memory.dropAll("cable cut");
  await assertRejects(() => sftp.stat("/"), ConnectionLostError, "cable cut");
  const bare = new ConnectionPool({
    connector: without(memory, ["sftp", "subsystem"]),
  });
  await assertRejects(() => bare.sftp(HOST), TypeError, "SFTP");
  await bare.close();
});

Deno.test("a subsystem takes a slot of the pool until its bytes are closed", async () => {
  await using pool = new ConnectionPool({
    connector: new MemoryConnector(),
    maxConnectionsPerHost: 1,
    maxSessionsPerConnection: 1,
  });
  const connection = await pool.getConnection(HOST);
  const tunnel = await connection.subsystem!("sftp");
  assertEquals(pool.stats().slotsInUse, 1);
  const waiting = pool.exec(HOST, "echo next");
  assertEquals(pool.stats().waiting, 1);
  tunnel.close();
  assertEquals((await waiting).stdout, "next\n");
  assertEquals(pool.stats().slotsInUse, 0);
  await assertRejects(() => connection.subsystem!("none"), ChannelOpenError);
  assertEquals(pool.stats().slotsInUse, 0);
});

Deno.test("a subsystem that is aborted while it is started is left at once, and its slot is free", async () => {
  const memory = new MemoryConnector({ onOpen: () => "never" });
  await using pool = new ConnectionPool({ connector: memory });
  const connection = await pool.getConnection(HOST);
  const controller = new AbortController();
  const { signal } = controller;
  const started = connection.subsystem!("sftp", { signal });
  controller.abort(new Error("left"));
  await assertRejects(() => started, Error, "left");
  assertEquals(pool.stats().slotsInUse, 0);
});
