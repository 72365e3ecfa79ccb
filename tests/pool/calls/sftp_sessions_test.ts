/** SFTP sessions of a pool, over sshd. */

import { assertEquals, assertRejects } from "@std/assert";
import { ConnectionPool } from "../../../mod.ts";
import { AcquireTimeoutError } from "../../../transport/pool_errors.ts";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../../kit/sshd.ts";

/** A test with a pool of one connection with two slots. */
function test(
  name: string,
  run: (pool: ConnectionPool, sshd: Sshd, dir: string) => Promise<void>,
): void {
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    async fn() {
      await using sshd = await startSshd();
      const dir = await Deno.makeTempDir();
      await Deno.chmod(dir, 0o777);
      try {
        await using pool = new ConnectionPool({
          config: false,
          maxConnectionsPerHost: 1,
          maxSessionsPerConnection: 2,
        });
        await run(pool, sshd, dir);
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    },
  });
}

test(
  "ConnectionPool.sftp() gives callers of one host one session, in one slot",
  async (pool, sshd, dir) => {
    const host = sshd.host();
    const all = await Promise.all(
      Array.from({ length: 20 }, () => pool.sftp(host)),
    );
    await Promise.all(
      all.map((sftp, i) => sftp.writeTextFile(`${dir}/${i}`, `text ${i}`)),
    );
    assertEquals(pool.stats().slotsInUse, 1);
    assertEquals(await all[3]!.readTextFile(`${dir}/19`), "text 19");
    for (const sftp of all) sftp.close();
  },
);

test(
  "ConnectionPool.sftp() keeps the session for the next caller, and a closed handle works no more",
  async (pool, sshd, dir) => {
    const host = sshd.host();
    const first = await pool.sftp(host);
    await first.writeTextFile(`${dir}/a`, "a");
    first.close();
    first.close();
    assertEquals([first.isClosed, pool.stats().idle], [true, 1]);
    await first.closed;
    const refused = await assertRejects(() => first.stat(dir), SftpError);
    assertEquals(refused.code, "SSH_SFTP_CLOSED");
    await assertRejects(() => first.readDir(dir).next(), SftpError);
    const log = async () =>
      (await sshd.log()).split("subsystem request for sftp").length;
    const before = await log();
    await using second = await pool.sftp(host);
    assertEquals(await second.readTextFile(`${dir}/a`), "a");
    assertEquals(await log(), before, "no second session was started");
  },
);

test(
  "ConnectionPool.sftp() gives the slot of an unused session up when commands need it",
  async (pool, sshd, dir) => {
    const host = sshd.host();
    (await pool.sftp(host)).close();
    const both = await Promise.all([
      pool.exec(
        host,
        `echo x >> ${dir}/both; while [ $(wc -l < ${dir}/both) -lt 2 ]; do :; done`,
      ),
      pool.exec(
        host,
        `echo x >> ${dir}/both; while [ $(wc -l < ${dir}/both) -lt 2 ]; do :; done`,
      ),
    ]);
    assertEquals(both.map(({ code }) => code), [0, 0], "both ran at once");
    await using again = await pool.sftp(host);
    assertEquals((await again.stat(dir)).isDirectory, true);
  },
);

test(
  "ConnectionPool.sftp() keeps a session that is in use, whoever waits",
  async (pool, sshd, dir) => {
    const host = sshd.host();
    await using sftp = await pool.sftp(host);
    await Promise.all([1, 2, 3].map(() => pool.exec(host, "true")));
    await sftp.writeTextFile(`${dir}/b`, "b");
    assertEquals(sftp.isClosed, false);
  },
);

test(
  "ConnectionPool.sftp() keeps a session until the last of its callers has closed it",
  async (pool, sshd, dir) => {
    const host = sshd.host();
    const [first, last] = await Promise.all([pool.sftp(host), pool.sftp(host)]);
    first.close();
    // They wait for the one slot that is left.
    await Promise.all([1, 2, 3].map(() => pool.exec(host, "true")));
    await last.writeTextFile(`${dir}/c`, "c");
    assertEquals([last.isClosed, pool.stats().slotsInUse], [false, 1]);
    last.close();
    assertEquals(pool.stats().idle, 1);
  },
);

test(
  "ConnectionPool.sftp() whose first caller leaves starts a session for the others",
  async (pool, sshd, dir) => {
    const host = sshd.host();
    const controller = new AbortController();
    const first = pool.sftp(host, { signal: controller.signal });
    const second = pool.sftp(host);
    controller.abort();
    await assertRejects(() => first, DOMException);
    await using sftp = await second;
    assertEquals((await sftp.stat(dir)).isDirectory, true);
  },
);

test(
  "ConnectionPool.sftp() fails a caller by its own signal and time limit, and not by those of the first one",
  async (pool, sshd, dir) => {
    const host = sshd.host();
    const controller = new AbortController();
    const options = [
      { signal: controller.signal },
      // No dial is that fast.
      { acquireTimeoutMs: 1 },
      {},
    ];
    const [aborted, late, last] = options.map((it) => pool.sftp(host, it));
    controller.abort(new Error("left"));
    await assertRejects(() => aborted!, Error, "left");
    await assertRejects(() => late!, AcquireTimeoutError);
    await using sftp = await last!;
    assertEquals((await sftp.stat(dir)).isDirectory, true);
  },
);

test(
  "ConnectionPool.upload() and download() copy a tree there and back",
  async (pool, sshd, dir) => {
    const host = pool.host(sshd.host());
    const local = await Deno.makeTempDir();
    try {
      await Deno.mkdir(`${local}/tree/sub`, { recursive: true });
      await Deno.writeTextFile(`${local}/tree/a`, "a".repeat(100_000));
      await Deno.writeTextFile(`${local}/tree/sub/b`, "b");
      const up = await host.upload(`${local}/tree`, `${dir}/tree`);
      assertEquals([up.files, up.bytes], [2, 100_001]);
      const down = await host.download(`${dir}/tree`, `${local}/back`);
      assertEquals([down.files, down.bytes], [2, 100_001]);
      assertEquals(await Deno.readTextFile(`${local}/back/sub/b`), "b");
      await assertRejects(
        () => host.download(`${dir}/none`, `${local}/none`),
        SftpError,
      );
    } finally {
      await Deno.remove(local, { recursive: true });
    }
  },
);

test(
  "ConnectionPool ends an idle connection although it has an SFTP session",
  async (_, sshd) => {
    await using pool = new ConnectionPool({ config: false, idleTimeoutMs: 80 });
    const sftp = await pool.sftp(sshd.host());
    const connection = await pool.getConnection(sshd.host());
    sftp.close();
    await connection.closed;
    assertEquals([pool.size, pool.stats().counters.closed.idle], [0, 1]);
  },
);
