import { assertEquals, assertThrows } from "@std/assert";
import { sh } from "../../../transport/command/template.ts";
import { Random, replay, seed } from "../../kit/random.ts";

const shells = ["/bin/dash", "/bin/bash", "/bin/sh"].filter(
  (path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  },
);

/** Runs a line with a real shell. */
async function run(shell: string, line: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(shell, {
    args: ["-c", line],
    env: { LC_ALL: "C", HOME: "/home/somebody" },
  }).output();
  const said = new TextDecoder().decode(stderr);
  if (said !== "") throw new Error(`${shell}: ${line}: ${said}`);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(stdout);
}

Deno.test("sh quotes values, and leaves plain ones readable", () => {
  assertEquals(sh`rm ${"a b"}`, "rm 'a b'");
  assertEquals(sh`rm ${"a"} ${"./b.txt"}`, "rm a ./b.txt");
  assertEquals(sh`echo ${"it's"}`, `echo 'it'\\''s'`);
  assertEquals(sh`echo ${""}`, "echo ''");
  assertEquals(sh`echo ${"$(reboot)"} ${"-rf"}`, "echo '$(reboot)' '-rf'");
  assertEquals(sh`${"if"} ${"A=1"}`, "'if' 'A=1'");
  assertEquals(sh`uptime`, "uptime");
});

Deno.test("sh writes numbers and booleans as text", () => {
  assertEquals(sh`kill ${5} ${-5} ${10n} ${true}`, "kill 5 '-5' 10 true");
});

Deno.test("sh makes words of an array, and nothing of an empty one", () => {
  assertEquals(sh`rm ${["a b", "c", 5]}`, "rm 'a b' c 5");
  assertEquals(sh`ls ${[]}`, "ls ");
  assertEquals(sh`(ls ${["a"]})|wc`, "(ls a)|wc");
});

Deno.test("sh makes one word of a value and the text next to it", () => {
  assertEquals(sh`ls --color=${"a b"} ${"d"}/x`, "ls --color='a b' 'd'/x");
  assertEquals(sh`echo ${"a"}${"b"}`, "echo 'a''b'");
  assertEquals(sh`echo ~${"root"} ${2}>f`, "echo ~'root' '2'>f");
  assertEquals(sh`${"A"}=x`, "'A'=x");
});

Deno.test("sh keeps a value within the quotes in which it stands", () => {
  assertEquals(
    sh`echo "a ${'$x "`\\'} b"`,
    String.raw`echo "a "'$x "` + "`" + String.raw`'\\''" b"`,
  );
  // Not the variable HOMEx.
  assertEquals(sh`echo "$HOME${"x"}"`, `echo "$HOME"'x'""`);
  assertEquals(sh`echo 'a ${"it's"} b'`, `echo 'a it'\\''s b'`);
  assertEquals(sh`echo "$(ls ${"a b"})"`, `echo "$(ls 'a b')"`);
});

Deno.test("sh takes text as written, but for the escapes that JavaScript asks for", () => {
  assertEquals(
    sh`find . -exec rm {} \; -name 'a\.b'`,
    String.raw`find . -exec rm {} \; -name 'a\.b'`,
  );
  assertEquals(sh`echo \${HOME} \`id\` \$x`, "echo ${HOME} `id` \\$x");
  assertEquals(sh`printf '%s\\n' ${1}`, String.raw`printf '%s\\n' 1`);
});

Deno.test("sh.raw() gives text that is put in as it is", () => {
  assertEquals(sh`ls ${sh.raw("2>&1 | wc")}`, "ls 2>&1 | wc");
  assertEquals(
    sh`echo ${sh.raw('"')}${"a b"}${sh.raw('"')}`,
    `echo ""'a b'""`,
  );
  assertThrows(() => sh.raw(5 as never), TypeError, "it is a number");
});

Deno.test("sh refuses what is no word", () => {
  const cases: [unknown, string][] = [
    [undefined, "value 1 is undefined, must be a string"],
    [null, "value 1 is null"],
    [{}, "value 1 is an object"],
    [NaN, "value 1 is NaN"],
    [Infinity, "value 1 is Infinity"],
    [new Date(0), "value 1 is a Date"],
    [Symbol("x"), "value 1 is a symbol"],
    [() => {}, "value 1 is a function"],
    [Promise.resolve("x"), "value 1 is a Promise"],
    [["a", undefined], "value 1[1] is undefined"],
    [["a", , "b"], "value 1[1] is undefined"],
    [[["a"]], "value 1[0] is an array"],
    ["a\0b", "value 1 has a NUL character"],
  ];
  for (const [value, message] of cases) {
    assertThrows(() => sh`rm ${value as never}`, TypeError, message);
  }
  assertThrows(
    () => (sh as CallableFunction)("rm x"),
    TypeError,
    "write sh`...`",
  );
});

