/** What `permissions_test.ts` runs with few permissions. */

import { ConnectionPool, type SshHost } from "../../mod.ts";

interface Task {
  /** A host to run on, or a string to look up. */
  readonly host: string | SshHost;
  /** The ssh_config file; `false` for none, absent for the default ones. */
  readonly config?: string | false;
}

const { host, config } = JSON.parse(Deno.args[0]!) as Task;
const pool = new ConnectionPool(
  config === undefined
    ? {}
    : { config: config === false ? false : { files: [config] } },
);
const { stdout } = await pool.exec(host, ["echo", "enough"]);
await pool.close();
Deno.stdout.writeSync(new TextEncoder().encode(stdout));
