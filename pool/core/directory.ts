/**
 * From what a caller names to the lane of that host.
 *
 * @module
 */

import { urlAsText } from "../../transport/host/host_string.ts";
import type { Notice } from "../../transport/connector.ts";
import { redacted } from "../../transport/host/redacted.ts";
import type {
  HostLike,
  ResolvedHost,
  SshHost,
} from "../../transport/host/host.ts";
import type { HostResolver } from "../../transport/host/resolver.ts";
import type { Lane } from "../lane/lane.ts";
import { poolKey, poolKeyWithoutFunctions } from "./pool_key.ts";

interface Memo {
  /** What the caller's object held when it was resolved. */
  readonly copy: unknown;
  lane: Lane;
}

/** Below this many, forgotten lanes are not worth looking for. */
const FIRST_PRUNE = 64;

/** A fleet fits. A caller that makes up names without end does not leak. */
const MAX_NAMES = 20_000;

const FUNCTIONS_DIFFER: Notice = {
  code: "host-functions-differ",
  message: "Hosts that differ in nothing but a function do not share " +
    "connections: make the function once, outside of the host object",
};

/** Finds lanes: by string and by object without any work, else by key. */
export class Directory {
  readonly #resolver: HostResolver;
  readonly #makeLane: (host: ResolvedHost, key: string) => Lane;
  readonly #onNotice: (host: HostLike, notice: Notice) => void;
  readonly #signal: AbortSignal;
  readonly #usesAlias: boolean;
  readonly #byKey = new Map<string, Lane>();
  readonly #byString = new Map<string, Lane>();
  readonly #byObject = new WeakMap<object, Memo>();
  readonly #resolving = new Map<string | SshHost, Promise<Lane>>();
  #pruneAt = FIRST_PRUNE;
  /** By their keys without functions; emptied if full, and after the notice. */
  readonly #withFunctions = new Map<string, string>();
  #hasToldOfFunctions = false;

  constructor(
    resolver: HostResolver,
    makeLane: (host: ResolvedHost, key: string) => Lane,
    onNotice: (host: HostLike, notice: Notice) => void,
    signal: AbortSignal,
    usesAlias: boolean,
  ) {
    this.#resolver = resolver;
    this.#makeLane = makeLane;
    this.#onNotice = onNotice;
    this.#signal = signal;
    this.#usesAlias = usesAlias;
  }

  /** Every lane. */
  get lanes(): Iterable<Lane> {
    return this.#byKey.values();
  }

  /** Returns the lane, if it is known without any work. */
  known(named: HostLike): Lane | undefined {
    if (typeof named === "string") return this.#byString.get(named);
    const host = urlAsText(named);
    if (typeof host === "string") return this.#byString.get(host);
    const memo = this.#byObject.get(host);
    // A caller that changes its object means another host: with the old
    // password's connection it would be let in with the new one.
    return memo !== undefined && isSame(host, memo.copy)
      ? memo.lane
      : undefined;
  }

  /**
   * Finds or makes the lane. A string whose lane is not in use is resolved
   * anew, so that a change of the configuration is seen. An unstable host is
   * resolved anew unless it is served without a new dial.
   *
   * @throws {TypeError} If the host is malformed.
   */
  find(named: HostLike): Lane | Promise<Lane> {
    const host = typeof named === "string" ? named : urlAsText(named);
    const lane = this.known(host);
    if (lane !== undefined && this.#mayReuse(host, lane)) {
      if (this.#byKey.get(lane.key) === lane) return lane;
      const current = this.current(lane);
      if (current !== lane) this.#byObject.get(host as object)!.lane = current;
      return current;
    }
    return this.#resolving.get(host) ?? this.#resolve(host);
  }

  #mayReuse(host: string | SshHost, lane: Lane): boolean {
    const isStable = this.#resolver.isStable?.(host) ?? true;
    if (isStable) return lane.isLive || typeof host !== "string";
    return lane.waiting === 0 &&
      lane.open.some((pooled) => pooled.hasRoom(lane.sessionLimit));
  }