Deno.test("sh refuses a value where no value can be quoted", () => {
  const x = "$(id)";
  const cases: [() => string, string][] = [
    [() => sh`echo \`ls ${x}\``, "value 1 is in backticks"],
    [() => sh`echo \${A:-${x}}`, "value 1 is in ${...}"],
    [() => sh`echo "\${A:-"b"}" ${x}`, "value 1 is in ${...}"],
    [() => sh`echo $'a${x}'`, "value 1 is in $'...'"],
    [() => sh`ls # it's ${x}`, "value 1 is in a comment"],
    [() => sh`echo $((1 + ${x}))`, "value 1 is in arithmetic"],
    [() => sh`((a = (${x})))`, "value 1 is in arithmetic"],
    [() => sh`echo $${x}`, "value 1 follows a $"],
    [() => sh`echo "$${x}"`, "value 1 follows a $"],
    [() => sh`echo "$(case a in a) echo ${x};; esac)"`, "a case in brackets"],
    [() => sh`echo ${sh.raw("\\")}${x}`, "the character after a backslash"],
    [() => sh`echo $'it\'s' ${x}`, "value 1 is in text behind"],
    [() => sh`printf %s '\' ${x}`, "value 1 is in text behind"],
    [() => sh`echo "say \"hi\"" ${x}`, "value 1 is in text behind"],
    [() => sh`echo "say \"${x}\""`, "value 1 is in text behind"],
    [() => sh`echo '${sh.raw("\\")}${x}'`, "the character after a backslash"],
    [() => sh`ls 2>&${x}`, "value 1 follows >& or <&"],
    [() => sh`ls >& "a${x}"`, "value 1 follows >& or <&"],
    [() => sh`ls >&${["a"]}`, "value 1 is an array"],
    [() => sh`cat <<${x}`, "value 1 is in a here-document"],
    [
      () =>
        sh`cat <<END
hello ${x}
END`,
      "value 1 is in a here-document",
    ],
  ];
  for (const [make, message] of cases) {
    assertThrows(make, TypeError, message);
  }
  for (
    const make of [
      () => sh`rm --x=${["a"]}`,
      () => sh`rm ${["a"]}.txt`,
      () => sh`rm ${"a"}${["b"]}`,
      () => sh`echo "${["a", "b"]}"`,
      () => sh`ls >${[]}`,
    ]
  ) assertThrows(make, TypeError, "must stand between spaces");
});

Deno.test("sh takes values behind what it had to look into", () => {
  const x = "a b";
  assertEquals(sh`echo \`id\` ${x}`, "echo `id` 'a b'");
  assertEquals(sh`echo \${A:-b} ${x}`, "echo ${A:-b} 'a b'");
  assertEquals(sh`echo $((1 + (${2}))) ${x}`, "echo $((1 + (2))) 'a b'");
  assertEquals(
    sh`ls # it's
echo ${x}`,
    "ls # it's\necho 'a b'",
  );
  assertEquals(
    sh`cat <<-"E F" ${x}
	"$(
	E F
echo ${x}`,
    `cat <<-"E F" 'a b'\n\t"$(\n\tE F\necho 'a b'`,
  );
  assertEquals(sh`ls 2>&${1} >&2 ${x}`, "ls 2>&1 >&2 'a b'");
  assertEquals(sh`cat <<<"x" ${x}`, `cat <<<"x" 'a b'`);
  assertEquals(
    sh`case a in a) echo ${x};; esac`,
    "case a in a) echo 'a b';; esac",
  );
  assertEquals(sh`echo a#b"c ${x}"`, `echo a#b"c "'a b'""`);
  assertEquals(sh`echo \$${x} \\${x}`, "echo \\$'a b' \\\\'a b'");
  for (
    const text of [
      String.raw`'a\.b\n'`,
      String.raw`'\\'`,
      String.raw`'it'\''s'`,
      String.raw`"\\ \$"`,
      String.raw`$'\n\\'`,
      String.raw`\" \'`,
    ]
  ) assertEquals(sh`${sh.raw(text)} ${x}`, `${text} 'a b'`);
  assertEquals(
    sh`echo ${x} "say \"hi\"" x`,
    String.raw`echo 'a b' "say \"hi\"" x`,
  );
});

