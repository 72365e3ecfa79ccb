/**
 * A configuration that was read, and what it says about hosts.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import type { Notice } from "../connector.ts";
import type { SshHost } from "../host.ts";
import { homeDirectory, localUser, readEnv } from "../_local.ts";
import { SshConfigError } from "./errors.ts";
import { Evaluation, type Query, type World } from "./_evaluate.ts";
import { type Loaded, loadFiles, type Root, signature } from "./_load.ts";
import { hasWildcard, matchPattern } from "./_pattern.ts";
import type { Block, ParsedFile } from "./_parser.ts";
import { toHost } from "./_to_host.ts";

/** Options for {@linkcode loadSshConfig}. */
export interface SshConfigOptions {
  /**
   * The files to read, in order. They have to exist. Those below `/etc/ssh/`
   * are read as system files: what they include is relative to `/etc/ssh`, and
   * `~` is not allowed there.
   *
   * @default {["~/.ssh/config", "/etc/ssh/ssh_config"], where they exist}
   */
  readonly files?: readonly string[];
  /**
   * Run the commands of `Match exec`. They run with the rights of this process
   * each time a host is computed anew, and hold it up until they end (10 s at
   * most). Where it is off, such a block does not apply, and a notice says so.
   *
   * @default {false}
   */
  readonly allowMatchExec?: boolean;
  /**
   * The home directory, for `~` and the default file.
   *
   * @default {the local user's}
   */
  readonly home?: string;
}

/** Options for {@linkcode SshConfig.compute}. */
export interface ComputeOptions {
  /** The user that the caller named: it wins over the configuration's. */
  readonly user?: string;
  /** The port that the caller named: it wins over the configuration's. */
  readonly port?: number;
}

/** What a configuration says about one host. Frozen. */
export interface SshConfigResult {
  /** The host as the connectors take it; hops are still to be looked up. */
  readonly host: SshHost;
  /**
   * The settings in force, by keyword in lower case: their arguments as they
   * were written. Keywords without effect here are not among them.
   */
  readonly settings: Readonly<Record<string, readonly string[]>>;
  /** What is worth a line in a log, such as keywords that have no effect here. */
  readonly notices: readonly Notice[];
}

const MAX_EXEC_MS = 10_000;
// A fleet fits; a caller that makes up names without end does not leak.
const MAX_MEMO = 50_000;

/** A configuration that was read. It does not change when its files do. */
export interface SshConfig {
  /**
   * Lists the concrete hosts: the names in `Host` lines that have no wildcard
   * and are not negated, in order, each once. `Match` blocks name none.
   *
   * @returns The names.
   */
  hosts(): string[];
  /**
   * Says what `ssh name` would mean. The answer for the same question is
   * computed once.
   *
   * @param name The host, as one names it to `ssh`.
   * @param options The user and port if they are named too.
   * @returns The host and the settings in force.
   * @throws {SshConfigError} If a setting in force cannot be used.
   *
   * @example Usage
   * ```ts ignore
   * import { loadSshConfig } from "@sshpool/sshpool";
   *
   * const config = await loadSshConfig();
   * console.log(config.hosts(), config.compute("web-1").host.hostname);
   * ```
   */
  compute(name: string, options?: ComputeOptions): SshConfigResult;
  /**
   * Whether the files are still as they were read, included ones too.
   *
   * @returns `false` once one was changed, added or removed.
   */
  isCurrent(): Promise<boolean>;
}

class LoadedConfig implements SshConfig {
  readonly #loaded: Loaded;
  readonly #world: World;
  readonly #wantsFinal: boolean;
  readonly #memo = new Map<string, SshConfigResult>();

  constructor(loaded: Loaded, world: World) {
    this.#loaded = loaded;
    this.#world = world;
    this.#wantsFinal = anyBlock(loaded.roots, hasFinal);
  }

