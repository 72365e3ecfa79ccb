// Values that shells fall over, through each shell that users have: a value is
// never a command, and arrives as it is.

import { assertEquals, assertRejects } from "@std/assert";
import { commandLine, sentLine } from "../../../transport/command/command.ts";
import { sh } from "../../../transport/command/template.ts";
import { encodeFileName } from "../../../transport/sftp/names.ts";
import { Random, replay, seed } from "../../kit/random.ts";
import {
  onShells,
  POSIX_SHELLS,
  type Shell,
  SHELLS,
} from "../../kit/shells.ts";

/** What is special somewhere, and what was once read as a command. */
const SPICE = [
  ..."abz019 \t\r'\"\\$`!*?[]{}()<>|&;#~=%^+@:,./-_\x01\x1b\x7f",
  "\u00e9",
  "\u{1f600}",
  "\ufeff",
  "$HOME",
  "${HOME}",
  "$(id)",
  "`id`",
  "(id)",
  "\\n",
  "''",
  "--",
  "-e",
  "%s",
  "!!",
  "!$",
  "%self",
  "=ls",
  "\\'; echo RAN; echo '",
  "\\';echo RAN;#",
  "{a,b}",
  "~root",
];

/** Values of up to ten pieces, and each piece alone. */
function hardValues(random: Random, spice: readonly string[]): string[] {
  const mixed = Array.from(
    { length: 300 },
    () =>
      Array.from({ length: random.below(10) }, () => random.pick(spice))
        .join(""),
  );
  return [...spice, ...mixed];
}

/** Runs lines that print their values, each ended by a NUL character. */
async function printed(
  shell: Shell,
  lines: readonly string[],
): Promise<string[]> {
  const all = [];
  // One after the other: fish makes its folders at the first start.
  for (const line of lines) {
    const { stdout, stderr } = await shell.run(line, { LC_ALL: "C.UTF-8" });
    assertEquals(stderr, "", line);
    all.push(stdout.split("\0").slice(0, -1));
  }
  return all.flat();
}

/** Many values to a process: one each would take long. */
function groups<T>(values: readonly T[], size: number): T[][] {
  return Array.from(
    { length: Math.ceil(values.length / size) },
    (_, i) => values.slice(i * size, (i + 1) * size),
  );
}

const PRINT = ["/usr/bin/printf", "%s\\0"];

onShells(
  SHELLS,
  "sentLine() hands the items of an array on as they are, line feeds too",
  async (shell) => {
    const random = new Random(seed);
    for (const spice of [SPICE, [...SPICE, "\n", "\n\n", "x\\\n"]]) {
      const values = hardValues(random, spice);
      const lines = groups(values, 20)
        .map((group) => sentLine([...PRINT, ...group]));
      assertEquals(await printed(shell, lines), values, replay(seed));
    }
  },
);

onShells(
  POSIX_SHELLS,
  "sentLine() hands file names that are not UTF-8 on next to line feeds, where /bin/sh is",
  async ({ path, home, run }) => {
    const names = ["\udcc3\\", "\\\udce9", "\udcf0\udc9f\n", "x\udcff", "\n"];
    const line = sentLine(["/usr/bin/printf", "%s/", ...names])
      .replace("exec /bin/sh", `exec ${path}`);
    await Deno.writeFile(`${home}/line`, encodeFileName(line));
    const hex = [...encodeFileName(names.join("/") + "/")]
      .map((byte) => byte.toString(16).padStart(2, "0")).join("");
    for (const env of [{ LC_ALL: "C.UTF-8" }, { LANG: "C.UTF-8" }]) {
      const { stdout } = await run(
        `. ${home}/line | od -An -v -tx1 | tr -d ' \\n'`,
        env,
      );
      assertEquals(stdout, hex);
    }
  },
);

onShells(
  SHELLS,
  "sh`...` hands values on as they are, alone, next to text and within quotes",
  async (shell) => {
    const values = hardValues(new Random(seed + 1), SPICE);
    const lines = groups(values, 10).map((group) =>
      [
        sh`${PRINT} ${group}`,
        // deno-fmt-ignore
        ...group.map((v) => sh`x${v}y "x ${v} y" 'x ${v} y'`),
      ].join(" ")
    );
    const expected = groups(values, 10).flatMap((group) => [
      ...group,
      ...group.flatMap((v) => [`x${v}y`, `x ${v} y`, `x ${v} y`]),
    ]);
    assertEquals(await printed(shell, lines), expected, replay(seed));
  },
);

onShells(
  SHELLS,
  "sh`...` gives no value that runs behind quotes of which shells see other ends",
  async (shell) => {
    const templates: ((value: string) => string)[] = [
      (v) => sh`echo $'it\'s' ${v}`,
      (v) => sh`echo $'\\' ${v}`,
      (v) => sh`echo '\' ${v}`,
      (v) => sh`echo '\' x '${v}'`,
      (v) => sh`echo '\\' ${v}`,
      (v) => sh`echo 'x${sh.raw("\\")}${v}'`,
      (v) => sh`echo "say \"hi\"" ${v}`,
      (v) => sh`echo "say \"${v}\""`,
      (v) => sh`echo "\\" ${v}`,
    ];
    const ran = `${shell.home}/ran`;
    const run = `touch ${ran}`;
    const { NotFound } = Deno.errors;
    const values = [`$(${run}) #`, `; ${run} #`, `"; ${run} #`, `'; ${run} #`]
      .flatMap((it) => [it, `\\${it}`]);
    for (const make of templates) {
      for (const value of values) {
        let line;
        try {
          line = make(value);
        } catch {
          continue; // Refused, which is as good.
        }
        await shell.run(line);
        await assertRejects(() => Deno.stat(ran), NotFound, undefined, line);
      }
    }
  },
);

onShells(
  SHELLS,
  "sentLine() makes the first item the name of a program, also where it looks like syntax",
  async (shell) => {
    const dir = await Deno.makeTempDir();
    try {
      const names = [
        ..."A=1 -x if then while time ! { in and not end begin switch".split(
          " ",
        ),
        ..."function foreach = =ls [[ a\\b".split(" "),
        "a b",
        "a\nb",
      ];
      for (const name of names) {
        await Deno.writeTextFile(
          `${dir}/${name}`,
          '#!/bin/sh\necho "ran $1"\n',
          { mode: 0o700 },
        );
      }
      const env = { PATH: `${dir}:/bin:/usr/bin` };
      for (const name of names) {
        const run = await shell.run(sentLine([name, "a b"]), env);
        assertEquals(run, { code: 0, stdout: "ran a b\n", stderr: "" }, name);
      }
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

onShells(
  SHELLS,
  "sentLine() keeps the exit code of a program",
  async (shell) => {
    const code = async (command: string[]) =>
      (await shell.run(sentLine(command))).code;
    assertEquals(await code(["sh", "-c", "exit 7"]), 7);
    assertEquals(await code(["sh", "-c", "exit 7\n"]), 7);
    assertEquals(await code(["no-such-program"]) > 0, true);
    assertEquals(await code(["no-such-program\n"]), 127);
  },
);

Deno.test("commandLine() stays readable for what sentLine() hands over by way of /bin/sh", () => {
  assertEquals(commandLine(["printf", "%s", "a\nb"]), "printf '%s' 'a\nb'");
  assertEquals(
    sentLine(["printf", "%s", "a\nb"]).startsWith("exec /bin/sh -c "),
    true,
  );
  assertEquals(sentLine(["printf", "%s", "a b"]), "printf '%s' 'a b'");
});
