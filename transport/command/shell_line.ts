/**
 * Command lines with a folder, variables and a login shell around a command.
 *
 * @module
 */

import { posixLine, quoted } from "./_any_shell.ts";

/** What is put around a command. */
export interface ShellLineOptions {
  /** The folder to run in; relative to where the shell starts, `~` is home. */
  readonly cwd?: string | undefined;
  /** Variables to set, each with a name that a shell can set. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Run it in a login shell. */
  readonly login?: boolean | undefined;
}

const NO_ENV: Readonly<Record<string, string>> = Object.freeze({});

/**
 * Puts a folder, variables and a login shell around a command. What is put
 * around it runs in `/bin/sh`, and the command itself in the shell of the user,
 * as it would without.
 *
 * @param command The command, for the shell of the user.
 * @param options What to put around it.
 * @returns A line for any shell; the command itself if there is nothing to put
 *   around it.
 */
export function shellLine(command: string, options: ShellLineOptions): string {
  const { cwd, env = NO_ENV, login = false } = options;
  if (login) return posixLine(LOGIN, [before(options), command]);
  const names = Object.keys(env);
  if (cwd === undefined && names.length === 0) return command;
  const args = [command];
  const steps = ['set -- "${SHELL:-/bin/sh}" "$@"'];
  const take = (value: string) => `"\${${args.push(value) + 1}}"`;
  if (cwd !== undefined) steps.push(`cd ${folder(cwd, take)} || exit`);
  if (names.length > 0) steps.push(exports(env, take));
  return posixLine([...steps, 'exec "$1" -c "$2"'].join("; "), args);
}

/**
 * The same as text for `/bin/sh`, in which the command runs too, unless it is
 * to run in a login shell.
 *
 * Each step stands in a line of its own and the command in the last, as it is:
 * a comment, a here-document or a syntax error in it changes nothing before.
 *
 * @param command The command, for `/bin/sh`.
 * @param options What to put around it.
 */
export function posixText(command: string, options: ShellLineOptions): string {
  return options.login === true
    ? shellLine(command, options)
    : before(options) + command;
}

/**
 * A line that sets variables, and then becomes the login shell of the user.
 *
 * @param env The variables.
 * @returns A line for any shell.
 */
export function loginShellLine(env: Readonly<Record<string, string>>): string {
  const args: string[] = [];
  const take = (value: string) => `"\${${args.push(value) + 1}}"`;
  const steps = ['set -- "${SHELL:-/bin/sh}" "$@"', exports(env, take)];
  return posixLine([...steps, 'exec "$1" -l'].join("; "), args);
}

/**
 * A line that sets variables; where one cannot be set, the shell ends.
 *
 * @param env The variables, at least one.
 * @returns A line for `/bin/sh`, which fish takes too.
 */
export function exportLine(env: Readonly<Record<string, string>>): string {
  return exports(env, quoted);
}

/**
 * Returns whether a POSIX shell can set a variable of this name.
 *
 * @param name The name.
 */
export function isShellName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

/**
 * Becomes a login shell that runs `$1$2`. sh, bash, dash, ksh, zsh, busybox and
 * fish all take `-l` and `-c` so. The profile is read first: the folder and the
 * variables of `$1` have the last word.
 *
 * csh takes no `-c` beside `-l`, so it reads the files of a login itself; and
 * `$1` is no text for it: `/bin/sh` runs that, and then csh the command.
 */
const LOGIN = [
  'case ${SHELL##*/} in *csh) exec "$SHELL" -c ' +
  `'if ( -r /etc/csh.login ) source /etc/csh.login; ` +
  "if ( -r ~/.login ) source ~/.login; " +
  `exec /bin/sh -c $1:q sh $2:q' "$1"'exec "$SHELL" -c "$1"' "$2";; esac`,
  'exec "${SHELL:-/bin/sh}" -l -c "$1$2"',
].join("; ");

/** Returns the folder and the variables, each in a line of its own. */
function before({ cwd, env = NO_ENV }: ShellLineOptions): string {
  const lines = [];
  if (cwd !== undefined) lines.push(`cd ${folder(cwd, quoted)} || exit\n`);
  if (Object.keys(env).length > 0) lines.push(`${exportLine(env)}\n`);
  return lines.join("");
}

function exports(
  env: Readonly<Record<string, string>>,
  take: (value: string) => string,
): string {
  const words = Object.entries(env)
    .map(([name, value]) => `${name}=${take(value)}`);
  return `export ${words.join(" ")} || exit`;
}

/**
 * Returns a folder as one word. `~` stands outside of the quotes, for the shell
 * to expand, if a slash or nothing follows. A name that begins with `./` is no
 * option, not `cd -`, and not looked up in CDPATH.
 */
function folder(cwd: string, quote: (text: string) => string): string {
  if (cwd === "~") return cwd;
  if (cwd.startsWith("~/")) return `~/${quote(cwd.slice(2))}`;
  return quote(/^(\/|\.\.?(\/|$))/.test(cwd) ? cwd : `./${cwd}`);
}
