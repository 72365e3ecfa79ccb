import { assert, assertEquals, assertThrows } from "@std/assert";
import { terminalProgress } from "../../pool/progress.ts";
import {
  inTerminal,
  noTerminal,
  show,
  type TerminalEnding,
  terminalHint,
} from "../kit/terminal.ts";

const root = new URL("../../", import.meta.url);
const program = "tests/pool/_progress_program.ts";

/** What `_progress_program.ts` is told to do. */
interface Task {
  readonly hosts: readonly string[];
  readonly failing?: readonly string[];
  readonly stopAt?: string;
  readonly label?: string;
}

interface Circumstances {
  /** Whether there is to be a display. */
  readonly shows?: boolean;
  readonly permissions?: readonly string[];
  readonly env?: Record<string, string>;
}

function run(
  task: Task,
  { shows = true, permissions = ["-A"], env = {} }: Circumstances = {},
): Promise<TerminalEnding> {
  const argument = JSON.stringify({ failing: [], shows, ...task });
  return inTerminal(
    [
      Deno.execPath(),
      "run",
      "--quiet",
      "--no-check",
      "--no-prompt",
      ...permissions,
      program,
      argument,
    ],
    { cwd: root, env: { NO_COLOR: "1", ...env } },
  );
}

function terminalTest(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: noTerminal ? `${name} (${terminalHint})` : name,
    ignore: noTerminal,
    fn,
  });
}

Deno.test("show() shows what a terminal shows", () => {
  assertEquals(show("one\r\ntwo\x1b[1G\x1b[0KTWO\r\n\x1b[?25h"), [
    "one",
    "TWO",
  ]);
  assertEquals(show("a\r\nb\r\n\x1b[2A\x1b[1G\x1b[Kc"), ["c", "b"]);
});

terminalTest(
  "terminalProgress() shows a line below what the program prints",
  async () => {
    const { code, screen, raw } = await run({ hosts: ["u@a", "u@b"] });
    assertEquals({ code, screen }, {
      code: 0,
      screen: [
        "result of u@a",
        "a",
        "b",
        "result of u@b",
        "a",
        "b",
        "✔ 2 hosts",
        "end",
      ],
    });
    assert(/0\/2 hosts, 1 running/.test(raw), raw);
    assert(/1\/2 hosts, 1 running/.test(raw), raw);
    assert(raw.lastIndexOf("\x1b[?25h") > raw.lastIndexOf("\x1b[?25l"), raw);
  },
);

terminalTest(
  "terminalProgress() never leaves the cursor hidden while it waits",
  async () => {
    const { raw } = await run({ hosts: ["u@a"] });
    const hidden = raw.indexOf("\x1b[?25l");
    const shown = raw.indexOf("\x1b[?25h");
    // Before the work has ended, which a signal could prevent.
    assert(hidden >= 0 && hidden < shown && shown < raw.indexOf("result"), raw);
  },
);

terminalTest(
  "terminalProgress() counts failures, and puts its label in front",
  async () => {
    const task = { hosts: ["u@a"], failing: ["u@a"], label: "Restart" };
    const { screen } = await run(task);
    assertEquals(screen.slice(-2), ["✖ Restart: 1 host, 1 failed", "end"]);
  },
);

terminalTest("terminalProgress() tells that the fan-out was left", async () => {
  const { screen } = await run({ hosts: ["u@a", "u@b"], stopAt: "u@a" });
  assertEquals(screen.slice(-2), ["⚠ 1/2 hosts, stopped", "end"]);
});

const QUIET: [string, Circumstances, string[]][] = [
  ["where CI is set", { env: { CI: "true" } }, []],
  ["in a dumb terminal", { env: { TERM: "dumb" } }, []],
  [
    "but for one line if the variables may not be read",
    { permissions: ["--allow-read"] },
    ["Cannot show progress: Requires env access"],
  ],
];

for (const [where, circumstances, expected] of QUIET) {
  terminalTest(`terminalProgress() is quiet ${where}`, async () => {
    const { code, screen } = await run({ hosts: ["u@a"] }, {
      ...circumstances,
      shows: false,
    });
    assertEquals(code, 0);
    const [first = "", ...others] = screen;
    const rest = ["result of u@a", "a", "b", "end"];
    if (expected.length === 0) return assertEquals(screen, rest);
    assert(first.startsWith(expected[0]!), first);
    assertEquals(others, rest);
  });
}

Deno.test("terminalProgress() is quiet where standard error is no terminal", async () => {
  const argument = JSON.stringify({
    hosts: ["u@a"],
    failing: [],
    shows: false,
  });
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "-A", program, argument],
    cwd: root,
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
  assertEquals({ code, out, err }, {
    code: 0,
    out: "result of u@a\nend\n",
    err: "a\nb\n",
  });
});

Deno.test("terminalProgress() refuses a label that is no text", () => {
  assertThrows(
    () => terminalProgress({ label: 5 as unknown as string }),
    TypeError,
    "label is 5, must be a string",
  );
});
