/**
 * Command lines for a POSIX shell: a folder, variables and a login shell
 * around a command.
 *
 * @module
 */

import { quoted } from "./command.ts";

/** What is put around a command. */
export interface ShellLineOptions {
  /** The folder to run in; relative to where the shell starts. */
  readonly cwd?: string | undefined;
  /** Variables to set, each with a name that the shell can set. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Run it in a login shell. */
  readonly login?: boolean | undefined;
}

// Debian's sh, bash, dash, ksh, zsh and busybox all take -l and -c so. The
// profile is read first: the folder and the variables have the last word.
const LOGIN_SHELL = 'exec "${SHELL:-/bin/sh}" -l';

/**
 * Puts a folder, variables and a login shell around a command.
 *
 * Each step stands in a line of its own and the command in the last, as it is:
 * a comment, a here-document or a syntax error in it changes nothing before.
 *
 * @param command The command, for a POSIX shell.
 * @param options What to put around it.
 * @returns The line; the command itself if there is nothing to put around it.
 */
export function shellLine(command: string, options: ShellLineOptions): string {
  const { cwd, env = {}, login = false } = options;
  const lines = [];
  if (cwd !== undefined) lines.push(`cd ${quoted(folder(cwd))} || exit`);
  if (Object.keys(env).length > 0) lines.push(exportLine(env));
  const script = [...lines, command].join("\n");
  return login ? `${LOGIN_SHELL} -c ${quoted(script)}` : script;
}

/**
 * A line that sets variables, and then becomes the login shell of the user.
 *
 * @param env The variables.
 * @returns The line.
 */
export function loginShellLine(env: Readonly<Record<string, string>>): string {
  return `${exportLine(env)}\n${LOGIN_SHELL}`;
}

/**
 * A line that sets variables; where one cannot be set, the shell ends.
 *
 * @param env The variables, at least one.
 * @returns The line.
 */
export function exportLine(env: Readonly<Record<string, string>>): string {
  const words = Object.entries(env)
    .map(([name, value]) => `${name}=${quoted(value)}`);
  return `export ${words.join(" ")} || exit`;
}

/**
 * Whether a POSIX shell can set a variable of this name.
 *
 * @param name The name.
 */
export function isShellName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

/** A name that begins so is no option, not `cd -`, and not looked up in CDPATH. */
function folder(cwd: string): string {
  return /^(\/|\.\.?(\/|$))/.test(cwd) ? cwd : `./${cwd}`;
}
