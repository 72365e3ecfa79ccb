/**
 * What is measured over any SSH server: cold dial, warm commands and a burst
 * of callers, by a pool and by bare ssh2.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  ConnectionPool,
  type ConnectionPoolOptions,
  type SshHost,
} from "../mod.ts";
import { scenario } from "./_scenario.ts";
import { bareHost, dialBare, endBare, execBare } from "./_ssh2.ts";

/** A server, as a bench sees it. */
export interface Target {
  /** What the groups of its scenarios begin with. */
  readonly label: string;
  /** Why it is not there; empty if it is. */
  readonly hint: string;
  /** How it is reached, with a key in text. */
  host(): Promise<SshHost>;
  /** How many connections it has let in so far. */
  accepted(): Promise<number>;
}

/** How often, at least. */
export interface Sizes {
  readonly dials: number;
  readonly execs: number;
  readonly bareExecs: number;
  readonly bursts: number;
}

/** The names of the scenarios. */
export interface Names {
  readonly dial: string;
  readonly dialBare: string;
  readonly warm: string;
  readonly warmBare: string;
  readonly newClient: string;
  readonly burst: string;
}

/** Opens a pool that leads to a target. */
export async function poolOver(
  target: Target,
  options: ConnectionPoolOptions = {},
) {
  const host = await target.host();
  const pool = new ConnectionPool({ config: false, ...options });
  return {
    pool,
    host,
    acceptedBefore: await target.accepted(),
    [Symbol.asyncDispose]: () => pool.close(),
  };
}

/** Opens a connection of bare ssh2 to a target. */
export async function clientOver(target: Target) {
  const client = await dialBare(bareHost(await target.host()));
  return { client, [Symbol.asyncDispose]: () => endBare(client) };
}

/** The dials that a pool has made. */
export function dialsOf({ pool }: { readonly pool: ConnectionPool }): number {
  return pool.stats().counters.dials;
}

/** Registers the scenarios, and gives their names. */
export function scenariosOver(target: Target, sizes: Sizes): Names {
  const named = (name: string) => `${name}${target.hint}`;
  const names = {
    dial: named("cold dial, sshpool"),
    dialBare: named("cold dial, ssh2"),
    warm: named('warm exec("true"), sshpool'),
    warmBare: named('warm exec("true"), ssh2 on one Client'),
    newClient: named('exec("true"), ssh2 with a new Client, as in its README'),
    burst: named("100 callers, cold, one connection allowed, all"),
  };
  dialScenarios(target, sizes, names);
  warmScenarios(target, sizes, names);
  burstScenario(target, sizes, names);
  return names;
}

function dialScenarios(target: Target, sizes: Sizes, names: Names): void {
  const common = {
    ignore: target.hint !== "",
    group: `${target.label}: cold dial`,
    n: sizes.dials,
    fresh: true,
  };
  scenario({
    ...common,
    name: names.dial,
    baseline: true,
    open: () => poolOver(target),
    run: async ({ pool, host }) => void await pool.getConnection(host),
    check: ({ pool }) => assertEquals([pool.size, dialsOf({ pool })], [1, 1]),
    dials: dialsOf,
  });
  scenario({
    ...common,
    name: names.dialBare,
    async open() {
      let end = () => Promise.resolve();
      return {
        host: bareHost(await target.host()),
        ended: (by: () => Promise<void>) => void (end = by),
        [Symbol.asyncDispose]: () => end(),
      };
    },
    async run(fixture) {
      const client = await dialBare(fixture.host);
      fixture.ended(() => endBare(client));
    },
  });
}

function warmScenarios(target: Target, sizes: Sizes, names: Names): void {
  const common = {
    ignore: target.hint !== "",
    group: `${target.label}: warm exec`,
  };
  scenario({
    ...common,
    name: names.warm,
    baseline: true,
    n: sizes.execs,
    warmup: Math.ceil(sizes.execs / 10),
    async open() {
      const fixture = await poolOver(target);
      const { stdout } = await fixture.pool.exec(fixture.host, "echo right");
      assertEquals(stdout, "right\n");
      return { ...fixture, success: false };
    },
    async run(fixture) {
      const { success } = await fixture.pool.exec(fixture.host, "true");
      fixture.success = success;
    },
    check({ success, pool }) {
      assert(success, "true did not succeed");
      assertEquals(dialsOf({ pool }), 1);
    },
    dials: dialsOf,
  });
  scenario({
    ...common,
    name: names.warmBare,
    n: sizes.bareExecs,
    warmup: Math.ceil(sizes.bareExecs / 10),
    async open() {
      const fixture = await clientOver(target);
      assertEquals(await execBare(fixture.client, "echo right"), "right\n");
      return fixture;
    },
    run: async ({ client }) => void await execBare(client, "true"),
  });
  scenario({
    ...common,
    name: names.newClient,
    n: sizes.dials,
    open: async () => bareHost(await target.host()),
    async run(host) {
      const client = await dialBare(host);
      await execBare(client, "true");
      await endBare(client);
    },
  });
}

function burstScenario(target: Target, sizes: Sizes, names: Names): void {
  scenario({
    name: names.burst,
    ignore: target.hint !== "",
    n: sizes.bursts,
    callers: 100,
    fresh: true,
    async open() {
      const fixture = await poolOver(target, { maxConnectionsPerHost: 1 });
      return { ...fixture, results: [] as string[] };
    },
    async run(fixture) {
      const results = Array.from(
        { length: 100 },
        (_, i) => fixture.pool.exec(fixture.host, `echo ${i}`),
      );
      fixture.results = (await Promise.all(results)).map((r) => r.stdout);
    },
    async check({ results, acceptedBefore }) {
      assertEquals(results, Array.from({ length: 100 }, (_, i) => `${i}\n`));
      assertEquals(await target.accepted() - acceptedBefore, 1);
    },
    dials: dialsOf,
  });
}
