/**
 * Tries all servers, and writes the table in `transport/README.md`:
 *
 *     deno run -A tests/interop/write_table.ts
 *
 * @module
 */

import { type Cell, check } from "./_checks.ts";
import { KINDS } from "./_servers.ts";
import { PAGE, withTable } from "./_table.ts";

const rows = new Map<string, readonly Cell[]>();
for (const { name, missing, start } of KINDS) {
  if (missing !== undefined) throw new Error(`Cannot try ${name}: ${missing}`);
  await using server = await start();
  const cells = await check(server);
  // deno-lint-ignore no-console -- a script for people
  console.log(name, cells.join(" | "));
  rows.set(name, cells);
}
await Deno.writeTextFile(PAGE, withTable(await Deno.readTextFile(PAGE), rows));
await new Deno.Command(Deno.execPath(), { args: ["fmt", "-q", PAGE.pathname] })
  .output();
