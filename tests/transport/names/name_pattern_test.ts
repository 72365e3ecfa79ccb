// Patterns of names, judged by bash; and names that would keep a regular
// expression busy for ever.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { NamePattern } from "../../../transport/names/name_pattern.ts";
import { expandBraces } from "../../../transport/names/braces.ts";
import { slowdown } from "../../kit/linear.ts";
import { fuzz, type Random } from "../../kit/random.ts";
import { bash, noBash } from "./_judges.ts";

const CHARS = ["a", "b", "ab", ".", "-", "]", "é", "😀", "1", "B", " "];

type Name = readonly string[];

/** A piece of a pattern, and where it ends in a name: by definition. */
interface Piece {
  readonly text: string;
  readonly ends: (name: Name, at: number) => readonly number[];
}

const one = (text: string, has: (char: string) => boolean): Piece => ({
  text,
  ends: (name, at) => at < name.length && has(name[at]!) ? [at + 1] : [],
});

const placesFrom = (name: Name, at: number) =>
  Array.from({ length: name.length - at + 1 }, (_, more) => at + more);

const inTurn = (pieces: readonly Piece[]): Piece => ({
  text: pieces.map(({ text }) => text).join(""),
  ends: (name, at) =>
    pieces.reduce(
      (
        places,
        { ends },
      ) => [...new Set(places.flatMap((it) => ends(name, it)))],
      [at],
    ),
});

const plain = (text: string): Piece => ({
  ...inTurn([...text].map((char) => one(char, (it) => it === char))),
  text,
});

function group(kind: string, choices: readonly Piece[]): Piece {
  const once: Piece["ends"] = (name, at) =>
    choices.flatMap(({ ends }) => ends(name, at));
  const more: Piece["ends"] = (name, at) => {
    const found = new Set<number>();
    const open = [at];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const end of once(name, next)) {
        if (!found.has(end)) open.push(end);
        found.add(end);
      }
    }
    return [...found];
  };
  const kinds: Readonly<Record<string, Piece["ends"]>> = {
    "@": once,
    "?": (name, at) => [at, ...once(name, at)],
    "+": more,
    "*": (name, at) => [at, ...more(name, at)],
    "!": (name, at) => {
      const not = once(name, at);
      return placesFrom(name, at).filter((it) => !not.includes(it));
    },
  };
  const inside = choices.map(({ text }) => text).join("|");
  return { text: `${kind}(${inside})`, ends: kinds[kind]! };
}

const MEMBERS: readonly Piece[] = [
  one("]", (it) => it === "]"),
  ...["a", "b", "é", "."].map((char) => one(char, (it) => it === char)),
  one("a-c", (it) => /[a-c]/.test(it)),
  one("[:digit:]", (it) => /[0-9]/.test(it)),
  one("[:upper:]", (it) => /[A-Z]/.test(it)),
  one("[:space:]", (it) => /\s/.test(it)),
  one("[:xdigit:]", (it) => /[a-fA-F0-9]/.test(it)),
  one("\\]", (it) => it === "]"),
];

function classOf(random: Random): Piece {
  // Elsewhere a "]" would be the end.
  const some = [...new Set(random.some(MEMBERS, 3))]
    .sort((a, b) => MEMBERS.indexOf(a) - MEMBERS.indexOf(b));
  const not = random.pick(["", "!", "^"]);
  return one(
    `[${not}${some.map(({ text }) => text).join("")}]`,
    (char) =>
      some.some(({ ends }) => ends([char], 0).length > 0) === (not === ""),
  );
}

/** @param kinds The groups that it may have. */
function randomPiece(random: Random, depth: number, kinds: string): Piece {
  const kind = random.below(kinds === "" || depth > 2 ? 7 : 9);
  if (kind < 2) return plain(random.pick(CHARS));
  if (kind === 2) return one("?", () => true);
  if (kind === 3) {
    const char = random.pick(["a", "*", "?", "[", "(", "."]);
    return one(`\\${char}`, (it) => it === char);
  }
  if (kind === 4) return classOf(random);
  if (kind === 5) return plain(random.pick(["{", ",", "^"]));
  if (kind === 6) return { text: "*", ends: placesFrom };
  const choices = Array.from(
    { length: 1 + random.below(3) },
    () => randomPattern(random, 2, depth + 1, kinds),
  );
  return group(random.pick([...kinds]), choices);
}

