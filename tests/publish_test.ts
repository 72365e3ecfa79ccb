/** What JSR would get: what users need, with no warning. */

import { assert, assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };

const root = new URL("../", import.meta.url);

Deno.test("deno publish takes the library, its pages and LICENSE, and warns of nothing", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["publish", "--dry-run", "--allow-dirty"],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
  const lines = `${out}${err}`.split("\n").map((line) => line.trim());
  assertEquals(code, 0, lines.join("\n"));
  const files = lines.flatMap((line) => {
    const [, url] = /^(file:\S+) \([\d.]+\w+\)$/.exec(line) ?? [];
    return url === undefined ? [] : [url.slice(root.href.length)];
  });
  const isLibrary = (name: string) => /^(pool|transport)\/.+\.ts$/.test(name);
  assertEquals(
    files.filter((name) => !isLibrary(name)).sort(),
    [
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "bench/README.md",
      "bench/peers.svg",
      "bench/report.svg",
      "deno.json",
      "mod.ts",
      "pool/README.md",
      "pool/RECIPES.md",
      "tests/README.md",
      "transport/README.md",
      "transport/nats/README.md",
    ],
  );
  assert(files.filter(isLibrary).length > 100);
  const rest = lines.filter((line) =>
    line !== "" && !/^file:/.test(line) &&
    !/^(Check (mod|pool|transport)\S*\.ts|Checking for slow types .*)$/.test(
      line,
    )
  );
  assertEquals(rest, [
    `Simulating publish of ${config.name}@${config.version} with files:`,
    "Success Dry run complete",
  ]);
});
