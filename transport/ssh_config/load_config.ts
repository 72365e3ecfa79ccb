/**
 * Reading a configuration: which files, and whose home.
 *
 * @module
 */

import { homeDirectory, localUser } from "../host/local_user.ts";
import type { SshConfig, SshConfigOptions } from "./config.ts";
import { SshConfigError } from "./errors.ts";
import type { LocalFacts } from "./_evaluate.ts";
import { loadFiles, type Root } from "./_load.ts";
import { LoadedConfig } from "./_loaded_config.ts";
import { runCommandSync } from "./_match_exec.ts";
import { CONFIG_OPTIONS } from "./option_tables.ts";

/**
 * Reads a configuration, with all that it includes.
 *
 * @param options Which files, and what they may do.
 * @returns The configuration.
 * @throws {TypeError} If an option is unknown or wrong.
 * @throws {SshConfigError} If a file cannot be read, is open to be written by
 * others, or has a line that OpenSSH would refuse. It names file and line.
 *
 * @example List the hosts of the user's configuration
 * ```ts ignore
 * import { loadSshConfig } from "@sshpool/sshpool/ssh_config";
 *
 * for (const name of (await loadSshConfig()).hosts()) console.log(name);
 * ```
 */
export async function loadSshConfig(
  options: SshConfigOptions = {},
): Promise<SshConfig> {
  return await loadConfig(CONFIG_OPTIONS.check(options));
}

/** As {@linkcode loadSshConfig}, for the resolver. */
export async function loadConfig(
  options: SshConfigOptions,
): Promise<LoadedConfig> {
  const home = () => options.home ?? homeDirectory();
  const world: LocalFacts = {
    home: once(home),
    localUser: once(localUser),
    exec: options.allowMatchExec ? runCommandSync : undefined,
  };
  const roots = options.files?.map((f) => givenRoot(f, home)) ??
    defaultRoots(home());
  return new LoadedConfig(await loadFiles(roots, home), world);
}

function once<T>(ask: () => T): () => T {
  let answer: { readonly value: T } | undefined;
  return () => (answer ??= { value: ask() }).value;
}

function givenRoot(file: string, home: () => string | undefined): Root {
  const path = file.startsWith("~/")
    ? `${home() ?? "~"}${file.slice(1)}`
    : file;
  const user = !path.startsWith("/etc/ssh/");
  return { path, user, optional: false, checkMode: false };
}

function defaultRoots(home: string | undefined): Root[] {
  if (home === undefined) {
    throw new SshConfigError(
      "Cannot find ~/.ssh/config: the home directory is not known, allow " +
        "reading it (--allow-sys or --allow-env=HOME), or set config: false",
    );
  }
  const common = { optional: true } as const;
  return [
    { ...common, path: `${home}/.ssh/config`, user: true, checkMode: true },
    { ...common, path: "/etc/ssh/ssh_config", user: false, checkMode: false },
  ];
}
