/**
 * The resolver that reads ssh_config.
 *
 * @module
 */

import type { HostLike, ResolvedHost, SshHost } from "../host/host.ts";
import { parseHost, urlAsText } from "../host/host_string.ts";
import { abortable } from "../abort.ts";
import {
  type HostResolver,
  RESOLVE_OPTIONS,
  type ResolveOptions,
} from "../host/resolver.ts";
import { setLookupHint } from "../host/lookup_hint.ts";
import { nearestNames } from "../options/nearest.ts";
import { hasString, resolveHost } from "../host/resolve.ts";
import { checkedHost } from "../host/validate_host.ts";
import type {
  SshConfig,
  SshConfigOptions,
  SshConfigResolverOptions,
  SshConfigResult,
} from "./config.ts";
import { SshConfigError } from "./errors.ts";
import { loadConfig } from "./load_config.ts";
import type { AskCommand, LoadedConfig } from "./_loaded_config.ts";
import { MatchCommands } from "./_match_exec.ts";
import { RESOLVER_OPTIONS } from "./option_tables.ts";

const MAX_MEMO = 50_000;

/**
 * Resolves strings by the user's ssh_config, so that `"web-1"` means what
 * `ssh web-1` means.
 *
 * A string is parsed as `user@host:port`, then its host is looked up; user and
 * port in the string win over the configuration. An object is complete: it is
 * taken as it is, and no file is asked. Strings among its `jump` are looked up.
 *
 * The files are read when they are first needed, and again once one of them
 * has changed. In between the answer is synchronous, and the same object for
 * the same string.
 *
 * @example Usage
 * ```ts ignore
 * import { SshConfigResolver } from "@sshpool/sshpool";
 *
 * const host = await new SshConfigResolver().resolve("web-1");
 * console.log(host.hostname, host.port, host.jump);
 * ```
 */
export class SshConfigResolver implements HostResolver {
  readonly #options: SshConfigOptions;
  readonly #recheckMs: number;
  /** Stable answers. `undefined` is one that is not stable. */
  readonly #memo = new Map<string, ResolvedHost | undefined>();
  readonly #reported = new Set<string>();
  readonly #commands = new MatchCommands();
  readonly #unstableObjects = new WeakSet<object>();
  #config: LoadedConfig | undefined;
  #checkedAt = -Infinity;
  #loading: Promise<LoadedConfig> | undefined;

  /**
   * Makes a resolver. No file is read yet.
   *
   * @param options Which files, and what they may do.
   * @throws {TypeError | RangeError} If an option is unknown or wrong.
   */
  constructor(options: SshConfigResolverOptions = {}) {
    const { recheckMs = 1_000, ...rest } = RESOLVER_OPTIONS.check(options);
    this.#options = rest;
    this.#recheckMs = recheckMs;
  }

  /**
   * Resolves a host.
   *
   * @param named A string to look up, or an object.
   * @param given The callback for notices, each of which comes once, and the caller's signal.
   * An abort ends this caller's wait and its commands of `Match exec`. Files
   * that are being read for several callers are read to the end.
   * @returns A frozen copy with everything filled in. A promise of it if files
   * have to be looked at, or commands to be run, first.
   * @throws {TypeError} If the host is malformed.
   * @throws {SshConfigError} If the configuration cannot be read or used.
   */
  resolve(
    named: HostLike,
    given: ResolveOptions = {},
  ): ResolvedHost | Promise<ResolvedHost> {
    const options = RESOLVE_OPTIONS.check(given);
    const host = urlAsText(named);
    if (!hasString(host)) return resolveHost(host, parseHost);
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (
      this.#config !== undefined &&
      performance.now() - this.#checkedAt < this.#recheckMs
    ) {
      const answers = new Map<string, boolean>();
      return this.#answer(host, this.#config, { answers, options });
    }
    return abortable(this.#refresh(), signal)
      .then((config) =>
        this.#answer(host, config, { answers: new Map(), options })
      );
  }

  /**
   * Returns whether the last answer for a host depends on files alone, and not on
   * a command of `Match exec`.
   *
   * @param named A host that was resolved.
   * @returns `false` if a command was asked. `resolve()` runs it again each time.
   */
  isStable(named: HostLike): boolean {
    const host = urlAsText(named);
    return typeof host === "string"
      ? !this.#memo.has(host) || this.#memo.get(host) !== undefined
      : !this.#unstableObjects.has(host);
  }

  /**
   * Gives the configuration, read anew if it has changed.
   *
   * @returns The configuration.
   * @throws {SshConfigError} If it cannot be read.
   */
  config(): Promise<SshConfig> {
    return this.#refresh();
  }

  // One look at the files however many callers ask at once.
  #refresh(): Promise<LoadedConfig> {
    return this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
  }

