/**
 * What a configuration says about one host: the walk over the blocks that
 * match, in which the first value of a keyword wins.
 *
 * @module
 */

import type { Notice } from "../connector.ts";
import { errorAt, SshConfigError } from "./errors.ts";
import {
  type Criterion,
  type MatchSubject,
  meetsCriteria,
} from "./_criteria.ts";
import { indexOf } from "./_index.ts";
import {
  asciiLowerCase,
  matchPattern,
  matchPatterns,
} from "../host/pattern.ts";
import type {
  Block,
  Directive,
  HostPattern,
  ParsedFile,
  Setting,
} from "./_parser.ts";
import { expand, type TokenSource } from "./_tokens.ts";
import { hostOfHop } from "./_values.ts";

/** What is asked. */
export interface Query {
  /** The host, as the caller named it. */
  readonly name: string;
  /** The user that the caller named. */
  readonly user?: string | undefined;
  /** The port that the caller named. */
  readonly port?: number | undefined;
}

/** What the evaluation needs to know of this machine. */
export interface LocalFacts {
  readonly localUser: () => string | undefined;
  readonly home: () => string | undefined;
  /** Runs a command of `Match exec`; absent if that is not allowed. */
  readonly exec?: ((command: string) => boolean) | undefined;
}

// As OpenSSH.
const MAX_KEY_FILES = 100;
const KEY_FILES: ReadonlyMap<string, string> = new Map([
  ["identityfile", "IdentityFiles"],
  ["certificatefile", "CertificateFiles"],
]);
// Files that include each other many times would take very long.
const MAX_VISITS = 200_000;

/** The state of one evaluation, and when it is done, its result. */
export class Evaluation {
  /** What `HostName` makes of the name, in lower case. */
  hostname: string;
  /** Settings in force that have no effect here. */
  readonly ignored = new Map<string, Setting>();
  /** What was found on the way. */
  readonly notices: Notice[] = [];
  readonly #query: Query;
  readonly #world: LocalFacts;
  readonly #settings = new Map<string, Setting[]>();
  #visits = 0;
  #final = false;
  /** Whether `hostname` is known, so that `HostName` has no more say. */
  #decided = false;

  /** Evaluates files for a query. */
  constructor(
    files: readonly ParsedFile[],
    query: Query,
    options: { readonly world: LocalFacts; readonly wantsFinal: boolean },
  ) {
    this.#query = query;
    this.#world = options.world;
    this.hostname = query.name;
    for (const file of files) this.#walk(file, true);
    this.hostname = asciiLowerCase(this.#target());
    this.#decided = true;
    if (!options.wantsFinal) return;
    this.#final = true;
    for (const file of files) this.#walk(file, true);
  }

  /** Returns the setting of a keyword that is in force. */
  get(name: string): Setting | undefined {
    return this.#settings.get(name)?.[0];
  }

  /** Returns all settings of a keyword, for those that add up. */
  all(name: string): readonly Setting[] {
    return this.#settings.get(name) ?? [];
  }

  /** The remote user, if the caller or the configuration names one. */
  get user(): string | undefined {
    return this.#query.user ?? this.get("user")?.values[0];
  }

  /** The port. */
  get port(): number {
    return this.#query.port ?? Number(this.get("port")?.values[0] ?? 22);
  }

  /** Returns what is in force, by keyword, as it was written. */
  settings(): Readonly<Record<string, readonly string[]>> {
    const entries = [...this.#settings].filter(([, list]) => list.length > 0)
      .map(([name, list]) =>
        [name, Object.freeze(list.flatMap((s) => s.values))] as const
      );
    return Object.freeze(Object.fromEntries(entries));
  }

  /** Returns what tokens stand for, as far as it is known by now. */
  tokens(): TokenSource {
    const jump = this.get("proxyjump")?.values.at(-1);
    return {
      hostname: this.#target(),
      originalHost: this.#query.name,
      port: this.port,
      user: this.user ?? this.#world.localUser() ?? "",
      hostKeyAlias: this.get("hostkeyalias")?.values[0]?.toLowerCase(),
      jumpHost: jump === undefined || jump === "none"
        ? ""
        : hostOfHop(jump) ?? "",
      localUser: this.#world.localUser,
      home: this.#world.home,
    };
  }

  #target(): string {
    if (this.#decided) return this.hostname;
    const setting = this.get("hostname");
    if (setting === undefined) return this.#query.name;
    return setting.values[0]!.replace(/%([^]?)/g, (_, token: string) => {
      if (token === "%") return "%";
      if (token === "h") return this.#query.name;
      throw errorAt(setting, `%${token} is no token that may stand here`);
    });
  }

  // `active` is false for a file that is included by a block that does not
  // match. None of its settings apply, but its mistakes are errors, as in
  // OpenSSH.
  #walk(file: ParsedFile, active: boolean): void {
    const index = indexOf(file);
    if (!active && !index.hasUnknown) return;
    if (++this.#visits > MAX_VISITS) {
      throw new SshConfigError("Include leads to too many files", {
        file: file.path,
      });
    }
    const name = this.#final ? this.hostname : this.#query.name;
    for (const block of index.candidates(name)) {
      const applies = active && this.#matches(block, name);
      for (const directive of block.directives) this.#apply(directive, applies);
    }
  }

  #matches(block: Block, name: string): boolean {
    const { condition } = block;
    if (condition.kind === "start") return true;
    if (condition.kind === "host") return matchesHost(condition.patterns, name);
    return meetsCriteria(condition.criteria, this.#subject(block));
  }

  #subject(block: Block): MatchSubject {
    const tokens = this.tokens();
    return {
      host: tokens.hostname,
      originalHost: this.#query.name,
      user: tokens.user,
      localUser: this.#world.localUser() ?? "",
      tag: this.get("tag")?.values[0] ?? "",
      final: this.#final,
      exec: (command) =>
        this.#world.exec?.(expand(command, tokens, block, { shell: true })),
      unsupported: (criterion) => this.#unsupported(criterion, block),
    };
  }

