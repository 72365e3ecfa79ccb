/**
 * The policies that read known_hosts files: `strict` and `accept-new`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Notice } from "../connector.ts";
import { DialError } from "../errors.ts";
import { isForbidden } from "../host/forbidden.ts";
import { type HostKey, hostLabel, type ResolvedHost } from "../host/host.ts";
import type { HostKeyCheck } from "./check.ts";
import { expandHome } from "../host/local_user.ts";
import { judge, type LocatedKey, preferredAlgorithms } from "./_judge.ts";
import type { Verdict } from "./_judge.ts";
import {
  changedError,
  fileError,
  revokedError,
  unknownError,
  unstoredError,
} from "./_messages.ts";
import { findKeyFault, keyTypeOf } from "./_public_key.ts";
import {
  appendLine,
  CannotOpen,
  exclusively,
  formatLine,
  retractLine,
} from "./append.ts";
import { readKnownHosts, rereadKnownHosts } from "./files.ts";
import type { KnownHosts } from "./lookup.ts";

const USER_FILES = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"];
const GLOBAL_FILES = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/** After so many bad lines of one file only their number is given. */
const MAX_BAD_LINES_TOLD = 10;

/** Versions of files whose bad lines were told. */
const told = new WeakSet<KnownHosts>();

/** Options for {@linkcode knownHostsCheck}. */
export interface KnownHostsCheckOptions {
  /** Add the key of an unknown host to the user's first file. */
  readonly acceptNew: boolean;
  /** Called for accepted keys and for bad lines. */
  readonly onNotice: (notice: Notice) => void;
}

/**
 * Prepares the check of a host against its known_hosts files.
 *
 * @param host The host.
 * @param options The policy.
 * @returns The check.
 * @throws {TypeError} If `accept-new` has no file to add to.
 * @throws {DialError} If a file exists and cannot be read.
 */
export async function knownHostsCheck(
  host: ResolvedHost,
  options: KnownHostsCheckOptions,
): Promise<HostKeyCheck> {
  const check = new KnownHostsCheck(host, options);
  await check.load();
  return check;
}

class KnownHostsCheck implements HostKeyCheck {
  readonly #host: ResolvedHost;
  readonly #options: KnownHostsCheckOptions;
  readonly #userFiles: readonly string[];
  readonly #globalFiles: readonly string[];
  /** The name of the host, and its name without the port, tried second. */
  readonly #names: readonly [string, string?];
  #files: readonly (readonly [path: string, hosts: KnownHosts])[] = [];