const SPICE = [
  ...`abz019 \t\n\r'"\\$\`!*?[]{}()<>|&;#~=%^+@:,./-_`,
  "\u00e9",
  "\u{1f600}",
  "$HOME",
  "$(id)",
  "`id`",
  "''",
  '"',
  "--",
  "~root",
  "\n#",
];

Deno.test({
  name:
    "sh gives values that real shells hand on unchanged, in each kind of quotes",
  ignore: shells.length === 0,
  async fn() {
    const random = new Random(seed);
    const make = () =>
      Array.from({ length: random.below(8) }, () => random.pick(SPICE)).join(
        "",
      );
    /** A template, and the arguments that it must give. */
    const kinds: ((v: string[]) => [string, string[]])[] = [
      ([a]) => [sh`p ${a!}`, [a!]],
      ([a, b]) => [sh`p ${a!} ${b!}`, [a!, b!]],
      ([a, b]) => [sh`p ${[a!, b!]}`, [a!, b!]],
      ([a, b]) => [sh`p --x=${a!}/${b!}.txt`, [`--x=${a}/${b}.txt`]],
      ([a, b]) => [sh`p ${a!}${b!}`, [`${a}${b}`]],
      ([a, b]) => [sh`p "x ${a!}${b!} y"`, [`x ${a}${b} y`]],
      ([a, b]) => [sh`p 'x ${a!}${b!} y'`, [`x ${a}${b} y`]],
      ([a]) => [sh`p "$(printf '%s.' ${a!})"`, [`${a}.`]],
      ([a]) => [sh`p "$(printf %s. "<${a!}>")"`, [`<${a}>.`]],
      ([a]) => [sh`x=${a!}; p "$x"`, [a!]],
      ([a]) => [sh`(p ${a!})`, [a!]],
      ([a]) => [sh`if p ${a!};then :;fi`, [a!]],
      ([a]) => [sh`p ~${a!} {${a!}}`, [`~${a}`, `{${a}}`]],
    ];
    for (const shell of shells) {
      const cases = Array.from(
        { length: 400 },
        () => random.pick(kinds)([make(), make()]),
      );
      const lines = cases.map(([line]) => line);
      const output = await run(
        shell,
        `p() { printf '%s\\001' "$@"; }\n${lines.join("\n")}`,
      );
      assertEquals(
        output.split("\x01").slice(0, -1),
        cases.flatMap(([, expected]) => expected),
        `${shell}, ${replay(seed)}`,
      );
    }
  },
});

Deno.test({
  name: "sh never lets a value run, wherever it stands or is refused",
  ignore: shells.length === 0,
  async fn() {
    // Whatever text is around it: the value must not be executed. A line that
    // the shell refuses is as good.
    const parts = [
      ..."\"'\\$(){}<>;|&#\n =",
      "$(",
      "$((",
      "((",
      "${x:-",
      "<<E\n",
      "\nE\n",
      "case a in a) ",
      ";;esac",
      "$'",
      "`",
      "echo ",
      "<<<",
    ];
    const dir = await Deno.makeTempDir();
    try {
      const random = new Random(seed + 1);
      const pick = () =>
        Array.from({ length: random.below(5) }, () => random.pick(parts))
          .join("");
      const lines: string[] = [];
      while (lines.length < 400) {
        // What runs says which line it was, also if it runs in the background.
        const touch = `touch ${dir}/ran-${lines.length}`;
        const value = `$(${touch})\`${touch}\`;${touch};'"\n${touch}\n`;
        const raw = ["echo " + pick(), pick()];
        try {
          lines.push(sh(Object.assign([...raw], { raw }), value));
        } catch {
          continue; // Refused, which is as good.
        }
        await new Deno.Command(shells[lines.length % shells.length]!, {
          args: ["-c", lines.at(-1)!],
          stdin: "null",
          stdout: "null",
          stderr: "null",
          cwd: dir,
        }).output();
      }
      for await (const { name } of Deno.readDir(dir)) {
        if (!name.startsWith("ran-")) continue; // of a redirection
        const line = lines[Number(name.slice(4))];
        throw new Error(`${replay(seed)}: ${JSON.stringify(line)}`);
      }
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});
