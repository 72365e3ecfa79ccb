/** What importing the package loads: nothing of npm, until the first dial. */

import { assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { EmbeddedServer } from "../transport/testing/mod.ts";

const root = new URL("../", import.meta.url);

/** The entry points that are about a package of npm. */
const OF_NPM = ["./otel"];

/** Those that load no module of npm when they are imported. */
const FREE_OF_NPM = Object.entries(config.exports)
  .filter(([name]) => !OF_NPM.includes(name)).map(([, file]) => file);

interface Dependency {
  readonly code?: { readonly specifier?: string };
  readonly isDynamic?: boolean;
}

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly Dependency[];
}

/** Runs Deno to its end and gives what it printed. */
async function deno(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    stdin: "null",
    signal: AbortSignal.timeout(45_000),
  }).output();
  const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
  assertEquals({ code, err }, { code: 0, err: "" });
  return out!;
}

/** What is loaded with an entry point, or also what is loaded later on. */
async function loads(entry: string, { later = false } = {}): Promise<string[]> {
  const json = await deno(["info", "--json", new URL(entry, root).href]);
  const { modules } = JSON.parse(json) as { modules: Module[] };
  const byName = new Map(modules.map((module) => [module.specifier, module]));
  const found = new Set([new URL(entry, root).href]);
  for (const name of found) {
    for (const { code, isDynamic } of byName.get(name)?.dependencies ?? []) {
      if (code?.specifier === undefined || (isDynamic && !later)) continue;
      found.add(code.specifier);
    }
  }
  return [...found];
}

const isForeign = (name: string) => !/^(file|node):/.test(name);

for (const entry of FREE_OF_NPM) {
  Deno.test(`${entry.slice(2)} loads no module of npm when it is imported`, async () => {
    assertEquals((await loads(entry)).filter(isForeign), []);
  });
}

Deno.test("transport/ssh2/mod.ts loads ssh2, ML-KEM and bcrypt later on, and nothing else of npm", async () => {
  const names = await loads("transport/ssh2/mod.ts", { later: true });
  const foreign = names.filter(isForeign);
  assertEquals(foreign.includes("npm:ssh2@1.17.0"), true);
  assertEquals(
    foreign.filter((name) =>
      !/^npm:\/?(ssh2|@noble\/post-quantum|bcrypt-pbkdf)@/
        .test(name)
    ),
    [],
  );
});

/** Prints how many modules of npm are loaded, step by step. */
const PROGRAM = `
import Module from "node:module";
const count = () => Object.keys(Module._cache).length;
const counts = {};
const { ConnectionPool, hostLabel } = await import(${
  JSON.stringify(new URL("mod.ts", root).href)
});
await import(${JSON.stringify(new URL("transport/ssh2/mod.ts", root).href)});
counts.imported = count();
const pool = new ConnectionPool();
await pool.exec("no-such-alias-?", "true").catch(() => {});
pool.stats();
hostLabel({ hostname: "db1" });
counts.used = count();
const host = JSON.parse(Deno.args[0]);
await pool.exec(host, "true");
counts.dialled = count() > 0;
await pool.close();
console.log(JSON.stringify(counts));
`;

Deno.test("ConnectionPool loads ssh2 at its first dial", async () => {
  await using server = await EmbeddedServer.start();
  const file = await Deno.makeTempFile({ suffix: ".mjs" });
  try {
    await Deno.writeTextFile(file, PROGRAM);
    const config = new URL("deno.json", root).pathname;
    const options = ["--quiet", "--allow-all", "--no-check", "--config"];
    const host = JSON.stringify(server.host());
    const out = await deno(["run", ...options, config, file, host]);
    assertEquals(JSON.parse(out), { imported: 0, used: 0, dialled: true });
  } finally {
    await Deno.remove(file);
  }
});