  #unsupported(criterion: Criterion, block: Block): void {
    const exec = criterion.name === "exec";
    this.notices.push({
      code: exec ? "ssh-config-match-exec" : "ssh-config-match",
      message: `${block.file}:${block.line}: Match ${criterion.name} ` +
        (exec
          ? "is not run (allowMatchExec is off), so the block does not apply"
          : "is not honoured, so the block does not apply"),
    });
  }

  #apply(directive: Directive, active: boolean): void {
    switch (directive.kind) {
      case "include":
        for (const file of directive.files) this.#walk(file, active);
        break;
      case "unknown":
        this.#checkUnknown(directive.name, directive);
        break;
      case "setting":
        if (active) this.#set(directive);
    }
  }

  #checkUnknown(name: string, place: Directive): void {
    const list = this.get("ignoreunknown")?.values[0];
    if (
      list !== undefined &&
      matchPatterns(name, asciiLowerCase(list).split(","))
    ) {
      return;
    }
    throw errorAt(
      place,
      `Bad configuration option: ${JSON.stringify(name.slice(0, 60))}`,
    );
  }

  #set(setting: Setting): void {
    const { name, keyword, values } = setting;
    if (values.length === 0) return;
    if (keyword.ignored) {
      if (!this.ignored.has(name)) this.ignored.set(name, setting);
    } else if (keyword.adds) {
      this.#add(setting);
    } else if (!this.#isTaken(name) || this.#namesAgent(setting)) {
      // "none" leaves a time as it is: unset, and open for a later value.
      if (keyword.kind === "time" && values[0] === "none") return;
      this.#settings.set(name, [setting]);
    }
  }

  #isTaken(name: string): boolean {
    if (this.#settings.has(name)) return true;
    // The two compete: whichever comes first shuts out the other, but for
    // "ProxyJump none", after which there may still be a ProxyCommand.
    if (name === "proxycommand") {
      return (this.get("proxyjump")?.values[0] ?? "none") !== "none";
    }
    if (name === "proxyjump") return this.#settings.has("proxycommand");
    return false;
  }

  // OpenSSH holds the flag and the socket apart: a socket that comes after a
  // "yes" is the one that is forwarded.
  #namesAgent({ name, values }: Setting): boolean {
    return name === "forwardagent" && !isFlag(values[0]!) &&
      /^(?:yes|true)$/i.test(this.get(name)?.values[0] ?? "");
  }

  // In place: a list that is copied for every line takes quadratic time.
  #add(setting: Setting): void {
    const list = this.#settings.get(setting.name) ?? [];
    this.#settings.set(setting.name, list);
    if (setting.name === "sendenv") addNames(list, setting);
    else if (list.every((s) => s.values[0] !== setting.values[0])) {
      list.push(setting);
    }
    const files = KEY_FILES.get(setting.name);
    if (files !== undefined && list.length > MAX_KEY_FILES) {
      throw errorAt(setting, `more than ${MAX_KEY_FILES} ${files}`);
    }
  }
}

function addNames(list: Setting[], setting: Setting): void {
  for (const value of setting.values) {
    if (!value.startsWith("-")) list.push({ ...setting, values: [value] });
    else {
      const kept = list.filter((s) =>
        !matchPattern(s.values[0]!, value.slice(1))
      );
      list.length = 0;
      for (const item of kept) list.push(item);
    }
  }
}

function isFlag(text: string): boolean {
  return /^(?:yes|true|no|false)$/i.test(text);
}

function matchesHost(patterns: readonly HostPattern[], name: string): boolean {
  let found = false;
  for (const { text, negated } of patterns) {
    if (!matchPattern(name, text)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}
