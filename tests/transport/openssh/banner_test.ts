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
  },
);
