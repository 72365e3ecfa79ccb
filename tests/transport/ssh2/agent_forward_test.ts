/** An agent that is forwarded to sshd. */

import { assert, assertEquals } from "@std/assert";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import { startAgent, tempDir } from "./auth/_login.ts";
import { connect } from "./_kit.ts";

/** Lists the keys of the agent that the server hands on. */
const LIST = "ssh-add -L";

for (const isForwarded of [true, false]) {
  Deno.test({
    name: `A command ${
      isForwarded ? "reaches" : "does not reach"
    } the agent here when agentForward is ${isForwarded}${
      noSshd ? ` (${sshdHint})` : ""
    }`,
    ignore: noSshd,
    async fn() {
      await using sshd = await startSshd();
      await using dir = await tempDir();
      await using agent = await startAgent(dir.path);
      await agent.add(sshd.privateKeyPath);
      await using connection = await connect(
        sshd.host({ agent: agent.path, agentForward: isForwarded }),
      );
      // One after the other, and at once: each opens a channel of its own.
      const first = await connection.exec(LIST);
      const rest = await Promise.all(
        Array.from({ length: 5 }, () => connection.exec(LIST)),
      );
      for (const { code, stdout } of [first, ...rest]) {
        if (isForwarded) assert(/^ssh-\S+ AAAA/.test(stdout), stdout);
        else assertEquals([code, stdout], [2, ""]);
      }
      await until(() => connection.openChannels === 0);
    },
  });
}