  #resolve(host: string | SshHost): Lane | Promise<Lane> {
    const copy = typeof host === "string" ? undefined : snapshot(host);
    const resolved = this.#resolver.resolve(host, {
      onNotice: (notice) => this.#onNotice(host, notice),
      // That of the pool: many callers may wait for the same answer.
      signal: this.#signal,
    });
    if (!(resolved instanceof Promise)) {
      return this.#remember(host, copy, resolved);
    }
    // The files are read once for everybody who names the host meanwhile. Only
    // for strings: an object may change while it is looked up.
    const lane = resolved
      .then((resolved) => this.#remember(host, copy, resolved))
      .finally(() => this.#resolving.delete(host));
    if (typeof host === "string") this.#resolving.set(host, lane);
    return lane;
  }

  /**
   * Returns the host's current lane: a lane that was forgotten while a caller
   * still held it comes back, unless there is a new one.
   */
  current(lane: Lane): Lane {
    return this.#byKey.get(lane.key) ?? this.#adopt(lane);
  }

  /** Returns the lane of a host with nothing left to look up. */
  laneOf(host: ResolvedHost): Lane {
    const key = poolKey(host, this.#usesAlias);
    return this.#byKey.get(key) ??
      this.#adopt(this.#makeLane(redacted(host), key));
  }

  #remember(
    host: string | SshHost,
    copy: unknown,
    resolved: ResolvedHost,
  ): Lane {
    const lane = this.laneOf(resolved);
    this.#tellOfFunctions(host, resolved, lane.key);
    if (typeof host === "string") remember(this.#byString, host, lane);
    else this.#byObject.set(host, { copy, lane });
    return lane;
  }

  /**
   * A callback that is written into the host of each call is a new function
   * each time, and so each call gets a connection of its own.
   */
  #tellOfFunctions(
    host: string | SshHost,
    resolved: ResolvedHost,
    key: string,
  ): void {
    if (this.#hasToldOfFunctions || typeof host === "string") return;
    const alike = poolKeyWithoutFunctions(resolved);
    if (alike === undefined) return;
    const before = this.#withFunctions.get(alike);
    if (before === undefined) remember(this.#withFunctions, alike, key);
    if (before === undefined || before === key) return;
    this.#hasToldOfFunctions = true;
    this.#withFunctions.clear();
    this.#onNotice(host, FUNCTIONS_DIFFER);
  }

  #adopt(lane: Lane): Lane {
    this.#prune();
    this.#byKey.set(lane.key, lane);
    return lane;
  }

  /**
   * Forgets lanes without connection, waiter or cool-down. Only when their
   * number has doubled, so that it costs nothing to speak of.
   */
  #prune(): void {
    if (this.#byKey.size < this.#pruneAt) return;
    for (const lane of this.#byKey.values()) {
      if (lane.isEmpty) this.#byKey.delete(lane.key);
    }
    for (const [name, lane] of this.#byString) {
      if (!this.#byKey.has(lane.key)) this.#byString.delete(name);
    }
    this.#pruneAt = Math.max(FIRST_PRUNE, 2 * this.#byKey.size);
  }
}

/** What is forgotten with all the others is found anew when it is needed. */
function remember<T>(memo: Map<string, T>, name: string, value: T): void {
  if (memo.size >= MAX_NAMES) memo.clear();
  memo.set(name, value);
}

/** Returns a deep copy of plain data; functions stay what they are. */
function snapshot(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (Array.isArray(value)) return value.map(snapshot);
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, snapshot(field)]),
  );
}

function isSame(value: unknown, copy: unknown): boolean {
  if (value === copy) return true;
  if (
    typeof value !== "object" || typeof copy !== "object" || value === null ||
    copy === null
  ) {
    return false;
  }
  if (value instanceof Uint8Array) {
    return copy instanceof Uint8Array && value.length === copy.length &&
      value.every((byte, i) => byte === copy[i]);
  }
  const a = value as Record<string, unknown>;
  const b = copy as Record<string, unknown>;
  let fields = 0;
  for (const name in a) {
    fields++;
    if (a[name] !== b[name] && !isSame(a[name], b[name])) return false;
  }
  for (const _ in b) fields--;
  return fields === 0;
}
