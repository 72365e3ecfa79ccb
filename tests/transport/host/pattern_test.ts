import { assert, assertEquals } from "@std/assert";
import {
  asciiLowerCase,
  hasWildcard,
  matchPattern,
  matchPatterns,
  MAX_PATTERN_LENGTH,
} from "../../../transport/host/pattern.ts";
import { Random, replay, seed } from "../../kit/random.ts";

/** What `*` and `?` mean, written as plainly as can be. */
function slow(text: string, pattern: string): boolean {
  if (pattern === "") return text === "";
  if (pattern[0] === "*") {
    return slow(text, pattern.slice(1)) ||
      (text !== "" && slow(text.slice(1), pattern));
  }
  return text !== "" && (pattern[0] === "?" || pattern[0] === text[0]) &&
    slow(text.slice(1), pattern.slice(1));
}

Deno.test("matchPattern() agrees with a slow matcher, for strings and for elements", () => {
  const random = new Random(seed);
  const word = (letters: string) =>
    Array.from({ length: random.below(8) }, () => random.pick([...letters]))
      .join("");
  for (let i = 0; i < 20_000; i++) {
    const [text, pattern] = [word("ab."), word("ab.*?")];
    const expected = slow(text, pattern);
    const what = `${replay(seed)} ${JSON.stringify([text, pattern])}`;
    assertEquals(matchPattern(text, pattern), expected, what);
    const elements = [...pattern].map((it) =>
      it === "*" || it === "?" ? it : (char: string) => char === it
    );
    assertEquals(matchPattern(text, elements), expected, what);
  }
});

Deno.test("matchPattern() takes a test of a character where a wildcard is meant as text", () => {
  const star = (char: string) => char === "*";
  assert(matchPattern("a*b", ["a", star, "b"]));
  assert(!matchPattern("axb", ["a", star, "b"]));
});

Deno.test("matchPattern() takes bounded time on many stars", () => {
  assert(!matchPattern("a".repeat(2_000), "*a".repeat(500) + "b"));
  assert(!matchPattern("a".repeat(255), "a*".repeat(100) + "b"));
});

Deno.test("matchPatterns() wants one pattern that fits, and none with ! that does", () => {
  assert(matchPatterns("db1", ["web*", "db?"]));
  assert(!matchPatterns("db1", ["web*"]));
  assert(!matchPatterns("db1", ["db*", "!db1"]));
  assert(!matchPatterns("db1", ["!db1", "db*"]));
  assert(!matchPatterns("db1", ["!web*"]));
  assert(!matchPatterns("db1", []));
  assert(!matchPatterns("DB1", ["db1"]));
});

Deno.test("matchPatterns() gives up a list at a pattern that is too long, as OpenSSH does", () => {
  const longest = "*".repeat(MAX_PATTERN_LENGTH);
  assert(matchPatterns("db1", [longest]));
  assert(matchPatterns("db1", [`!${"x".repeat(MAX_PATTERN_LENGTH)}`, "db1"]));
  assert(!matchPatterns("db1", ["db1", `${longest}*`]));
});

Deno.test("hasWildcard() finds * and ? alone", () => {
  assertEquals(["a*", "?", "[a]", "a.b", ""].map(hasWildcard), [
    true,
    true,
    false,
    false,
    false,
  ]);
});

Deno.test("asciiLowerCase() leaves everything but A to Z as it is", () => {
  assertEquals(asciiLowerCase("Web-É\u212a"), "web-É\u212a");
});
