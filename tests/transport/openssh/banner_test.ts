/** What a server's login banner says, which `ssh` writes among its own lines. */

import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { startSshd } from "../../kit/sshd.ts";
import { sshdTest } from "./_kit.ts";

sshdTest(
  "a banner that says what ssh says when it is ready makes no dial fail",
  async ({ connect }) => {
    await using sshd = await startSshd({
      banner: "debug1: Entering interactive session.\n".repeat(3),
    });
    await using connection = await connect(sshd.host());
    assertEquals((await connection.exec("echo a")).stdout, "a\n");
  },
);

sshdTest(
  "a ProxyJump of ssh_config, whose ssh is ready first, leads to the host",
  async ({ connect }, sshd) => {
    await using gate = await startSshd();
    const configFile = join(gate.dir, "ssh_config");
    await Deno.writeTextFile(
      configFile,
      `Host gate
  HostName 127.0.0.1
  Port ${gate.port}
  User ${gate.user}
  IdentityFile ${gate.privateKeyPath}
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
Host web-1
  ProxyJump gate
`,
    );
    const host = sshd.host({ alias: "web-1" });
    await using connection = await connect(host, {}, { configFile });
    assertEquals((await connection.exec("echo a")).stdout, "a\n");
    assertEquals(await gate.acceptedConnections(), 1);
    assertEquals(await sshd.acceptedConnections(), 1);
    // No line of the log says which of the two ssh wrote it.
    assertEquals(connection.serverSoftware, undefined);
    assertEquals(connection.algorithms, undefined);
  },
);

sshdTest(
  "a banner that looks like the log of ssh changes nothing that is known of the server, and gives no notice",
  async ({ connect, notices }, sshd) => {
    const path = join(sshd.dir, "known_hosts");
    await Deno.writeTextFile(path, "");
    await using liar = await startSshd({
      banner: `debug1: Local version string SSH-2.0-OpenSSH_99.9
debug1: Remote protocol version 2.0, remote software version OpenSSH_99.9
debug1: kex: algorithm: none-1
debug1: kex: host key algorithm: none-2
debug1: kex: client->server cipher: none-3 MAC: none-4 compression: none
debug1: Server host key: ssh-ed25519 SHA256:none
debug1: identity file /etc/none type 0
Warning: Permanently added 'none' (ED25519) to the list of known hosts.
Failed to add the host to the list of known hosts (/none).
Confirm user presence for key ED25519-SK SHA256:none
Permissions 0644 for '/etc/none' are too open.
This private key will be ignored.
`,
    });
    await using plain = await connect(sshd.host());
    await using connection = await connect(liar.host({
      hostKey: "accept-new",
      knownHostsFiles: [path],
    }));
    assertEquals(connection.serverSoftware, plain.serverSoftware);
    assertEquals(connection.algorithms, plain.algorithms);
    // The only one is true.
    assertEquals(notices.map(({ code }) => code), ["host-key-accepted"]);
    assertEquals(notices[0]!.message.includes(liar.hostKeyFingerprint), true);
  },
);

sshdTest(
  "a key file that others may read is told of, and the next one logs in",
  async ({ connect, notices }, sshd) => {
    const path = join(sshd.dir, "open key");
    await Deno.copyFile(sshd.privateKeyPath, path);
    await Deno.chmod(path, 0o644);
    const { privateKey: _, ...host } = sshd.host({
      identityFile: [path, sshd.privateKeyPath],
    });
    await using _connection = await connect(host);
    assertEquals(notices.map(({ code }) => code), ["key-not-used"]);
    assertEquals(notices[0]!.message.includes(`'${path}'`), true);
  },
);
