import { assertEquals, assertThrows } from "@std/assert";
import { commandLine } from "../../../transport/command/command.ts";
import { casesOfRun, Random, replay, seed } from "../../kit/random.ts";

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

Deno.test("commandLine() refuses half of a character, and takes a byte of a file name", () => {
  for (const half of ["\ud800", "\udc7f", "\udd00", "\udfff"]) {
    assertThrows(() => commandLine(`a ${half}`), TypeError, "lone surrogate");
    assertThrows(() => commandLine(["a", half]), TypeError, "lone surrogate");
  }
  assertEquals(commandLine(["a", "\udc80\udcff"]), "a '\udc80\udcff'");
  assertEquals(commandLine(["a", "\u{1f600}"]), "a '\u{1f600}'");
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
    for (let round = 0; round < casesOfRun(20); round++) {
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
        replay(seed + round, true),
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

Deno.test("commandLine() quotes the first item unless it is plain", () => {
  for (const name of ["ls", "/bin/ls", "./a.out", "g++", "a-b", "[", "7z"]) {
    const plain = name === "[" ? "'['" : name;
    assertEquals(commandLine([name, "x"]), `${plain} x`);
  }
  for (const name of ["A=1", "-x", "if", "time", "{", "%1", "a b"]) {
    assertEquals(commandLine([name, "x"]), `'${name}' x`);
  }
  assertEquals(commandLine(["!", "x"]), "''\\!'' x");
  // Arguments may look like that.
  assertEquals(commandLine(["env", "A=1", "-x", "if"]), "env A=1 -x if");
  assertEquals(commandLine(["ls", "=x", "%x", "a!"]), "ls '=x' '%x' 'a'\\!''");
});

Deno.test("commandLine() refuses what is neither a string nor an array of strings", () => {
  const cases: [unknown, string][] = [
    [["ls", undefined], "item 1 is undefined, must be a string"],
    [["ls", null], "item 1 is null, must be a string"],
    [["ls", , "x"], "item 1 is undefined, must be a string"],
    [["head", "-n", 5], "item 2 is a number, must be a string"],
    [[["ls"]], "item 0 is an object, must be a string"],
    [["", "x"], "item 0 is empty, must be a string with the name of a program"],
    [undefined, "it is undefined, must be a string or an array of strings"],
    [null, "it is null, must be"],
    [7, "it is a number, must be"],
    [{ length: 1 }, "it is an object, must be"],
  ];
  for (const [command, message] of cases) {
    assertThrows(() => commandLine(command as never), TypeError, message);
  }
});

Deno.test({
  name: "commandLine() makes the first item a program's name in every shell",
  ignore: !onPosix,
  fn: async () => {
    const dir = await Deno.makeTempDir();
    try {
      const names = [
        "A=1",
        "-x",
        "if",
        "then",
        "while",
        "time",
        "!",
        "{",
        "in",
      ];
      for (const name of names) {
        await Deno.writeTextFile(
          `${dir}/${name}`,
          '#!/bin/sh\necho "ran $1"\n',
          {
            mode: 0o700,
          },
        );
      }
      for (const path of ["/bin/sh", "/bin/bash", "/bin/dash"]) {
        if (!await Deno.stat(path).then(() => true, () => false)) continue;
        for (const name of names) {
          // As sshd calls a user's shell.
          const { stdout } = await new Deno.Command(path, {
            args: ["-c", commandLine([name, "a b"])],
            env: { PATH: `${dir}:/bin:/usr/bin` },
          }).output();
          const said = new TextDecoder().decode(stdout);
          assertEquals(said, "ran a b\n", `${path} ${name}`);
        }
      }
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
