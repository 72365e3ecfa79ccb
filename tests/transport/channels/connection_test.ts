/** What a connection says of its server. */

import { assertEquals, assertMatch } from "@std/assert";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { connect } from "../ssh2/_kit.ts";
import { startRawServer } from "../ssh2/_raw_server.ts";

Deno.test({
  name:
    `Connection.algorithms and serverSoftware say what was agreed on, and with whom${
      noSshd ? ` (${sshdHint})` : ""
    }`,
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    const kex = "ecdh-sha2-nistp256";
    for (
      const [cipher, mac] of [
        ["aes256-ctr", "hmac-sha2-512-etm@openssh.com"],
        ["chacha20-poly1305@openssh.com", "<implicit>"],
      ]
    ) {
      const algorithms = {
        kex,
        cipher: cipher!,
        ...mac === "<implicit>" ? {} : { mac: mac! },
      };
      await using connection = await connect(sshd.host({ algorithms }));
      assertMatch(connection.serverSoftware ?? "", /^OpenSSH_\d/);
      assertEquals(connection.algorithms, {
        kex,
        hostKey: "ssh-ed25519",
        cipher: cipher!,
        mac: mac!,
      });
    }
  },
});

Deno.test("Connection.algorithms stays as the first key exchange said", async () => {
  await using server = await startRawServer();
  await using connection = await connect(server.host);
  const { algorithms } = connection;
  server.protocol().rekey();
  // Answered after the exchange.
  await connection.sftp!().catch(() => {});
  assertEquals(connection.algorithms, algorithms);
});

Deno.test("Connection.serverSoftware is what the server calls itself", async () => {
  await using server = await EmbeddedServer.start();
  await using connection = await connect(server.host());
  assertEquals(typeof connection.serverSoftware, "string");
  assertEquals(connection.serverSoftware === "", false);
});
