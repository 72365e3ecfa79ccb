import { assertEquals, assertThrows } from "@std/assert";
import { commandLine } from "../../transport/command.ts";
import { Random } from "./_random.ts";

const seed = Number(Deno.env.get("SSHPOOL_SEED") ?? Date.now() % 2 ** 31);
const onPosix = Deno.build.os !== "windows";

Deno.test("commandLine() gives a string as it is", () => {
  assertEquals(commandLine("ls -l | wc $HOME"), "ls -l | wc $HOME");
});

Deno.test("commandLine() leaves plain arguments readable and quotes the others", () => {
  assertEquals(commandLine(["ls", "-l", "/a/b.c"]), "ls -l /a/b.c");
  assertEquals(
    commandLine(["echo", "a b", "", "it's", "$x"]),
    `echo 'a b' '' 'it'\\''s' '$x'`,
  );
});

Deno.test("commandLine() refuses a command that is empty", () => {
  assertThrows(() => commandLine(""), TypeError, "it is empty");
  assertThrows(() => commandLine([]), TypeError, "it is empty");
});

Deno.test("commandLine() refuses a NUL character", () => {
  assertThrows(() => commandLine("a\0b"), TypeError, "NUL");
  assertThrows(() => commandLine(["a", "b\0"]), TypeError, "NUL");
});

/** Runs a command line with a real shell, as sshd does. */
async function shell(line: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("/bin/sh", {
    args: ["-c", line],
    env: { LC_ALL: "C" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(stdout);
}

Deno.test({
  name: "commandLine() gives arguments that /bin/sh hands on unchanged",
  ignore: !onPosix,
  fn: async () => {
    const spice = [
      ...`abz019 \t\n\r'"\\$\`!*?[]{}()<>|&;#~=%^+@:,./-_`,
      "\u00e9",
      "\u{1f600}",
      "\ufeff",
      "$HOME",
      "$(id)",
      "`id`",
      "\\n",
      "''",
      "--",
      "-e",
      "%s",
    ];
    // Many argument lists for one shell: a process each would take long.
    for (let round = 0; round < 20; round++) {
      const random = new Random(seed + round);
      const lists = Array.from(
        { length: 50 },
        () =>
          Array.from(
            { length: 1 + random.below(4) },
            () =>
              Array.from({ length: random.below(10) }, () => random.pick(spice))
                .join(""),
          ),
      );
      const lines = lists.map((list) =>
        commandLine(["printf", "%s\\001", ...list])
      );
      const output = await shell(lines.join("\n"));
      assertEquals(
        output.split("\x01").slice(0, -1),
        lists.flat(),
        `seed ${seed + round}`,
      );
    }
  },
});

Deno.test({
  name:
    "commandLine() keeps the name of the command a word, not an assignment or a keyword's end",
  ignore: !onPosix,
  fn: async () => {
    assertEquals(await shell(commandLine(["printf", "%s", "A=1"])), "A=1");
    assertEquals(
      await shell(commandLine(["env", "A=1", "sh", "-c", "echo $A"])),
      "1\n",
    );
  },
});
