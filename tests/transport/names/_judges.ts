/** Programs that judge patterns. */

/** Runs a program; gives what it prints. */
async function answer(
  program: string,
  args: string[],
  { input = "", cwd = "/", env = {} }: {
    readonly input?: string;
    readonly cwd?: string;
    readonly env?: Record<string, string>;
  },
): Promise<string> {
  await using child = new Deno.Command(program, {
    args,
    cwd,
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const [{ stdout }] = await Promise.all([
    child.output(),
    new Blob([input]).stream().pipeTo(child.stdin),
  ]);
  return new TextDecoder().decode(stdout);
}

/** Runs a script of bash, which knows groups, on an input. */
export function bash(
  script: string,
  input: string,
  cwd?: string,
): Promise<string> {
  return answer("bash", ["-c", `shopt -s extglob; ${script}`], {
    input,
    env: { LC_ALL: "C.UTF-8" },
    ...cwd !== undefined && { cwd },
  });
}

/** Runs git in a folder, without what is configured for this machine. */
export function git(
  args: string[],
  cwd: string,
  input?: string,
): Promise<string> {
  return answer("git", args, {
    cwd,
    env: { GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null" },
    ...input !== undefined && { input },
  });
}

/** Whether there is no bash of this century. */
export const noBash: boolean = await bash('printf "${BASH_VERSINFO[0]}"', "")
  .then((version) => Number(version) < 5, () => true);

/** Whether there is no git. */
export const noGit: boolean = await git(["--version"], "/")
  .then((version) => version === "", () => true);
