// Servers of others, and the table that says what works on them.

import { assertEquals } from "@std/assert";
import { check, COLUMNS } from "./_checks.ts";
import { KINDS } from "./_servers.ts";
import { PAGE, readTable } from "./_table.ts";

const { columns, rows } = readTable(await Deno.readTextFile(PAGE));

Deno.test("the table of servers has a row for each that is tried, and a cell for each check", () => {
  assertEquals(columns, COLUMNS);
  assertEquals([...rows.keys()], KINDS.map(({ name }) => name));
  for (const cells of rows.values()) {
    assertEquals(cells.map((it) => it === "yes" || it === "–"), [
      ...COLUMNS.map(() => true),
    ]);
  }
});

for (const { name, missing, start } of KINDS) {
  const title =
    `commands, files and forwards work on ${name}, as far as they do with ssh, and as the table says`;
  Deno.test({
    name: missing === undefined ? title : `${title} (${missing})`,
    ignore: missing !== undefined,
    async fn() {
      await using server = await start();
      const cells = await check(server);
      assertEquals(
        Object.fromEntries(cells.map((it, i) => [COLUMNS[i], it])),
        Object.fromEntries(
          (rows.get(name) ?? []).map((it, i) => [COLUMNS[i], it]),
        ),
      );
    },
  });
}
