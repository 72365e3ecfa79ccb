/** Dropbear: one session at a time on each connection, and none is lost. */

import { assertEquals } from "@std/assert";
import { ConnectionPool, type SshHost } from "../../mod.ts";
import { Dropbear, dropbearHint, noDropbear } from "../kit/dropbear.ts";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";

const COMMANDS = 300;
const CALLERS = 50;

/** Runs the commands; gives what did not succeed, or is not right. */
async function wrongResults(
  pool: ConnectionPool,
  host: SshHost,
): Promise<string[]> {
  const wrong: string[] = [];
  let next = 0;
  const caller = async () => {
    while (next < COMMANDS) {
      const n = next++;
      try {
        const { code, stdout } = await pool.exec(
          host,
          `echo out-${n}; exit ${n % 7}`,
          { acquireTimeoutMs: 120_000 },
        );
        if (code !== n % 7 || stdout !== `out-${n}\n`) {
          wrong.push(`${n}: ${code} ${stdout}`);
        }
      } catch (error) {
        wrong.push(`${n}: ${error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return wrong;
}

Deno.test({
  name: "ConnectionPool runs 300 commands of 50 callers on dropbear, one " +
    "session at a time" + (noDropbear ? ` (${dropbearHint})` : ""),
  ignore: noDropbear,
  async fn() {
    await using server = await Dropbear.start();
    await using pool = new ConnectionPool({ config: false });
    assertEquals(await wrongResults(pool, server.host()), []);
  },
});

Deno.test({
  name: "ConnectionPool runs 300 commands of 50 callers on sshd, ten " +
    "sessions at a time" + (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  async fn() {
    await using server = await startSshd();
    await using pool = new ConnectionPool({ config: false });
    assertEquals(await wrongResults(pool, server.host()), []);
  },
});
