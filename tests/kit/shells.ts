/**
 * The shells that users have as their login shell, and running a line with one
 * as sshd does.
 *
 * @module
 */

/** The shells, and the Debian package of each, where dash is `sh`. */
const PACKAGES = {
  sh: "dash",
  bash: "bash",
  ksh: "ksh",
  zsh: "zsh",
  fish: "fish",
  tcsh: "tcsh",
} as const;

/** The name of a shell. */
export type ShellName = keyof typeof PACKAGES;

/** All of them. */
export const SHELLS = Object.keys(PACKAGES) as ShellName[];
/** Those that read POSIX text. */
export const POSIX_SHELLS = SHELLS.filter((name) =>
  name !== "fish" && name !== "tcsh"
);

/** How a line ended. */
export interface ShellRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where a shell is; `undefined` if it is not installed. */
function pathOf(name: ShellName): string | undefined {
  return [`/bin/${name}`, `/usr/bin/${name}`, `/usr/local/bin/${name}`].find(
    (path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    },
  );
}

/** One shell, with a home of its own: fish makes files there. */
export interface Shell {
  readonly name: ShellName;
  readonly path: string;
  readonly home: string;
  /** Runs a line as sshd does. */
  run(
    line: string,
    env?: Readonly<Record<string, string>>,
    cwd?: string,
  ): Promise<ShellRun>;
}

/** A test for each of the shells; one that is missing is named, and skipped. */
export function onShells(
  names: readonly ShellName[],
  title: string,
  test: (shell: Shell) => Promise<void>,
): void {
  for (const name of names) {
    const path = pathOf(name);
    const hint = ` (install ${PACKAGES[name]} to run this test)`;
    Deno.test({
      name: `${title}: ${name}${path === undefined ? hint : ""}`,
      ignore: path === undefined,
      async fn() {
        const home = await Deno.makeTempDir({ prefix: "sshpool-home-" });
        try {
          await test({ name, path: path!, home, run: runner(path!, home) });
        } finally {
          await Deno.remove(home, { recursive: true });
        }
      },
    });
  }
}

function runner(path: string, home: string): Shell["run"] {
  return async (line, env = {}, cwd) => {
    const { code, stdout, stderr } = await new Deno.Command(path, {
      args: ["-c", line],
      clearEnv: true,
      env: { PATH: "/usr/bin:/bin", SHELL: path, HOME: home, ...env },
      ...cwd === undefined ? {} : { cwd },
    }).output();
    const text = new TextDecoder("utf-8", { ignoreBOM: true });
    return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
  };
}
