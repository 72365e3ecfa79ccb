// OpenSSH 10 keeps those away for a while who failed to log in.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { ConnectionPool } from "../../../mod.ts";
import type { PoolEvent } from "../../../pool/mod.ts";
import { AuthenticationError } from "../../../transport/errors.ts";
import { keyPair } from "../../../transport/testing/server/_keys.ts";
import { openssh10, openssh10Hint, startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";

const name =
  "ConnectionPool waits out the penalty of an OpenSSH 10 for failed logins of others";

Deno.test({
  name: openssh10 === undefined ? `${name} (${openssh10Hint})` : name,
  ignore: openssh10 === undefined,
  async fn() {
    await using sshd = await startSshd({
      version: "10",
      config: ["PerSourcePenalties authfail:3 min:1 max:5"],
    });
    const events: PoolEvent[] = [];
    await using pool = new ConnectionPool({
      config: false,
      observer: (event) => void events.push(event),
    });
    const stranger = { privateKey: keyPair("stranger").privateKey };
    const refused = await pool.exec(sshd.host(stranger), "true")
      .catch((error) => error);
    assertInstanceOf(refused, AuthenticationError);
    // It is due once the process of that login has ended.
    const isDue = async () => (await sshd.log()).includes("active penalty");
    await until(isDue, "the penalty");
    // The same address is not let in now, whoever it is.
    const { stdout } = await pool.exec(sshd.host(), "echo in");
    assertEquals(stdout, "in\n");
    const throttled = events.filter((it) =>
      it.type === "dial-failed" && it.retryInMs !== undefined
    );
    assert(throttled.length > 0, "no dial met the penalty");
    const [first] = throttled as { readonly error: Error }[];
    assert(
      first!.error.message.includes("Not allowed at this time"),
      first!.error.message,
    );
  },
});
