// The list of host keys that OpenSSH sends after the login.

import { assertEquals } from "@std/assert";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { connect } from "./_kit.ts";

Deno.test({
  name:
    "Ssh2Connector.connect() answers sshd's list of host keys with one message that means nothing, and asks for no signatures",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({
      hostKeyTypes: ["ed25519", "ecdsa"],
      logLevel: "DEBUG3",
    });
    await using connection = await connect(sshd.host());
    await connection.exec("true");
    const log = await sshd.log();
    const count = (text: string) => log.split(text).length - 1;
    assertEquals(count("notify_hostkeys: sent 2 hostkeys"), 1);
    assertEquals(count("Received SSH2_MSG_IGNORE"), 1);
    assertEquals(count("hostkeys-prove-00@openssh.com"), 0);
  },
});
