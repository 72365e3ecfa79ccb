/** `ssh` beside ssh2 in one pool, by one option of a host. */

import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  ConnectionPool,
  DialError,
  RoutingConnector,
  Ssh2Connector,
  type SshHost,
} from "../../../mod.ts";
import { OpenSshConnector } from "../../../transport/openssh/mod.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { freePort } from "../../kit/ports.ts";
import { startSshd } from "../../kit/sshd.ts";
import { openSshTest, processesOf, rejection, sshdTest } from "./_kit.ts";

function makePool(
  folder: string,
  more: ConstructorParameters<typeof ConnectionPool>[0] = {},
): ConnectionPool {
  return new ConnectionPool({
    connector: new RoutingConnector({
      ssh2: new Ssh2Connector(),
      openssh: new OpenSshConnector({ configFile: false, folder }),
    }),
    config: false,
    ...more,
  });
}

/** How many of a pool's connections have an ssh of their own. */
const sshs = (folder: string) => processesOf(`${folder}/`).length;

sshdTest(
  "a host chooses ssh by its field transport, and shares no connection with one that does not",
  async ({ folder }, sshd) => {
    await using pool = makePool(folder);
    const host = sshd.host();
    assertEquals((await pool.exec(host, "echo a")).stdout, "a\n");
    assertEquals(sshs(folder), 0);
    const over: SshHost = { ...host, transport: "openssh" };
    assertEquals((await pool.exec(over, "echo b")).stdout, "b\n");
    assertEquals([pool.size, sshs(folder)], [2, 1]);
    assertEquals((await pool.exec(over, "echo c")).stdout, "c\n");
    assertEquals([pool.size, await sshd.acceptedConnections()], [2, 2]);
  },
);

sshdTest(
  "defaults choose ssh for every host that does not say otherwise",
  async ({ folder }, sshd) => {
    await using pool = makePool(folder, { defaults: { transport: "openssh" } });
    await pool.exec(sshd.host(), "true");
    assertEquals(sshs(folder), 1);
    await pool.exec(sshd.host({ transport: "ssh2" }), "true");
    assertEquals([pool.size, sshs(folder)], [2, 1]);
  },
);

for (
  const [hop, host] of [
    ["openssh", "openssh"],
    ["ssh2", "openssh"],
    ["openssh", "ssh2"],
  ] as const
) {
  sshdTest(
    `a host over ${host} is reached through a hop over ${hop}`,
    async ({ folder }, sshd) => {
      await using gate = await startSshd();
      await using pool = makePool(folder);
      const target = sshd.host({
        transport: host,
        jump: gate.host({ transport: hop }),
      });
      const { stdout } = await pool.exec(target, "echo $SSH_CONNECTION; cat", {
        stdin: "x".repeat(300_000),
      });
      assertEquals(stdout.split("\n")[1]?.length, 300_000);
      const wanted = [hop, host].filter((it) => it === "openssh").length;
      // A hop over ssh2 is joined to ssh by one more, which runs as long.
      const joints = host === "openssh" ? 1 : 0;
      assertEquals(sshs(folder), wanted + joints);
      assertEquals(await gate.acceptedConnections(), 1);
    },
  );
}

sshdTest(
  "many callers of a host over ssh cost one dial, and files and forwards work",
  async ({ folder }, sshd) => {
    await using pool = makePool(folder, { defaults: { transport: "openssh" } });
    const results = await Promise.all(
      Array.from(
        { length: 10 },
        (_, i) => pool.exec(sshd.host(), ["echo", `${i}`]),
      ),
    );
    assertEquals(
      results.map(({ stdout }) => stdout),
      results.map((_, i) => `${i}\n`),
    );
    assertEquals([pool.size, sshs(folder)], [1, 1]);
    const path = join(sshd.dir, "upload");
    await Deno.writeTextFile(path, "content");
    const remote = `/tmp/sshpool-openssh-${Deno.pid}-${sshd.port}`;
    await pool.upload(sshd.host(), path, remote);
    const { stdout } = await pool.exec(
      sshd.host(),
      `cat ${remote}; rm ${remote}`,
    );
    assertEquals(stdout, "content");
  },
);

