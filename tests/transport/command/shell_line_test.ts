import { assertEquals } from "@std/assert";
import { join } from "node:path";
import {
  isShellName,
  loginShellLine,
  shellLine,
} from "../../../transport/command/shell_line.ts";

const shells = ["/bin/dash", "/bin/bash", "/bin/ksh", "/bin/zsh", "/bin/sh"]
  .filter((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });

interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a line as sshd does, with the shell of the user. */
async function run(
  shell: string,
  line: string,
  env: Record<string, string> = {},
  cwd?: string,
): Promise<Run> {
  const { code, stdout, stderr } = await new Deno.Command(shell, {
    args: ["-c", line],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", SHELL: shell, HOME: "/nonexistent", ...env },
    ...cwd === undefined ? {} : { cwd },
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

function onShells(name: string, test: (shell: string) => Promise<void>): void {
  Deno.test({
    name,
    ignore: shells.length === 0,
    async fn() {
      for (const shell of shells) await test(shell);
    },
  });
}

Deno.test("shellLine() leaves a command alone that needs nothing", () => {
  assertEquals(shellLine("ls | wc", {}), "ls | wc");
  assertEquals(shellLine("ls", { env: {}, login: false }), "ls");
});

Deno.test("shellLine() puts each step in a line of its own", () => {
  assertEquals(
    shellLine("ls # all", { cwd: "/a b", env: { A: "it's", B: "2" } }),
    `cd '/a b' || exit\nexport A='it'\\''s' B='2' || exit\nls # all`,
  );
});

onShells("shellLine() runs in a folder, whatever its name", async (shell) => {
  const dir = await Deno.makeTempDir();
  try {
    const names = ["a b", "-", "-P", "~", "it's", "$HOME", "..x", "a\nb", "é"];
    for (const name of names) {
      const path = join(dir, name);
      await Deno.mkdir(path);
      // CDPATH would lead elsewhere, and cd would print where.
      await Deno.mkdir(join(dir, "other", name), { recursive: true });
      const env = { CDPATH: join(dir, "other"), OLDPWD: "/" };
      for (const cwd of [name, path, `${dir}/./${name}`]) {
        const line = shellLine('printf "%s" "$PWD"', { cwd });
        const { code, stdout, stderr } = await run(shell, line, env, dir);
        assertEquals([code, stderr], [0, ""], `${shell} ${cwd}`);
        assertEquals(stdout.replace("/./", "/"), path, `${shell} ${cwd}`);
      }
    }
    const line = shellLine("pwd", { cwd: ".." });
    assertEquals(
      (await run(shell, line, {}, join(dir, "a b"))).stdout,
      `${dir}\n`,
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

onShells(
  "shellLine() does not run a command whose folder cannot be entered",
  async (shell) => {
    for (const login of [false, true]) {
      const line = shellLine("echo ran", { cwd: "/nonexistent", login });
      const { code, stdout, stderr } = await run(shell, line);
      assertEquals([code > 0, stdout], [true, ""], shell);
      assertEquals(stderr.includes("cd"), true, stderr);
    }
  },
);

onShells("shellLine() sets variables, whatever their values", async (shell) => {
  const values = [
    "",
    "a b",
    "it's",
    "$HOME `id` $(id)",
    "a\nb\n",
    "\\n \\",
    "é\u{1f600}",
    '"',
    "~",
    "a=b",
    "*",
  ];
  for (const login of [false, true]) {
    const env = Object.fromEntries(values.map((value, i) => [`V_${i}`, value]));
    const names = Object.keys(env);
    const print = names.map((name) => `printf '%s\\001' "$${name}"`).join(";");
    // A child sees them too.
    for (
      const command of [print, `sh -c '${print.replaceAll("'", `'\\''`)}'`]
    ) {
      const { stdout, stderr } = await run(
        shell,
        shellLine(command, { env, login }),
      );
      assertEquals(stdout.split("\x01").slice(0, -1), values, shell);
      assertEquals(stderr, "");
    }
  }
});

onShells(
  "shellLine() takes commands as they are: comments, here-documents, many lines, exit codes",
  async (shell) => {
    const options = { cwd: "/", env: { A: "x" } };
    for (const login of [false, true]) {
      const of = (command: string) =>
        run(shell, shellLine(command, { ...options, login }));
      assertEquals((await of("echo $A # it's")).stdout, "x\n");
      assertEquals((await of("cat <<E\n$A it's\nE")).stdout, "x it's\n");
      assertEquals((await of("pwd; exit 7")).code, 7);
      assertEquals((await of("false || echo a |\ncat; (exit 3)")).code, 3);
    }
  },
);

Deno.test({
  name: "shellLine() does not run a command whose variable the shell refuses",
  ignore: !shells.includes("/bin/bash"),
  async fn() {
    const line = shellLine("echo ran", { env: { UID: "5" } });
    const { code, stdout, stderr } = await run("/bin/bash", line);
    assertEquals([code, stdout], [1, ""]);
    assertEquals(stderr.includes("UID: readonly variable"), true);
  },
});

onShells(
  "shellLine() reads the profile with login, and the variables and the folder win over it",
  async (shell) => {
    const home = await Deno.makeTempDir();
    try {
      const profile = "FROM=profile A=profile; export FROM A; cd /tmp\n";
      for (const name of [".profile", ".zprofile"]) {
        await Deno.writeTextFile(join(home, name), profile);
      }
      const command = 'echo "$FROM $A $PWD $0"';
      const options = { cwd: "/", env: { A: "mine" } };
      const login = await run(
        shell,
        shellLine(command, { ...options, login: true }),
        { HOME: home },
      );
      assertEquals(login.stdout, `profile mine / ${shell}\n`, login.stderr);
      const plain = await run(shell, shellLine(command, options), {
        HOME: home,
      });
      assertEquals(plain.stdout, ` mine / ${shell}\n`);
    } finally {
      await Deno.remove(home, { recursive: true });
    }
  },
);

onShells(
  "shellLine() takes /bin/sh for a login shell where the session names none",
  async (shell) => {
    const line = shellLine("echo $0", { login: true });
    const { stdout } = await run(shell, line, { SHELL: "" });
    assertEquals(stdout, "/bin/sh\n");
  },
);

onShells(
  "loginShellLine() becomes a login shell that has the variables",
  async (shell) => {
    const line = loginShellLine({ A: "a b" });
    // The shell reads its commands from standard input.
    const child = new Deno.Command(shell, {
      args: ["-c", line],
      clearEnv: true,
      env: { PATH: "/usr/bin:/bin", SHELL: shell, HOME: "/nonexistent" },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode('echo "$A"\nexit 4\n'));
    await writer.close();
    const { code, stdout } = await child.output();
    assertEquals([code, new TextDecoder().decode(stdout)], [4, "a b\n"]);
  },
);

Deno.test("isShellName() takes the names that a shell can set", () => {
  for (const name of ["A", "_a1", "LC_ALL"]) {
    assertEquals(isShellName(name), true);
  }
  for (const name of ["", "1a", "a-b", "a.b", "é", "a=b", "a\n"]) {
    assertEquals(isShellName(name), false, name);
  }
});
