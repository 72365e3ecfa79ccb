// deno-lint-ignore-file no-console -- what the test is about

/** What `progress_test.ts` runs in a terminal. */

import { ConnectionPool, type HostLike } from "../../pool/mod.ts";
import { terminalProgress } from "../../pool/progress.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";

const { hosts, failing, stopAt, label, shows } = JSON.parse(Deno.args[0]!) as {
  hosts: string[];
  failing: string[];
  stopAt?: string;
  label?: string;
  shows: boolean;
};
const pool = new ConnectionPool({ connector: new MemoryConnector() });
const onProgress = terminalProgress(label === undefined ? {} : { label });

const consoleBefore = console.log;

/** Ends when the display is there, if there is to be one. */
async function work(host: HostLike): Promise<void> {
  while (shows && console.log === consoleBefore) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (failing.includes(String(host))) throw new Error("no luck");
}

for await (
  const { name } of pool.fanOut(hosts, work, { onProgress, concurrency: 1 })
) {
  console.log(`result of ${name}`);
  console.error("a\nb");
  if (name === stopAt) break;
}
await pool.close();
console.log("end");