  async #load(): Promise<LoadedConfig> {
    const startedAt = performance.now();
    if (this.#config === undefined || !await this.#config.isCurrent()) {
      // A broken file must not leave the old answers in force.
      this.#config = undefined;
      this.#memo.clear();
      this.#config = await loadConfig(this.#options);
    }
    this.#checkedAt = startedAt;
    return this.#config;
  }

  /**
   * The evaluation is synchronous, and a command is not. So an evaluation that
   * needs the answer of a command stops, the command is run, and the evaluation
   * starts again. A command runs once for each call of `resolve()`.
   */
  #answer(
    host: string | SshHost,
    config: LoadedConfig,
    inquiry: Resolution,
  ): ResolvedHost | Promise<ResolvedHost> {
    const known = typeof host === "string" ? this.#memo.get(host) : undefined;
    if (known !== undefined) return known;
    const { answers, options } = inquiry;
    try {
      const result = this.#evaluate(host, config, inquiry);
      const isStable = answers.size === 0;
      if (this.#config === config) this.#remember(host, result, isStable);
      return result;
    } catch (error) {
      if (!(error instanceof NeedsCommand)) throw error;
      const { command } = error;
      return this.#commands.run(command, options.signal).then((met) => {
        answers.set(command, met);
        return this.#answer(host, config, inquiry);
      });
    }
  }

  #evaluate(
    host: string | SshHost,
    config: LoadedConfig,
    { answers, options }: Resolution,
  ): ResolvedHost {
    const ask: AskCommand = (command) => {
      const answer = answers.get(command);
      if (answer === undefined) throw new NeedsCommand(command);
      return answer;
    };
    const result = resolveHost(host, (text, { tunnelled }) => {
      const found = lookUp(config, text, ask);
      this.#report(found, options);
      return tunnelled ? withoutProxy(found.host) : found.host;
    });
    for (const it of [result, ...result.jump ?? []]) hintAtNames(it, config);
    return result;
  }

  #remember(
    host: string | SshHost,
    result: ResolvedHost,
    isStable: boolean,
  ): void {
    if (typeof host !== "string") {
      if (isStable) this.#unstableObjects.delete(host);
      else this.#unstableObjects.add(host);
      return;
    }
    if (this.#memo.size >= MAX_MEMO) this.#memo.clear();
    this.#memo.set(host, isStable ? result : undefined);
  }

  #report(result: SshConfigResult, { onNotice }: ResolveOptions): void {
    if (onNotice === undefined) return;
    for (const notice of result.notices) {
      if (this.#reported.has(notice.message)) continue;
      this.#reported.add(notice.message);
      onNotice(notice);
    }
  }
}

/** The answers of one call of `resolve()`, and its options. */
interface Resolution {
  readonly answers: Map<string, boolean>;
  readonly options: ResolveOptions;
}

/** Stops an evaluation at a command that was not run yet. */
class NeedsCommand {
  readonly command: string;

  constructor(command: string) {
    this.command = command;
  }
}

/**
 * A name without dots that cannot be looked up is often a mistyped alias: then
 * the error names the aliases that are like it. It names the files, too: they may
 * not be those of the user who was meant.
 */
function hintAtNames(host: ResolvedHost, config: LoadedConfig): void {
  const { alias, hostname } = host;
  if (alias !== undefined || /[.:]/.test(hostname)) return;
  setLookupHint(host, () => {
    const names = config.hosts();
    if (names.includes(hostname)) return "check its HostName in ssh_config";
    const near = nearestNames(hostname, names).map((it) => JSON.stringify(it));
    const files = config.files.join(" or ") || "ssh_config: there is none";
    return `no Host entry ${JSON.stringify(hostname)} in ${files}` +
      (near.length === 0 ? "" : `, did you mean ${near.join(" or ")}?`);
  });
}

function lookUp(
  config: LoadedConfig,
  text: string,
  ask: AskCommand,
): SshConfigResult {
  const { hostname, ...named } = parseHost(text);
  const result = config.computeWith(ask, { name: hostname, ...named });
  try {
    checkedHost(result.host);
  } catch (cause) {
    throw new SshConfigError(
      `Cannot use what ssh_config says about ${hostname}: ${
        (cause as Error).message
      }`,
      { cause, host: hostname },
    );
  }
  return result;
}

// `ssh -J a,b c` reaches b through a, whatever b's own configuration says.
function withoutProxy(host: SshHost): SshHost {
  const { jump: _jump, proxyCommand: _proxyCommand, ...rest } = host;
  return rest;
}