openSshTest(
  "a transport that the pool does not have fails with phase config, and lists those it has",
  async ({ folder }) => {
    await using pool = makePool(folder);
    const error = await rejection(
      pool.exec({ hostname: "db1", user: "ops", transport: "telnet" }, "true"),
    );
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "config");
    assertMatch(
      error.message,
      /transport is "telnet", must be "ssh2" or "openssh"/,
    );
  },
);

sshdTest(
  "ssh looks up the alias of a host in its own configuration, and goes where the pool's says",
  async ({ folder }, sshd) => {
    const key = join(sshd.dir, "config_key");
    await Deno.copyFile(sshd.privateKeyPath, key);
    await Deno.chmod(key, 0o600);
    const file = join(sshd.dir, "ssh_config");
    const hostKey = await Deno.readTextFile(join(sshd.dir, "host_ed25519.pub"));
    const known = join(sshd.dir, "known_hosts");
    await Deno.writeTextFile(known, `bastion ${hostKey}`);
    await Deno.writeTextFile(
      file,
      [
        "Host bastion",
        "  HostName 127.0.0.1",
        `  Port ${sshd.port}`,
        `  User ${sshd.user}`,
        `  IdentityFile ${key}`,
        "  HostKeyAlias bastion",
        `  UserKnownHostsFile ${known}`,
        // Which ssh2 has not: it shows that ssh has read this.
        "  RekeyLimit 1M",
        "",
      ].join("\n"),
    );
    await using pool = makePool(folder, {
      connector: new OpenSshConnector({ configFile: file, folder }),
      config: { files: [file] },
    });
    assertEquals((await pool.exec("bastion", "echo in")).stdout, "in\n");
    assertEquals(sshs(folder), 1);
  },
);

sshdTest(
  "what a configuration would have ssh do besides is not done",
  async ({ connect, folder }, sshd) => {
    const port = freePort();
    const configFile = join(sshd.dir, "ssh_config");
    const ran = join(sshd.dir, "ran");
    await Deno.writeTextFile(
      configFile,
      [
        `LocalForward ${port} 127.0.0.1:${sshd.port}`,
        "PermitLocalCommand yes",
        `LocalCommand touch ${ran}`,
        "RemoteCommand false",
        "RequestTTY force",
        "ForwardX11 yes",
        "ControlMaster auto",
        `ControlPath ${folder}/shared`,
        "",
      ].join("\n"),
    );
    await using connection = await connect(sshd.host(), {}, { configFile });
    const { stdout } = await connection.exec("echo $DISPLAY; tty");
    assertEquals(stdout, "\nnot a tty\n");
    await assertRejects(
      () => Deno.connect({ hostname: "127.0.0.1", port }),
      Deno.errors.ConnectionRefused,
    );
    assertEquals(existsSync(ran), false);
    assertEquals(existsSync(join(folder, "shared")), false);
  },
);

Deno.test("hosts whose alias is looked up by ssh do not share a connection if it differs", async () => {
  const base = { hostname: "db1", user: "ops" };
  const memory = new MemoryConnector();
  await using routed = new ConnectionPool({
    connector: new RoutingConnector({ memory }),
    config: false,
  });
  for (const alias of ["a", "b"]) {
    await routed.exec({ ...base, alias }, "true");
    await routed.exec({ ...base, alias, transport: "memory" }, "true");
  }
  assertEquals(routed.size, 3);
  const connector = Object.assign(new MemoryConnector(), { usesAlias: true });
  await using alone = new ConnectionPool({ connector, config: false });
  for (const alias of ["a", "b"]) await alone.exec({ ...base, alias }, "true");
  assertEquals(alone.size, 2);
});
