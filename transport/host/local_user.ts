/**
 * The local user, machine and environment. Each answer may need a permission
 * that was not given: then it is `undefined`. So ask only for what is needed.
 *
 * @module
 */

import * as os from "node:os";
import process from "node:process";

/**
 * Returns what `ask` gives, or `undefined` where the runtime refuses to say.
 */
export function allowed<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

/** One variable of the environment; `undefined` if unset, or not readable. */
export function readEnv(name: string): string | undefined {
  return allowed(() => process.env[name]);
}

/** Returns the whole environment; `undefined` if it may not be read. */
export function readWholeEnv(): Record<string, string> | undefined {
  return allowed(() => {
    const entries = Object.entries(process.env);
    return Object.fromEntries(entries.map(([k, v]) => [k, v ?? ""]));
  });
}

/** Returns the name of the local user, if it can be found. */
export function localUser(): string | undefined {
  const name = allowed(() => os.userInfo().username) ||
    readEnv("USER") || readEnv("LOGNAME") || readEnv("USERNAME");
  return name || undefined;
}

/**
 * Returns the home directory of the local user, if it can be found, without a
 * slash at its end. It is the one rule for every `~`: of keys, of certificates,
 * of known_hosts, of ssh_config and what it includes, and for `%d`.
 *
 * The user database comes before `HOME`. OpenSSH reads the user database alone:
 * `HOME=/elsewhere ssh` uses the same files as `ssh`. `HOME` serves where the
 * runtime does not permit to ask the database.
 */
export function homeDirectory(): string | undefined {
  const home = allowed(() => os.userInfo().homedir) ||
    readEnv("HOME") || allowed(() => os.homedir());
  return home?.replace(/(?<=.)\/+$/, "") || undefined;
}

/**
 * Expands `~` and `~/` at the start of a path to the home directory.
 *
 * @param path A path.
 * @returns The path; `undefined` if it needs a home directory and there is none.
 */
export function expandHome(path: string): string | undefined {
  if (path !== "~" && !path.startsWith("~/")) return path;
  const home = homeDirectory();
  return home === undefined ? undefined : home + path.slice(1);
}

/**
 * Returns the user's shell, in which OpenSSH runs the commands of its
 * configuration.
 */
export function userShell(): string {
  return readEnv("SHELL") || "/bin/sh";
}

/** Returns the number of the local user; `undefined` where there is none. */
export function localUid(): number | undefined {
  return allowed(() => process.getuid?.());
}

/** Returns the name of this machine, if it can be found. */
export function localHostname(): string | undefined {
  return allowed(() => os.hostname()) || undefined;
}
