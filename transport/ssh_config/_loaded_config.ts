/**
 * A configuration in memory, and what it says about one host.
 *
 * @module
 */

import type { ComputeOptions, SshConfig, SshConfigResult } from "./config.ts";
import { Evaluation, type LocalFacts, type Query } from "./_evaluate.ts";
import { type Loaded, signature } from "./_load.ts";
import { notHonoured } from "./_not_honoured.ts";
import type { Block, ParsedFile } from "./_parser.ts";
import { COMPUTE_OPTIONS } from "./option_tables.ts";
import { hasWildcard, matchPattern } from "../host/pattern.ts";
import { toHost } from "./_to_host.ts";

/** A fleet fits. A caller that makes up names without end does not leak. */
const MAX_MEMO = 50_000;

/** Decides whether a command of `Match exec` succeeds. */
export type AskCommand = (command: string) => boolean;

/** The configuration that `loadSshConfig()` gives. */
export class LoadedConfig implements SshConfig {
  readonly #loaded: Loaded;
  readonly #world: LocalFacts;
  readonly #wantsFinal: boolean;
  readonly #memo = new Map<string, SshConfigResult>();

  /**
   * Makes a configuration of files.
   *
   * @param loaded The files.
   * @param world The user, the home, and how commands are run, if at all.
   */
  constructor(loaded: Loaded, world: LocalFacts) {
    this.#loaded = loaded;
    this.#world = world;
    this.#wantsFinal = anyBlock(loaded.roots, hasFinal);
  }

  /** The files that were read and are there, without those of `Include`. */
  get files(): string[] {
    return this.#loaded.roots.map(({ path }) => path);
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
    const given = COMPUTE_OPTIONS.check(options);
    return this.computeWith(this.#world.exec, { name, ...given });
  }

  /**
   * As {@linkcode SshConfig.compute}, with another way to run commands.
   *
   * @param ask Runs a command. Not used where commands are not allowed. What
   * it throws is thrown to the caller.
   * @param query The host, and the user and the port if they are named.
   * @returns The result. Only a stable one is kept.
   */
  computeWith(ask: AskCommand | undefined, query: Query): SshConfigResult {
    const key = `${query.user ?? ""}\0${query.port ?? ""}\0${query.name}`;
    const known = this.#memo.get(key);
    if (known !== undefined) return known;
    const result = this.#compute(query, ask);
    if (!result.isStable) return result;
    if (this.#memo.size >= MAX_MEMO) this.#memo.clear();
    this.#memo.set(key, result);
    return result;
  }

  #compute(query: Query, ask: AskCommand | undefined): SshConfigResult {
    let isStable = true;
    const exec = this.#world.exec && ask && ((command: string) => {
      isStable = false;
      return ask(command);
    });
    const evaluation = new Evaluation(this.#loaded.roots, query, {
      world: { ...this.#world, exec },
      wantsFinal: this.#wantsFinal,
    });
    const notices = [...evaluation.notices];
    const host = toHost(query.name, evaluation, notices);
    notices.push(...notHonoured(evaluation));
    return Object.freeze({
      host: Object.freeze(host),
      settings: evaluation.settings(),
      notices: Object.freeze(notices),
      isStable,
    });
  }

  async isCurrent(): Promise<boolean> {
    const watched = [...this.#loaded.watched];
    const now = await Promise.all(watched.map(([path]) => signature(path)));
    return watched.every(([, then], index) => then === now[index]);
  }
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

/** Shows every block to `test`, also of included files; stops when it says so. */
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
