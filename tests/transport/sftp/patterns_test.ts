// Patterns of paths judged by bash, and lines of a .gitignore judged by git; and
// paths that would keep a regular expression busy for ever.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { dirname } from "node:path";
import { filterOf, Glob } from "../../../transport/sftp/_patterns.ts";
import { slowdown } from "../../kit/linear.ts";
import { fuzz, type Random } from "../../kit/random.ts";
import { bash, git, noBash, noGit } from "../names/_judges.ts";

const NAMES = ["a", "b", "ab", ".a", "a.b", "b a", "*a", "[b]"];

/** Makes a tree of random names; gives what is in it, folders with a slash. */
async function makeTree(top: string, random: Random): Promise<string[]> {
  const made = new Set<string>();
  for (let i = 0; i < 60; i++) {
    const path = random.some(NAMES, 4).join("/");
    try {
      await Deno.mkdir(`${top}/${dirname(path)}`, { recursive: true });
      await Deno.writeTextFile(`${top}/${path}`, "");
    } catch {
      continue; // It is a folder, or below a file.
    }
    made.add(path);
    for (let at = dirname(path); at !== "."; at = dirname(at)) {
      made.add(`${at}/`);
    }
  }
  return [...made].toSorted();
}

const SEGMENTS = ["*", "**", "?", "a*", "*b", ".*", "[ab]", "[!a]*", "\\*?"];
const GROUPS = ["@(a|ab)", "?(a)b", "{a,b}", "{a/b,b}", "{.a,a.b}", "{a/**,b}"];

/** The paths that are found by going through a tree as a walk does. */
function found(glob: Glob, tree: readonly string[]): string[] {
  const isReached = (path: string): boolean => {
    const above = dirname(path);
    return above === "." ||
      (isReached(above) && glob.mayHave(above) !== "no");
  };
  return tree.map((path) => [path.replace(/\/$/, ""), path.endsWith("/")])
    .filter(([path, isFolder]) =>
      isReached(path as string) &&
      glob.matches(path as string, isFolder as boolean)
    )
    .map(([path]) => path as string);
}

Deno.test({
  name: "a pattern of paths finds what bash finds",
  ignore: noBash,
  async fn() {
    let matches = 0;
    await fuzz(async (random) => {
      const top = await Deno.makeTempDir();
      try {
        const tree = await makeTree(top, random);
        const patterns = Array.from({ length: 40 }, () => {
          const names = random.some([...SEGMENTS, ...GROUPS, "a", "b"], 4);
          return names.join("/") + random.pick(["", "", "/"]);
        }).filter((it) => Glob.of(it)?.base === "");
        for (const dot of [false, true]) {
          const said = await bash(
            `shopt -s globstar nullglob ${dot ? "dotglob" : ""}; IFS=
             while IFS= read -r -d '' p
             do eval "for f in \${p// /\\\\ }; do printf '%s\\0' \\"\\$f\\"; done"
             printf '\\n'; done`,
            patterns.map((it) => `${it}\0`).join(""),
            top,
          );
          for (const [index, list] of said.split("\n").entries()) {
            const pattern = patterns[index];
            if (pattern === undefined) break;
            // What has no wildcard is not looked for.
            const expected = list.split("\0")
              .filter((it) => tree.includes(it) || tree.includes(`${it}/`))
              .map((path) => path.replace(/\/$/, ""));
            const ours = found(Glob.of(pattern, dot)!, tree);
            assertEquals(
              ours.toSorted(),
              [...new Set(expected)].toSorted(),
              `${pattern} with dot ${dot}`,
            );
            matches += ours.length;
          }
        }
      } finally {
        await Deno.remove(top, { recursive: true });
      }
    });
    assert(matches > 0);
  },
});

const LINES = [
  ...["a", "b", "ab", ".a", "b a", "*", "**", "?", "a*", "[ab]", "[!a]*"],
  ...[
    "\\*a",
    "*.?",
    "[[]b]",
    "a.b",
    "@(a|b)",
    "{a,b}",
    "[[:alpha:]]",
    "[\\]b]",
  ],
];

function randomLine(random: Random): string {
  const line = random.some(LINES, 3).join("/");
  const before = random.pick(["", "", "", "!", "/", "!/", "\\", "#", " "]);
  return before + line +
    random.pick(["", "", "/", "  ", "\\ ", "\\\\ ", "/**"]);
}

