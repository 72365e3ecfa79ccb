import { assertEquals } from "@std/assert";
import { join } from "node:path";
import {
  isShellName,
  loginShellLine,
  posixText,
  shellLine,
} from "../../../transport/command/shell_line.ts";
import { onShells, POSIX_SHELLS, SHELLS } from "../../kit/shells.ts";

Deno.test("shellLine() leaves a command alone that needs nothing", () => {
  assertEquals(shellLine("ls | wc", {}), "ls | wc");
  assertEquals(shellLine("ls", { env: {}, login: false }), "ls");
});

Deno.test("posixText() puts each step in a line of its own", () => {
  assertEquals(
    posixText("ls # all", { cwd: "/a b", env: { A: "it's", B: "2" } }),
    `cd '/a b' || exit\nexport A='it'\\''s' B='2' || exit\nls # all`,
  );
  assertEquals(posixText("ls | wc", {}), "ls | wc");
});

onShells(
  SHELLS,
  "shellLine() runs in a folder, whatever its name",
  async ({ name: shell, run }) => {
    const dir = await Deno.makeTempDir();
    try {
      const names = ["a b", "-", "-P", "~", "it's", "$HOME", "..x", "a\nb"];
      for (const name of [...names, "é", "a\\'b", "!!", "=ls"]) {
        const path = join(dir, name);
        await Deno.mkdir(path);
        // CDPATH would lead elsewhere, and cd would print where.
        await Deno.mkdir(join(dir, "other", name), { recursive: true });
        const env = { CDPATH: join(dir, "other"), OLDPWD: "/" };
        const own = name === "~" ? "./~" : name;
        for (const cwd of [own, path, `${dir}/./${name}`]) {
          const line = shellLine("/bin/pwd", { cwd });
          const { code, stdout, stderr } = await run(line, env, dir);
          assertEquals([code, stderr], [0, ""], `${shell} ${cwd}`);
          assertEquals(stdout, `${path}\n`, `${shell} ${cwd}`);
        }
      }
      const line = shellLine("pwd", { cwd: ".." });
      assertEquals(
        (await run(line, {}, join(dir, "a b"))).stdout,
        `${dir}\n`,
      );
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

onShells(
  SHELLS,
  "shellLine() leads home from ~, whatever stands behind its slash",
  async ({ name: shell, home, run }) => {
    const dir = await Deno.makeTempDir();
    try {
      for (const name of ["a b", "-", "~", "it's", "$HOME", "a\nb", "~root"]) {
        await Deno.mkdir(join(home, name));
        await Deno.mkdir(join(dir, name));
      }
      const folders = [
        ["~", home],
        ["~/", home],
        ["~/..", join(home, "..")],
        ...["a b", "-", "~", "it's", "$HOME", "a\nb"]
          .map((name) => [`~/${name}`, join(home, name)]),
        // No home of another is looked up.
        ["~root", join(dir, "~root")],
      ] as const;
      for (const login of [false, true]) {
        for (const [cwd, path] of folders) {
          const line = shellLine("/bin/pwd", { cwd, login });
          const { code, stdout, stderr } = await run(line, {}, dir);
          const shown = `${shell} ${login} ${cwd}`;
          assertEquals([code, stdout], [0, `${path}\n`], `${shown} ${stderr}`);
        }
      }
      const line = shellLine("echo ran", { cwd: "~/none" });
      const { code, stdout } = await run(line, {}, dir);
      assertEquals([code > 0, stdout], [true, ""], shell);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

onShells(
  SHELLS,
  "shellLine() does not run a command whose folder cannot be entered",
  async ({ name, run }) => {
    for (const login of [false, true]) {
      const line = shellLine("echo ran", { cwd: "/nonexistent", login });
      const { code, stdout, stderr } = await run(line);
      assertEquals([code > 0, stdout], [true, ""], name);
      assertEquals(stderr.includes("cd"), true, stderr);
    }
  },
);

onShells(
  SHELLS,
  "shellLine() sets variables, whatever their values",
  async ({ name: shell, run }) => {
    const values = [
      "",
      "a b",
      "it's",
      "$HOME `id` $(id)",
      "a\nb\n",
      "\\n \\",
      "\\'; echo RAN #",
      "é\u{1f600}",
      '"',
      "~",
      "a=b",
      "*",
      "!!",
    ];
    for (const login of [false, true]) {
      const env = Object.fromEntries(
        values.map((value, i) => [`V_${i}`, value]),
      );
      // A child sees them.
      const line = shellLine("env -0", { env, login });
      const { stdout, stderr } = await run(line, { LC_ALL: "C.UTF-8" });
      const seen = Object.fromEntries(
        stdout.split("\0").map((it) => it.split(/=(.*)/s).slice(0, 2)),
      );
      const got = Object.keys(env).map((name) => seen[name]);
      assertEquals(got, values, `${shell} login ${login}`);
      assertEquals(stderr, "");
      assertEquals(Object.hasOwn(seen, "_sshpool"), false);
    }
  },
);

onShells(
  SHELLS,
  "shellLine() sets SHELL for the command alone, which runs in the shell of the user",
  async ({ name, run }) => {
    const line = shellLine("/usr/bin/printenv SHELL", {
      env: { SHELL: "/no/such/shell" },
    });
    assertEquals((await run(line)).stdout, "/no/such/shell\n", name);
  },
);

onShells(
  POSIX_SHELLS,
  "shellLine() takes commands as they are: comments, here-documents, many lines, exit codes",
  async ({ run }) => {
    const options = { cwd: "/", env: { A: "x" } };
    for (const login of [false, true]) {
      for (const lineOf of [shellLine, posixText]) {
        const of = (command: string) =>
          run(lineOf(command, { ...options, login }));
        assertEquals((await of("echo $A # it's")).stdout, "x\n");
        assertEquals((await of("cat <<E\n$A it's\nE")).stdout, "x it's\n");
        assertEquals((await of("pwd; exit 7")).code, 7);
        assertEquals((await of("false || echo a |\ncat; (exit 3)")).code, 3);
        assertEquals((await of("echo $A\n\n")).stdout, "x\n");
      }
    }
  },
);

/** What only this shell takes, and prints `5 mine` and the folder. */
const OWN_SYNTAX = {
  fish: "set x 5; if test $x -eq 5; echo $x $A; pwd; exit 3; end",
  tcsh: "set x = 5 ; if ( $x == 5 ) echo $x $A ; pwd ; exit 3",
  zsh: 'x=(4 5); echo "${x[(r)5]} $A"; pwd; exit 3',
  bash: 'x=(4 5); echo "${x[1]} $A"; pwd; exit 3',
} as const;

onShells(
  ["fish", "tcsh", "zsh", "bash"],
  "shellLine() runs the command in the shell of the user, with any option",
  async ({ name, run }) => {
    const command = OWN_SYNTAX[name as keyof typeof OWN_SYNTAX];
    for (const login of [false, true]) {
      const options = { cwd: "/usr", env: { A: "mine" }, login };
      assertEquals(
        await run(shellLine(command, options)),
        { code: 3, stdout: "5 mine\n/usr\n", stderr: "" },
        `${name} login ${login}`,
      );
    }
  },
);

Deno.test("shellLine() is one line, which csh asks for", () => {
  const options = { cwd: "a\nb", env: { A: "x\n" } };
  for (const login of [false, true]) {
    const line = shellLine("a\nb", { ...options, login });
    assertEquals(line.includes("\n"), false);
  }
  assertEquals(loginShellLine({ A: "x\ny" }).includes("\n"), false);
});

onShells(
  ["bash"],
  "posixText() does not run a command whose variable the shell refuses",
  async ({ run }) => {
    const line = posixText("echo ran", { env: { UID: "5" } });
    const { code, stdout, stderr } = await run(line);
    assertEquals([code, stdout], [1, ""]);
    assertEquals(stderr.includes("UID: readonly variable"), true);
  },
);

/** What the files of a login do. */
const PROFILES = {
  ".profile": "FROM=profile A=profile; export FROM A; cd /tmp\n",
  ".zprofile": "FROM=profile A=profile; export FROM A; cd /tmp\n",
  ".config/fish/config.fish": "status is-login; or exit\n" +
    "set -gx FROM profile; set -gx A profile; cd /tmp\n",
  ".login": "setenv FROM profile; setenv A profile; cd /tmp\n",
} as const;

onShells(
  SHELLS,
  "shellLine() reads the profile with login, and the variables and the folder win over it",
  async ({ name, path, home, run }) => {
    await Deno.mkdir(`${home}/.config/fish`, { recursive: true });
    for (const [file, text] of Object.entries(PROFILES)) {
      await Deno.writeTextFile(join(home, file), text);
    }
    const of = async (command: string, login: boolean, more = {}) => {
      const { stdout, stderr } = await run(
        shellLine(command, { login, ...more }),
      );
      assertEquals(stderr, "", name);
      return stdout;
    };
    const own = { cwd: "/", env: { A: "mine" } };
    const show = "/usr/bin/printenv FROM A; /bin/pwd";
    assertEquals(await of(show, true, own), "profile\nmine\n/\n", name);
    assertEquals(await of(show, true), "profile\nprofile\n/tmp\n", name);
    assertEquals(await of(show, false, own), "mine\n/\n", name);
    if (name === "fish") return;
    assertEquals(await of("echo $0", true), `${path}\n`);
  },
);

onShells(
  POSIX_SHELLS,
  "shellLine() takes /bin/sh for a login shell where the session names none",
  async ({ run }) => {
    const line = shellLine("echo $0", { login: true });
    assertEquals((await run(line, { SHELL: "" })).stdout, "/bin/sh\n");
    const inFolder = shellLine("echo $0", { cwd: "/" });
    assertEquals((await run(inFolder, { SHELL: "" })).stdout, "/bin/sh\n");
  },
);

onShells(
  SHELLS,
  "loginShellLine() becomes a login shell that has the variables",
  async ({ path, home }) => {
    // The shell reads its commands from standard input.
    const child = new Deno.Command(path, {
      args: ["-c", loginShellLine({ A: "a b" })],
      clearEnv: true,
      env: { PATH: "/usr/bin:/bin", SHELL: path, HOME: home },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode('echo "$A"\nexit 4\n'));
    await writer.close();
    const { code, stdout } = await child.output();
    // tcsh says first that it has no terminal.
    const said = new TextDecoder().decode(stdout).split("\n").slice(-2);
    assertEquals([code, said], [4, ["a b", ""]]);
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
