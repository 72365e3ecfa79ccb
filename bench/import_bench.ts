/**
 * What it takes to import the package, in a process that has done nothing yet.
 *
 * @module
 */

import { assert } from "@std/assert";
import { reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";

reportOf(import.meta, "import time");

const url = (path: string) => new URL(`../${path}`, import.meta.url).href;

/** Imports a module in a new process, and gives how long that took there. */
async function importMs(specifier: string): Promise<number> {
  const code = `const start = performance.now();
    await import(${JSON.stringify(specifier)});
    console.log(performance.now() - start);`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    // The folder has the deno.json that says what "ssh2" is.
    cwd: new URL("../", import.meta.url),
    args: ["eval", "--no-check", code],
  }).output();
  const ms = Number(new TextDecoder().decode(stdout));
  assert(ms > 0, new TextDecoder().decode(stderr));
  return ms;
}

for (
  const [i, [name, specifier]] of Object.entries({
    "@sshpool/sshpool": url("mod.ts"),
    "@sshpool/sshpool/pool": url("pool/mod.ts"),
    "@sshpool/sshpool/testing": url("transport/testing/mod.ts"),
    "ssh2 alone, which sshpool loads at the first dial": "ssh2",
    "nothing": "data:text/javascript,",
  }).entries()
) {
  scenario({
    name,
    group: "import, in a new process",
    baseline: i === 0,
    n: size(19, 3),
    open: () => specifier,
    run: async (specifier) => [await importMs(specifier)],
    // The process takes longer than the import.
    hasRate: false,
  });
}