  constructor(host: ResolvedHost, options: KnownHostsCheckOptions) {
    this.#host = host;
    this.#options = options;
    this.#userFiles = resolvePaths(host, host.knownHostsFiles ?? USER_FILES);
    this.#globalFiles = resolvePaths(
      host,
      host.globalKnownHostsFiles ?? GLOBAL_FILES,
    );
    this.#names = host.hostKeyAlias !== undefined
      ? [host.hostKeyAlias]
      : host.port === 22
      ? [host.hostname]
      : [`[${host.hostname}]:${host.port}`, host.hostname];
    if (options.acceptNew && this.#userFiles.length === 0) {
      throw new TypeError(
        `Cannot use the option hostKey "accept-new": the option ` +
          `knownHostsFiles is empty, must name the file to add keys to`,
      );
    }
  }

  get hostKeyAlgorithms(): readonly string[] {
    for (const name of this.#names) {
      const algorithms = preferredAlgorithms(this.#find(name!));
      if (algorithms.length > 0) return algorithms;
    }
    return [];
  }

  async load(read = readKnownHosts): Promise<void> {
    const paths = [...this.#userFiles, ...this.#globalFiles];
    this.#files = await Promise.all(paths.map(async (path) => {
      try {
        return [path, await read(path)] as const;
      } catch (cause) {
        const global = !this.#userFiles.includes(path);
        throw fileError(this.#host, path, { cause, global });
      }
    }));
    for (const [path, hosts] of this.#files) this.#tellBadLines(path, hosts);
  }

  async verify(key: HostKey): Promise<void> {
    const shown = Buffer.from(key.key).toString("base64");
    const verdict = this.#judge(shown);
    if (verdict.kind !== "new") return settle(verdict, key);
    if (!this.#options.acceptNew) {
      throw unknownError(key, {
        name: this.#names[0],
        paths: this.#files.map(([path]) => path),
        authority: verdict.authority,
      });
    }
    const path = this.#userFiles[0]!;
    await exclusively(path, () => this.#accept(path, key, shown));
  }

  #find(name: string): LocatedKey[] {
    return this.#files.flatMap(([path, hosts]) =>
      hosts.find(name).map((key) => ({ ...key, path }))
    );
  }

  /**
   * A host on another port than 22 that has no key of its own may show a key
   * of the bare name, as in OpenSSH. Unlike there, a key revoked for the bare
   * name stays refused: `accept-new` would add it.
   */
  #judge(shown: string): Verdict {
    const [name, bareName] = this.#names;
    const verdict = judge(this.#find(name), shown);
    if (verdict.kind !== "new" || bareName === undefined) return verdict;
    const bare = judge(this.#find(bareName), shown);
    return bare.kind === "trusted" || bare.kind === "revoked" ? bare : verdict;
  }

  /** Adds the key, unless one was added since the files were read. */
  async #accept(path: string, key: HostKey, shown: string): Promise<void> {
    await this.load(rereadKnownHosts);
    const verdict = this.#judge(shown);
    if (verdict.kind !== "new") return settle(verdict, key);
    // From the key itself: its type goes into the file.
    const type = keyTypeOf(key.key);
    const fault = findKeyFault(type, shown);
    if (fault !== undefined) throw unstoredError(key, path, new Error(fault));
    const name = this.#names[0];
    const line = formatLine({
      name,
      type,
      key: shown,
      hashed: this.#host.hashKnownHosts ?? false,
    });
    if (!await this.#store(path, line, key)) return;
    await this.#settleRace(path, line, { key, shown });
    this.#options.onNotice({
      code: "host-key-accepted",
      message: `Added the host key ${type} ${key.fingerprint} of ` +
        `${JSON.stringify(name)} to ${path}` + authorityHint(verdict.authority),
    });
  }

  /**
   * Goes on without it where the file cannot be opened, as `ssh` does: on a
   * read-only system nothing can be kept. A write that fails is an error.
   */
  async #store(path: string, line: string, key: HostKey): Promise<boolean> {
    const hosts = this.#files[0]![1];
    try {
      await appendLine(path, line, { endsInNewline: hosts.endsInNewline });
      return true;
    } catch (cause) {
      // What the runtime forbids can be permitted.
      const goesOn = cause instanceof CannotOpen && !isForbidden(cause.cause);
      if (!goesOn) throw unstoredError(key, path, causeOf(cause));
      const { message } = unstoredError(key, path, cause.cause);
      this.#options.onNotice({
        code: "host-key-not-stored",
        message:
          `${message}; it was accepted, and will be new at the next dial`,
      });
      return false;
    }
  }

  async #settleRace(
    path: string,
    line: string,
    { key, shown }: { readonly key: HostKey; readonly shown: string },
  ): Promise<void> {
    await this.load(rereadKnownHosts);
    const first = this.#find(this.#names[0])
      .find((known) => known.path === path && known.marker === "plain");
    if (first === undefined || first.key === shown) return;
    await retractLine(path, line);
    throw changedError(key, [first]);
  }

  #tellBadLines(path: string, hosts: KnownHosts): void {
    if (hosts.bad.length === 0 || told.has(hosts)) return;
    told.add(hosts);
    const tell = (message: string) =>
      this.#options.onNotice({ code: "known-hosts-bad-line", message });
    for (const { line, problem } of hosts.bad.slice(0, MAX_BAD_LINES_TOLD)) {
      tell(`Ignored the line ${path}:${line}: ${problem}`);
    }
    const rest = hosts.bad.length - MAX_BAD_LINES_TOLD;
    if (rest > 0) tell(`Ignored ${rest} more bad lines of ${path}`);
  }
}

function settle(
  verdict: Exclude<Verdict, { kind: "new" }>,
  key: HostKey,
): void {
  if (verdict.kind === "revoked") throw revokedError(key, verdict.by);
  if (verdict.kind === "changed") throw changedError(key, verdict.known);
}

function causeOf(error: unknown): unknown {
  return error instanceof CannotOpen ? error.cause : error;
}

function authorityHint(authority: LocatedKey | undefined): string {
  return authority === undefined
    ? ""
    : `; certificates are not supported, so the authority in ` +
      `${authority.path}:${authority.line} did not vouch for it`;
}

function resolvePaths(
  host: ResolvedHost,
  paths: readonly string[],
): readonly string[] {
  return paths.map((path) => {
    const expanded = expandHome(path);
    if (expanded !== undefined) return expanded;
    throw new DialError(
      "hostkey",
      `Cannot verify the host key of ${JSON.stringify(hostLabel(host))}: ` +
        `the home directory for ${path} is not known, set HOME, run with ` +
        `--allow-env=HOME or --allow-sys=homedir, or set the option ` +
        `knownHostsFiles`,
      { host: hostLabel(host) },
    );
  });
}
