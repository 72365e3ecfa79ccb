/** What a process that was started says, line by line. */

import { assert, assertEquals } from "@std/assert";
import { Readable } from "node:stream";
import { readLines } from "../../../transport/openssh/_child.ts";

Deno.test("readLines() gives each line, and keeps little of one that does not end", async () => {
  const pipe = new Readable({ read() {} });
  const lines: string[] = [];
  const end = readLines(pipe, (line) => void lines.push(line));
  pipe.push("one\r\ntw");
  pipe.push("o\n");
  for (let i = 0; i < 64; i++) pipe.push("x".repeat(16 * 1024));
  pipe.push("\nthree\n");
  pipe.push(null);
  await end;
  assertEquals([lines[0], lines[1], lines[3]], ["one", "two", "three"]);
  assert(lines[2]!.length <= 2 * 64 * 1024, `${lines[2]!.length} characters`);
});