function randomPattern(
  random: Random,
  most: number,
  depth = 0,
  kinds = "?*+@!",
): Piece {
  const length = depth === 0 ? 1 + random.below(most) : random.below(most + 1);
  return inTurn(
    Array.from({ length }, () => randomPiece(random, depth, kinds)),
  );
}

/** A short name that may well be meant, or any. */
function randomName(random: Random, { text }: Piece): string {
  const name = random.chance(0.5)
    ? text.replace(/[*?@+!()|\\[\]]/g, "") || "a"
    : random.some(CHARS, 6).join("");
  return [...name].slice(0, 10).join("");
}

const ALL = { dot: true, groups: true };

Deno.test("NamePattern reads every pattern as its definition says", async () => {
  let matches = 0;
  await fuzz((random) => {
    const pattern = randomPattern(random, 5);
    const read = new NamePattern(pattern.text, ALL);
    for (let i = 0; i < 20; i++) {
      const name = randomName(random, pattern);
      const chars = [...name];
      const expected = pattern.ends(chars, 0).includes(chars.length);
      if (expected) matches++;
      assertEquals(
        read.matches(name),
        expected,
        `${JSON.stringify(pattern.text)} and ${JSON.stringify(name)}`,
      );
    }
  });
  assert(matches > 0);
});

Deno.test({
  name: "NamePattern reads a pattern without groups as bash does",
  ignore: noBash,
  async fn() {
    await fuzz(async (random) => {
      const pairs = Array.from({ length: 500 }, () => {
        const pattern = randomPattern(random, 5, 0, "");
        return [pattern.text, randomName(random, pattern)] as const;
      });
      const said = await bash(
        `while IFS= read -r -d '' p && IFS= read -r -d '' n
         do [[ $n == $p ]] && printf 1 || printf 0; done`,
        pairs.flat().map((it) => `${it}\0`).join(""),
      );
      assertEquals(said.length, pairs.length);
      for (const [index, [pattern, name]] of pairs.entries()) {
        assertEquals(
          new NamePattern(pattern, ALL).matches(name),
          said[index] === "1",
          `${JSON.stringify(pattern)} and ${JSON.stringify(name)}`,
        );
      }
    });
  },
});

Deno.test({
  name: "NamePattern knows the classes of characters that bash does",
  ignore: noBash,
  async fn() {
    const names = "alnum alpha blank cntrl digit graph lower print punct " +
      "space upper xdigit none";
    const pairs = names.split(" ").flatMap((name) =>
      Array.from({ length: 127 }, (_, code) => [`[[:${name}:]]`, code] as const)
    );
    const said = await bash(
      `while read -r p code; do printf -v n "\\x$code"
       [[ $n == $p ]] && printf 1 || printf 0; done`,
      pairs.slice(1).map(([p, code]) => `${p} ${(code || 1).toString(16)}\n`)
        .join(""),
    );
    for (const [index, [pattern, code]] of pairs.slice(1).entries()) {
      assertEquals(
        new NamePattern(pattern, ALL).matches(String.fromCharCode(code || 1)),
        said[index] === "1",
        `${pattern} and ${code}`,
      );
    }
  },
});

Deno.test("NamePattern takes a dot at the start of a name only where one is written", () => {
  const hidden = [".a", "@(.a|b)", "\\.a", ".*", ".@(a)", "+(.)a"];
  const visible = ["*", "?a", "*a", "[.]a", "!(b)", "*.a", "?(b).a", "*(b).a"];
  for (const pattern of [...hidden, ...visible]) {
    const is = (dot: boolean) =>
      new NamePattern(pattern, { dot, groups: true }).matches(".a");
    assertEquals(is(false), hidden.includes(pattern), pattern);
    assertEquals(is(true), true, pattern);
  }
});

Deno.test("NamePattern without groups reads them as text", () => {
  const pattern = new NamePattern("@(a|b)", { dot: false, groups: false });
  assertEquals(pattern.matches("@(a|b)"), true);
  assertEquals(pattern.matches("a"), false);
});

