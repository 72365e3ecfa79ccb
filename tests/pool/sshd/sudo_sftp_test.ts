// SFTP as another user, over sshd and the sudo of this machine.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ChannelOpenError,
  ConnectionPool,
  RoutingConnector,
  SftpError,
  Ssh2Connector,
  SudoError,
} from "../../../mod.ts";
import { OpenSshConnector } from "../../../transport/openssh/mod.ts";
import { noSsh } from "../../kit/ssh.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { makeSudoAccount, noSudo, sudoHint } from "../../kit/sudo.ts";
import { until } from "../../kit/until.ts";

const ignore = noSshd || noSudo;
const named = (name: string) => ignore ? `${name} (${sudoHint})` : name;

interface Site extends AsyncDisposable {
  readonly pool: ConnectionPool;
  /** A folder of root's that nobody else may enter. */
  readonly dir: string;
}

async function makeSite(): Promise<Site> {
  const dir = await Deno.makeTempDir();
  const pool = new ConnectionPool({
    config: false,
    connector: new RoutingConnector({
      ssh2: new Ssh2Connector(),
      openssh: new OpenSshConnector({ configFile: false, folder: dir }),
    }),
  });
  return {
    pool,
    dir,
    async [Symbol.asyncDispose]() {
      await pool.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** What runs on the machine with a text in its command line. */
function processes(text: string): string[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    try {
      const line = Deno.readTextFileSync(`/proc/${name}/cmdline`);
      return line.includes(text) ? [line] : [];
    } catch {
      return [];
    }
  });
}

for (const transport of ["ssh2", "openssh"] as const) {
  Deno.test({
    name: named(
      `sftp, upload and download with sudo are root's, over ${transport}`,
    ),
    ignore: ignore || (transport === "openssh" && noSsh),
    async fn() {
      const password = `p"w d'é$(id)\\`;
      await using account = await makeSudoAccount({
        rules: ["ALL=(ALL) ALL"],
        password,
      });
      await using sshd = await startSshd();
      await using site = await makeSite();
      const { pool, dir } = site;
      const host = pool.host(sshd.host({ user: account.user, transport }));
      await Deno.writeTextFile(`${dir}/secret`, "root's\n", { mode: 0o600 });
      {
        await using plain = await host.sftp();
        await assertRejects(() => plain.stat(`${dir}/secret`), SftpError);
        await using sftp = await host.sftp({ sudo: { password } });
        assertEquals(await sftp.readTextFile(`${dir}/secret`), "root's\n");
        // The session of the caller stays what it was.
        await assertRejects(() => plain.stat(`${dir}/secret`), SftpError);
        await using other = await host.sftp({
          sudo: { password, user: "nobody" },
        });
        await assertRejects(() => other.stat(`${dir}/secret`), SftpError);
      }
      const options = { sudo: { password } };
      const bytes = new Uint8Array(6_000_000).map((_, i) => i * 7 + (i >> 9));
      await Deno.writeFile(`${dir}/local`, bytes);
      const up = { ...options, verify: true };
      await host.upload(`${dir}/local`, `${dir}/copy`, up);
      await host.download(`${dir}/copy`, `${dir}/back`, options);
      assertEquals(await Deno.readFile(`${dir}/back`), bytes);
      assertEquals((await Deno.stat(`${dir}/copy`)).uid, 0);
      await until(() => pool.stats().busy === 0);
      await pool.close();
      await until(() => processes(account.user).length === 0);
    },
  });
}

Deno.test({
  name: named("sftp with sudo says what is wrong, with the errors of exec"),
  ignore,
  async fn() {
    await using account = await makeSudoAccount({ rules: ["ALL=(ALL) ALL"] });
    const { user, password } = account;
    await using sshd = await startSshd();
    await using site = await makeSite();
    const host = site.pool.host(sshd.host({ user }));
    const reason = async (sudo: true | { password: string; user?: string }) => {
      const error = await assertRejects(() => host.sftp({ sudo }), SudoError);
      return [error.reason, error.mayHaveRun];
    };
    assertEquals(await reason(true), ["password-required", false]);
    assertEquals(await reason({ password: "no" }), ["wrong-password", false]);
    assertEquals(await reason({ password, user: "nobody-such" }), [
      "unknown-user",
      false,
    ]);
    const sudo = { password, server: "/usr/lib/openssh/sftp-server" };
    (await host.sftp({ sudo })).close();
    const missing = await assertRejects(() =>
      host.sftp({ sudo: { password, server: "/no/sftp-server" } })
    ) as Error;
    assert(missing.message.includes("/no/sftp-server"), missing.message);
    assert(!missing.message.includes(password));
  },
});

Deno.test({
  name: named(
    "sftp with sudo is refused at once where the account runs no commands",
  ),
  ignore,
  async fn() {
    await using account = await makeSudoAccount({ rules: ["ALL=(ALL) ALL"] });
    await using none = await makeSudoAccount({ shell: "/usr/sbin/nologin" });
    const { password } = account;
    await using forced = await startSshd({
      config: ["Subsystem sftp internal-sftp", "ForceCommand internal-sftp"],
    });
    await using plain = await startSshd();
    await using site = await makeSite();
    const hosts = [
      forced.host({ user: account.user }),
      plain.host({ user: none.user }),
    ];
    for (const given of hosts) {
      const host = site.pool.host(given);
      const startedAt = performance.now();
      const error = await assertRejects(
        () => host.sftp({ sudo: { password } }),
        ChannelOpenError,
        "the account runs no commands",
      );
      assert(performance.now() - startedAt < 15_000);
      assertEquals(error.mayHaveRun, false);
    }
    // The files of its own are there all the same.
    (await site.pool.sftp(hosts[0]!)).close();
  },
});