  hosts(): string[] {
    const names = new Set<string>();
    anyBlock(this.#loaded.roots, (block) => {
      for (const name of namesOf(block)) names.add(name);
      return false;
    });
    return [...names];
  }

  compute(name: string, options: ComputeOptions = {}): SshConfigResult {
    const key = `${options.user ?? ""}\0${options.port ?? ""}\0${name}`;
    const known = this.#memo.get(key);
    if (known !== undefined) return known;
    const result = this.#compute({ name, ...options });
    if (this.#memo.size >= MAX_MEMO) this.#memo.clear();
    this.#memo.set(key, result);
    return result;
  }

  #compute(query: Query): SshConfigResult {
    const { roots } = this.#loaded;
    const options = { world: this.#world, wantsFinal: this.#wantsFinal };
    const evaluation = new Evaluation(roots, query, options);
    const notices = [...evaluation.notices];
    const host = toHost(query.name, evaluation, notices);
    notices.push(...notHonoured(evaluation));
    return Object.freeze({
      host: Object.freeze(host),
      settings: evaluation.settings(),
      notices: Object.freeze(notices),
    });
  }

  async isCurrent(): Promise<boolean> {
    const watched = [...this.#loaded.watched];
    const now = await Promise.all(watched.map(([path]) => signature(path)));
    return watched.every(([, then], index) => then === now[index]);
  }
}

/**
 * Reads a configuration, with all that it includes.
 *
 * @param options Which files, and what they may do.
 * @returns The configuration.
 * @throws {SshConfigError} If a file cannot be read, is open to be written by
 * others, or has a line that OpenSSH would refuse. It names file and line.
 *
 * @example List the hosts of the user's configuration
 * ```ts ignore
 * import { loadSshConfig } from "@sshpool/sshpool";
 *
 * for (const name of (await loadSshConfig()).hosts()) console.log(name);
 * ```
 */
export async function loadSshConfig(
  options: SshConfigOptions = {},
): Promise<SshConfig> {
  const home = () => options.home ?? homeDirectory();
  const world: World = {
    home: once(home),
    localUser: once(localUser),
    exec: options.allowMatchExec ? runShell : undefined,
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

function runShell(command: string): boolean {
  const shell = readEnv("SHELL") || "/bin/sh";
  const result = spawnSync(shell, ["-c", command], {
    stdio: "ignore",
    timeout: MAX_EXEC_MS,
  });
  if (result.error !== undefined) {
    throw new SshConfigError("Cannot run the command of a Match exec", {
      cause: result.error,
    });
  }
  return result.status === 0;
}

// Switched off, a feature that is not there makes no difference.
const OFF = ["no", "none", "false", "off"];

function notHonoured(evaluation: Evaluation): Notice[] {
  return [...evaluation.ignored.values()]
    .filter((s) => !OFF.includes(s.values[0]!.toLowerCase()))
    .map(({ file, line, keyword }) => ({
      code: "ssh-config-not-honoured",
      message: `${file}:${line}: ${keyword.name} is not honoured`,
    }));
}

function hasFinal({ condition }: Block): boolean {
  return condition.kind === "match" &&
    condition.criteria.some((c) => c.name === "final");
}

function namesOf({ condition }: Block): string[] {
  if (condition.kind !== "host") return [];
  const negated = condition.patterns.filter((p) => p.negated);
  return condition.patterns
    .filter((p) => !p.negated && !hasWildcard(p.text))
    .filter((p) => !negated.some((n) => matchPattern(p.text, n.text)))
    .map((p) => p.text);
}

/** Shows every block to `test`, files included where they are; stops at a hit. */
function anyBlock(
  files: readonly ParsedFile[],
  test: (block: Block) => boolean,
  seen: Set<ParsedFile> = new Set(),
): boolean {
  for (const file of files) {
    if (seen.has(file)) continue;
    seen.add(file);
    for (const block of file.blocks) {
      if (test(block)) return true;
      for (const directive of block.directives) {
        if (directive.kind !== "include") continue;
        if (anyBlock(directive.files, test, seen)) return true;
      }
    }
  }
  return false;
}
