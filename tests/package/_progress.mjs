// deno-lint-ignore-file no-console -- what the test is about

/** A fan-out with its display, in a terminal. */

import { ConnectionPool } from "@sshpool/sshpool/pool";
import { terminalProgress } from "@sshpool/sshpool/progress";
import { MemoryConnector } from "@sshpool/sshpool/testing";

const pool = new ConnectionPool({ connector: new MemoryConnector() });
const consoleBefore = console.log;

/** Ends when the display is there. */
async function work() {
  while (console.log === consoleBefore) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const onProgress = terminalProgress();
const options = { concurrency: 1, onProgress };
for await (const { name } of pool.fanOut(["u@a", "u@b"], work, options)) {
  console.log(`result of ${name}`);
}
await pool.close();
