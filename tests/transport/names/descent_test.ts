// What is known of the folders of a tree: each follows from the one above it.

import { assertEquals } from "@std/assert";
import { Descent } from "../../../transport/names/descent.ts";

/** A tree whose folders are known by their paths, and the steps it has made. */
function tree(): { at(path: string): string; steps: string[] } {
  const steps: string[] = [];
  const folders = new Descent("", (above, name) => {
    steps.push(name);
    return `${above}${name}/`;
  });
  return { at: (path) => folders.at(path), steps };
}

Deno.test("Descent goes down from the last folder above that it knows", () => {
  const { at, steps } = tree();
  assertEquals(at("a/b/"), "a/b/");
  assertEquals(at("a/b/c/d/"), "a/b/c/d/");
  assertEquals(at("a/b/e/"), "a/b/e/");
  assertEquals(at("a/"), "a/");
  assertEquals(at(""), "");
  assertEquals(steps, ["a", "b", "c", "d", "e"]);
});

Deno.test("Descent remembers the thousand folders that were asked for last", () => {
  const { at, steps } = tree();
  for (let i = 0; i < 1_000; i++) at(`${i}/`);
  at("0/");
  at("more/");
  steps.length = 0;
  for (const path of ["2/", "0/", "999/", "more/"]) {
    assertEquals(at(path), path);
  }
  assertEquals(steps, []);
  assertEquals(at("1/"), "1/");
  assertEquals(steps, ["1"]);
});