Deno.test({
  name: "lines of a filter leave out what git ignores",
  ignore: noGit,
  async fn() {
    let ignored = 0;
    await fuzz(async (random) => {
      const top = await Deno.makeTempDir();
      try {
        const tree = await makeTree(top, random);
        await git(["init", "-q"], top);
        for (let i = 0; i < 20; i++) {
          const lines = Array.from({ length: 4 }, () => randomLine(random));
          await Deno.writeTextFile(
            `${top}/.git/info/exclude`,
            lines.join("\n"),
          );
          const said = await git(
            ["check-ignore", "--no-index", "-z", "--stdin"],
            top,
            tree.map((it) => it.replace(/\/?$/, "\0")).join(""),
          );
          const left = new Set(said.split("\0"));
          const filter = filterOf(random.pick([
            lines,
            lines.join("\n"),
            `\ufeff${lines.join("\r\n")}\r`,
            lines.join("\r\n").split("\n"),
          ]))!;
          for (const path of random.some(tree, 60)) {
            const isIgnored = left.has(path.replace(/\/$/, ""));
            if (isIgnored) ignored++;
            assertEquals(
              !filter(path),
              isIgnored,
              JSON.stringify([path, lines]),
            );
          }
        }
      } finally {
        await Deno.remove(top, { recursive: true });
      }
    });
    assert(ignored > 0);
  },
});

Deno.test("patterns read a path in proportion to its length, whatever they are", () => {
  const globs = ["**/a/**/*.log", "**/a*/**/*a*.log", "{**/a,**/b}/**/c/**/d"]
    .map((it) => Glob.of(it)!);
  const filter = filterOf(["**/a/**/b", "*a*a*a*b", "a/**/a/**/c"])!;
  for (const glob of globs) {
    const read = (path: string) => {
      assertEquals(glob.matches(path, false), false);
      assertEquals(glob.mayHave(path), "yes");
    };
    assert(
      slowdown(read, ["a/".repeat(127) + "c", "a/".repeat(2_047) + "c"], 16) <
        4,
    );
  }
  const taken = (path: string) => assertEquals(filter(path), true);
  assert(
    slowdown(taken, ["a/".repeat(127) + "d", "a/".repeat(2_047) + "d"], 16) < 4,
  );
});

Deno.test("a pattern says which folders it names, so that they may be links", () => {
  const may = (pattern: string, folder: string) =>
    Glob.of(pattern)!.mayHave(folder);
  assertEquals(may("*/x", "n"), "named");
  assertEquals(may("*/**/x", "n"), "named");
  assertEquals(may("*/**/x", "n/m"), "yes");
  assertEquals(may("**/x", "n"), "yes");
  assertEquals(may("{*/x,**/y}", "n"), "named");
  assertEquals(may("{a,b}/x", "n"), "no");
  assertEquals(may("*", "n"), "no");
});

Deno.test("a pattern takes all of a folder only where a branch of it says so", () => {
  for (const pattern of ["{src,docs/**}", "{docs/**,src}"]) {
    const glob = Glob.of(pattern)!;
    assertEquals(glob.matches("src", true), true);
    assertEquals(glob.takesAll("src"), true);
    assertEquals(glob.matches("docs", true), true);
    assertEquals(glob.takesAll("docs"), false);
  }
});

Deno.test("a pattern has one base, and says if its braces have more", () => {
  const base = (pattern: string) => Glob.of(pattern)?.base;
  assertEquals(base("/*"), "/");
  assertEquals(base("/{etc,usr}/*"), "/");
  assertEquals(base("/a\\*/b/*"), "/a*/b");
  assertEquals(base("*"), "");
  assertEquals(base("/a\\*"), undefined);
  for (const pattern of ["{/etc,/usr}/*", "{,/etc/}host*"]) {
    assertThrows(
      () => Glob.of(pattern),
      TypeError,
      'in its braces begins with "/", which must stand before them',
    );
  }
});

Deno.test("patterns that are too long are refused", () => {
  assertThrows(
    () => Glob.of("a/".repeat(2_048) + "*"),
    RangeError,
    "4097 characters: at most 4096",
  );
  assertThrows(
    () => filterOf("a\n" + " ".repeat(4_097)),
    RangeError,
    "4097 characters as a filter: at most 4096",
  );
});

Deno.test("an entry of a deep tree costs a pattern no more than another one", () => {
  const deep = (depth: number) => "d/".repeat(depth);
  const work = (folder: string) => {
    const glob = Glob.of("**/*.log")!;
    const filter = filterOf(["*.log", "a/**/b", "/c", "!d/e"])!;
    for (let i = 0; i < 2_000; i++) {
      const name = `${folder}${i % 50}/${i}`;
      assertEquals(glob.matches(name, false), false);
      assertEquals(glob.mayHave(name), "yes");
      assertEquals(filter(name), true);
    }
  };
  assert(slowdown(work, [deep(10), deep(1_000)], 10) < 3);
});
