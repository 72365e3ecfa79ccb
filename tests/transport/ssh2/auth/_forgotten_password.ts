// Run by forgotten_test.ts: logs in with passwords that functions give, and
// looks for them in the memory of the process while the connections are open.
// Prints which are there, and whether a text that is kept on purpose was found.

import v8 from "node:v8";
import { ConnectionPool, type SshHost } from "../../../../mod.ts";

const [given = "", first = ""] = Deno.args;
const hosts: SshHost[] = JSON.parse(given);

const kept = { text: ["kept", first].join("-") };
await using pool = new ConnectionPool({ config: false });
// The text of a password exists nowhere else: it is put together each time.
const password = (n: number) => [first, n].join("-");
for (const [n, host] of hosts.entries()) {
  await pool.exec({ ...host, password: () => password(n) }, "true");
}
const path = await Deno.makeTempFile({ suffix: ".heapsnapshot" });
try {
  v8.writeHeapSnapshot(path);
  const memory = await Deno.readTextFile(path);
  // deno-lint-ignore no-console -- its output is what it is run for
  console.log(JSON.stringify({
    open: pool.size,
    found: hosts.map((_, n) => memory.includes(password(n))),
    foundKept: memory.includes(kept.text),
  }));
} finally {
  await Deno.remove(path);
}
