import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
} from "@std/assert";
import {
  finished,
  isAbandoned,
  isUnfinished,
  leftBelow,
  leftFor,
  tagIn,
  tagOf,
  unfinishedName,
} from "../../../transport/sftp/_unfinished.ts";

/** A time that is long ago, in seconds since 1970. */
const LONG_AGO = 1;

Deno.test("unfinishedName() gives a name that cannot be foretold, and is known again", () => {
  const [one, other] = [unfinishedName("app.tar"), unfinishedName("app.tar")];
  assertNotEquals(one, other);
  // Not the tag, which each of them has: the rest of it.
  const random = (name: string) => name.slice(-28, -4);
  assertMatch(random(one), /^[0-9a-f]{24}$/);
  const equal = [...random(one)].filter((digit, i) =>
    digit === random(other)[i]
  );
  assert(equal.length < 12, `${one} and ${other}`);
  for (const name of [one, other]) {
    assert(isUnfinished(name));
    assertEquals(tagIn(name), tagOf("app.tar"));
    finished(name, "/srv", "gone");
  }
});

Deno.test("isAbandoned() is true of what this process left, or nobody wrote to for a day, and of nothing else", () => {
  const now = Date.now() / 1000;
  const name = unfinishedName("app.tar");
  // Its transfer stands still: it is not to be removed all the same.
  assertEquals(isAbandoned(name, LONG_AGO), false);
  finished(name, "/srv", "left");
  assertEquals(isAbandoned(name, now), true);
  finished(name, "/srv", "gone");
  assertEquals(isAbandoned(name, now), false);
  assertEquals(isAbandoned(name, undefined), false);
  assertEquals(isAbandoned(name, LONG_AGO), true);
  const kept = unfinishedName("app.tar", true);
  finished(kept, "/srv", "kept");
  assertEquals(isAbandoned(kept, LONG_AGO), false);
  assertEquals(isAbandoned("app.tar", LONG_AGO), false);
});

Deno.test("finished() remembers ten thousand files that could not be removed", () => {
  const names = Array.from(
    { length: 10_001 },
    (_, i) => unfinishedName(`${i}`),
  );
  try {
    for (const name of names) finished(name, "/srv", "left");
    assertEquals(leftBelow("/srv").length, 10_000);
    assertEquals(leftFor("0", "/srv"), []);
    assertEquals(leftFor("1", "/srv"), [names[1]]);
    assertEquals(leftFor("1", "/other"), []);
  } finally {
    for (const name of names) finished(name, "/srv", "gone");
  }
});
