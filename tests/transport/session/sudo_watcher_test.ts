// What a host says before its sudo has begun, and while it talks: there may be no
// end of it.

import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import type { SudoCommand } from "../../../transport/command/sudo_command.ts";
import { SudoWatcher } from "../../../transport/session/_sudo_watcher.ts";
import { slowdown } from "../../kit/linear.ts";

const COMMAND: SudoCommand = {
  line: "",
  user: "root",
  begin: "BEGIN",
  ask: "ASK",
  start: "START",
  password: undefined,
  prompts: undefined,
  mayAsk: true,
  preamble: "",
  isMerged: false,
};

for (
  const [when, begun] of [["before sudo has begun", ""], [
    "while sudo talks",
    "BEGIN",
  ]]
) {
  Deno.test(`SudoWatcher reads in proportion what comes ${when}, and keeps the end of it`, () => {
    const read = (pieces: number) => {
      const watcher = new SudoWatcher(COMMAND, true);
      watcher.take(Buffer.from(begun!));
      const piece = Buffer.alloc(4_096, "a");
      for (let i = 0; i < pieces; i++) watcher.take(piece);
      assert(watcher.sinceQuestion.length < 8_192);
      watcher.take(Buffer.from(begun === "" ? "BEGINSTARTnow" : "STARTnow"));
      assertEquals(watcher.isOpen, true);
      assert(watcher.said.length <= 4_096);
    };
    assert(slowdown(read, [50, 1_600], 32) < 8);
  });
}
