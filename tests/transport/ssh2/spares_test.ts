/** Session channels that are opened ahead of need, over sshd. */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { deadline } from "@std/async";
import { ConnectionPool } from "../../../mod.ts";
import { ChannelOpenError } from "../../../transport/errors.ts";
import { FaultProxy } from "../../kit/fault_proxy.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import { embeddedTest, rejection, sshdTest } from "./_kit.ts";

sshdTest(
  "SpareChannels.open() opens a session that the next command uses",
  async (connection) => {
    const { spares } = connection;
    assert(spares !== undefined);
    await spares.open();
    assertEquals([spares.count, connection.openChannels], [1, 1]);
    let opened = 0;
    const running = connection.exec("echo hello", { onOpen: () => opened++ });
    assertEquals([spares.count, connection.openChannels], [0, 1]);
    assertEquals((await running).stdout, "hello\n");
    assertEquals(opened, 1);
    await until(() => connection.openChannels === 0);
    assertEquals((await connection.exec("echo again")).stdout, "again\n");
  },
);

sshdTest(
  "SpareChannels hands out a channel whose request is not answered yet",
  async (connection) => {
    const answered = connection.spares!.open();
    const { stdout } = await connection.exec("echo hello");
    await answered;
    assertEquals([stdout, connection.spares!.count], ["hello\n", 0]);
  },
);

sshdTest(
  "SpareChannels serves processes, terminals and SFTP too, and an abort",
  async (connection) => {
    const spares = connection.spares!;
    for (let i = 0; i < 3; i++) await spares.open();
    const process = await connection.spawn("cat");
    assertEquals(await process.text(), "");
    const shell = await connection.shell!();
    await using sftp = await connection.sftp!();
    assertEquals((await sftp.stat("/")).isDirectory, true);
    assertEquals(spares.count, 0);
    await shell[Symbol.asyncDispose]();
    await spares.open();
    const signal = AbortSignal.abort(new TypeError("the caller's reason"));
    const aborted = await rejection(connection.exec("true", { signal }));
    assertInstanceOf(aborted, TypeError);
    assertEquals(spares.count, 1, "nothing was taken");
  },
);

sshdTest(
  "SpareChannels.close() frees the session on the server",
  async (connection) => {
    const spares = connection.spares!;
    for (let i = 0; i < 10; i++) await spares.open();
    const refused = await rejection(spares.open());
    assertInstanceOf(refused, ChannelOpenError);
    assertEquals(spares.count, 10);
    await spares.close();
    assertEquals([spares.count, connection.openChannels], [9, 9]);
    for (let i = 0; i < 9; i++) await spares.close();
    await spares.close();
    assertEquals([spares.count, connection.openChannels], [0, 0]);
  },
);

sshdTest(
  "SpareChannels are lost with their connection",
  async (connection, sshd) => {
    const spares = connection.spares!;
    await spares.open();
    await sshd.kill();
    await until(() => connection.isClosed);
    assertEquals(spares.count, 0);
    await spares.close();
  },
);

embeddedTest(
  "Connection has no spares where the server is not OpenSSH",
  {},
  (connection) => {
    assertEquals(connection.spares, undefined);
    return Promise.resolve();
  },
);

Deno.test({
  name: "ConnectionPool.exec() costs one round trip on a connection in use" +
    (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    await using proxy = await FaultProxy.start(sshd.port);
    // Far enough to be worth a spare.
    proxy.delayMs = 5;
    await using pool = new ConnectionPool({ config: false });
    const host = sshd.host({ port: proxy.port });
    const connection = await pool.getConnection(host);
    // The second command, unless it is late, leaves a spare.
    for (let i = 0; connection.openChannels === 0; i++) {
      assert(i < 100, "no spare is opened");
      await pool.exec(host, "true");
    }
    const link = proxy.links[0]!;
    link.stall();
    const sent = link.bytesUp;
    const running = pool.exec(host, `echo hello # ${"x".repeat(5000)}`);
    await until(() => link.bytesUp > sent + 5000);
    // From here on the server hears nothing: it has to know all that it needs.
    link.hold();
    link.resume();
    assertEquals((await deadline(running, 30_000)).stdout, "hello\n");
    assertEquals(pool.stats().slotsInUse, 0);
  },
});

for (const maxSessions of [1, 2, 3]) {
  Deno.test({
    name: `ConnectionPool with spares keeps below MaxSessions ${maxSessions}` +
      (noSshd ? ` (${sshdHint})` : ""),
    ignore: noSshd,
    async fn() {
      await using sshd = await startSshd({ maxSessions });
      await using proxy = await FaultProxy.start(sshd.port);
      // A round trip that is worth saving.
      proxy.delayMs = 2;
      await using pool = new ConnectionPool({
        config: false,
        maxConnectionsPerHost: 1,
      });
      const host = sshd.host({ port: proxy.port });
      const caller = async (n: number) => {
        for (let i = 0; i < 30; i++) {
          const { stdout } = await pool.exec(host, `echo ${n}-${i}`);
          assertEquals(stdout, `${n}-${i}\n`);
        }
      };
      await caller(0);
      await Promise.all([1, 2, 3, 4].map(caller));
      await caller(5);
      const [stats] = pool.stats().hosts;
      assert(stats!.sessionLimit >= maxSessions, "no lower limit was learned");
      assertEquals(stats!.slotsInUse, 0);
    },
  });
}