Deno.test("NamePattern reads a name in proportion to its length, whatever the pattern", () => {
  const patterns = [
    "*a*a*a*.log",
    "*[a-z]*[a-z]*[0-9]",
    "*(a)*(a)*(a)b",
    "+(a|aa|*a)b",
    "*(*(*(*(a))))b",
    "*@(a|aa)*@(a|aa)*b",
    "!(*.log).log",
  ].map((it) => new NamePattern(it, { dot: false, groups: true }));
  for (const pattern of patterns) {
    const read = (name: string) => assertEquals(pattern.matches(name), false);
    assert(slowdown(read, ["a".repeat(64), "a".repeat(1_024)], 16) < 4);
  }
});

Deno.test("NamePattern refuses patterns that are too long or too deep", () => {
  const options = { dot: false, groups: true };
  assertThrows(
    () => new NamePattern("a".repeat(4_097), options),
    RangeError,
    "4097 characters: at most 4096",
  );
  const nested = (depth: number) => "@(".repeat(depth) + ")".repeat(depth);
  assertThrows(
    () => new NamePattern(nested(101), options),
    RangeError,
    "101 groups in each other: at most 100",
  );
  assertEquals(new NamePattern(nested(100), options).matches(""), true);
  // One that is in none is text.
  const text = new NamePattern("(".repeat(200) + "@(a)", options);
  assertEquals(text.matches("(".repeat(200) + "a"), true);
  // What is not closed is text, and read once.
  const open = "@(".repeat(2_000);
  assertEquals(new NamePattern(open, options).matches(open), true);
});

Deno.test("NamePattern gives up on a name that would take too long", () => {
  const pattern = new NamePattern("*!(*!(a)b)c", ALL);
  for (let i = 0; i < 1_000; i++) {
    assertEquals(pattern.matches("a".repeat(30)), false);
  }
  assertThrows(
    () => {
      for (let i = 0; i < 100; i++) pattern.matches("a".repeat(1_024));
    },
    RangeError,
    "Cannot match a name of 1024 characters",
  );
});

Deno.test("NamePattern gives up on names that would take too long together", () => {
  const pattern = new NamePattern("*!(*!(a)b)c", ALL);
  const name = "a".repeat(100);
  for (let i = 0; i < 10; i++) assertEquals(pattern.matches(name), false);
  assertThrows(
    () => {
      for (let i = 0; i < 100; i++) pattern.matches(name);
    },
    RangeError,
    "Cannot match a name of 100 characters",
  );
});

Deno.test("expandBraces() takes no longer to refuse a range that is longer", () => {
  const refuse = (range: string) =>
    void assertThrows(() => expandBraces(range), RangeError);
  const ranges = ["{1..10000}", "{1..10000000}"] as const;
  assert(slowdown(refuse, ranges, 1_000) < 0.1);
});

Deno.test({
  name: "expandBraces() writes out what bash does",
  ignore: noBash,
  async fn() {
    const pieces = ["a", "b", ",", "{", "}", "{a,b}", "{1..3}", "{c..a}"];
    const more = [
      "{08..10}",
      "{-1..1}",
      "{0..6..3}",
      "{b,}",
      "\\{",
      "\\,",
      "{",
    ];
    await fuzz(async (random) => {
      const patterns = Array.from(
        { length: 200 },
        () =>
          // What bash makes of `{}` depends on what is before it.
          `x${random.some([...pieces, ...more], 6).join("")}`
            .replaceAll("{}", "{b}"),
      );
      const said = await bash(
        `set -f; while IFS= read -r -d '' p
         do eval "printf '%s ' $p"; printf '\\0'; done`,
        patterns.map((it) => `${it}\0`).join(""),
      );
      for (const [index, expected] of said.split("\0").entries()) {
        const pattern = patterns[index];
        if (pattern === undefined) break;
        // The shell takes the backslashes away.
        const ours = expandBraces(pattern)
          .map((it) => `${it.replace(/\\(.)/g, "$1")} `);
        assertEquals(ours.join(""), expected, pattern);
      }
    });
    assertEquals(expandBraces("{1..1000}").length, 1_000);
    for (
      const many of [
        "{1..1001}",
        "{a,b}".repeat(10),
        "{1..999999999999}",
        "{1..500}" + "a".repeat(200),
      ]
    ) {
      assertThrows(
        () => expandBraces(many),
        RangeError,
        "stand for more than 1000 patterns",
      );
    }
  },
});
