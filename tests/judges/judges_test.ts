// What ours does with awkward files, beside sftp, scp and rsync, on one sshd:
// the table in transport/README.md is what was seen.

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConnectionPool } from "../../mod.ts";
import { noSsh, sshHint } from "../kit/ssh.ts";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";
import { type Case, CASES, type Place } from "./_cases.ts";
import { endJudges, judges, ours, run, type Tool } from "./_tools.ts";

const PAGE = new URL("../../transport/README.md", import.meta.url);
const BEGIN = "<!-- Made by tests/judges: SSHPOOL_WRITE=1 writes it anew -->";
const END = "<!-- end of what the judges do -->";

const missing = noSshd
  ? sshdHint
  : noSsh
  ? sshHint
  : Deno.uid() !== 0
  ? "be root to run this test"
  : existsSync("/usr/bin/rsync")
  ? undefined
  : "install rsync to run this test";
const name =
  "upload() and download() do with awkward files what their table says, beside sftp, scp and rsync";

/** How many copies there are at once. */
const AT_ONCE = 12;

/** One cell: one tool does one case in a folder of its own. */
async function cell(
  { make, look, target, isTree = false, options = {}, rsync = [], isOfRoot }:
    Case,
  tool: Tool,
  direction: "up" | "down",
  { home, user }: { home: string; user: string },
): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "sshpool-judge-" });
  try {
    await Deno.chmod(folder, 0o777);
    const id = folder.split("-").at(-1)!;
    const below = join(folder, "below");
    await Deno.mkdir(below);
    await Deno.chmod(below, 0o777);
    const from = join(folder, `source-${id}`);
    const place: Place = { from, to: join(below, `target-${id}`), home };
    await make(place);
    if (direction === "up" && isOfRoot !== true) {
      await run("chown", ["-hR", user, below]);
    }
    const to = target?.(place) ?? place.to;
    const copy = { direction, from, to, isTree, options, rsync };
    const isDone = await tool.copy(copy);
    if (isDone === undefined) return "";
    const seen = await look(place);
    return isDone ? seen : `error: ${seen}`;
  } finally {
    await run("rm", ["-rf", folder]);
  }
}

async function table(
  direction: "up" | "down",
  tools: readonly Tool[],
  server: { home: string; user: string },
): Promise<string> {
  const cases = CASES.filter(({ only }) => (only ?? direction) === direction);
  const rows = cases.map(({ name }) => [name]);
  const work = cases.flatMap((it, row) =>
    tools.map((tool, column) => async () => {
      rows[row]![column + 1] = await cell(it, tool, direction, server);
    })
  );
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let next = work.shift(); next !== undefined; next = work.shift()) {
      await next();
    }
  }));
  const head = [direction === "up" ? "to the server" : "from the server"];
  const lines = [
    [...head, ...tools.map(({ name }) => name)],
    ["---", ...tools.map(() => "---")],
    ...rows,
  ];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** A table without what a formatter adds. */
const plain = (text: string) =>
  text.replaceAll(/ *\| */g, "|").replaceAll(/-{3,}/g, "---").trim();

Deno.test({
  name: missing === undefined ? name : `${name} (${missing})`,
  ignore: missing !== undefined,
  async fn() {
    await using sshd = await startSshd({ maxSessions: 50 });
    await using pool = new ConnectionPool({ config: false });
    const { stdout } = await pool.exec(sshd.host(), "cd; pwd");
    const server = { home: stdout.trim(), user: sshd.user };
    const [own, write] = ours(pool, sshd);
    const others = judges(sshd);
    let made: string;
    try {
      made = [
        await table("up", [own!, write!, ...others], server),
        await table(
          "down",
          [{ ...own!, name: "`download`" }, ...others],
          server,
        ),
      ].join("\n\n");
    } finally {
      await endJudges(sshd);
    }
    const page = await Deno.readTextFile(PAGE);
    const [before, rest] = page.split(BEGIN);
    const [there, after] = (rest ?? "").split(END);
    assert(before !== undefined && there !== undefined && after !== undefined);
    if (Deno.env.get("SSHPOOL_WRITE")) {
      await Deno.writeTextFile(
        PAGE,
        `${before}${BEGIN}\n\n${made}\n\n${END}${after}`,
      );
      await run(Deno.execPath(), ["fmt", "-q", PAGE.pathname]);
      return;
    }
    assertEquals(plain(made), plain(there));
  },
});
