// What comes through tunnels is acknowledged at once: until its first session
// runs, sshd sends by Nagle's algorithm.

import { assertEquals, assertGreater } from "@std/assert";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { TestServer } from "../forward/_kit.ts";
import { connect } from "./_kit.ts";

Deno.test({
  name:
    "Connection.forwardOut() acknowledges at once what comes through a tunnel, until a session runs" +
    (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({ logLevel: "DEBUG3" });
    await using target = await TestServer.start();
    await using connection = await connect(sshd.host());
    const ignored = async () =>
      (await sshd.log()).split("Received SSH2_MSG_IGNORE").length - 1;
    const tunnel = await connection.forwardOut!(target.target);
    const writer = tunnel.writable.getWriter();
    const reader = tunnel.readable.getReader();
    const exchange = async (text: string) => {
      await writer.write(new TextEncoder().encode(text));
      assertEquals(new TextDecoder().decode((await reader.read()).value), text);
    };
    await exchange("one");
    // One is for the list of host keys.
    for (let left = 1000; await ignored() < 2; left--) {
      assertGreater(left, 0, "what came through the tunnel was not answered");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await connection.exec("true"); // what was sent before has arrived
    const before = await ignored();
    await exchange("two");
    await connection.exec("true");
    assertEquals(await ignored(), before);
    tunnel.close();
  },
});
