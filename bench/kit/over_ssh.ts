/**
 * What is measured over any SSH server: cold dial, warm commands, a command on
 * a connection of its own, and a burst of callers, by a pool and by bare ssh2.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  ConnectionPool,
  type ConnectionPoolOptions,
  type SshHost,
} from "../../mod.ts";
import { scenario } from "./scenario.ts";
import {
  type BareClient,
  type BareHost,
  bareHost,
  dialBare,
  dialTuned,
  endBare,
  execBare,
  execPatiently,
} from "./ssh2.ts";
import { Gate, together } from "./timing.ts";

/** A server, as a bench sees it. */
export interface Target {
  /** What the groups of its scenarios begin with. */
  readonly label: string;
  /** Why it is not there; empty if it is. */
  readonly hint: string;
  /** Returns how it is reached, with a key in text. */
  host(): Promise<SshHost>;
  /** Returns how many connections it has let in so far. */
  accepted(): Promise<number>;
}

/** How often. */
export interface Sizes {
  readonly dials: number;
  readonly bareDials: number;
  readonly execs: number;
  readonly bareExecs: number;
  readonly bursts: number;
}

/** What is needed to compare more with it: groups, and keys of rows. */
export interface OverSsh {
  readonly warmGroup: string;
  readonly warm: string;
  readonly warmBare: string;
  readonly warmTuned: string;
  readonly burst: string;
  readonly burstTuned: string;
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

/** How bare ssh2 dials: as its README shows it, or with noDelay. */
export type BareDial = (host: BareHost) => Promise<BareClient>;

/** Opens a connection of bare ssh2 to a target. */
export async function clientOver(target: Target, dial: BareDial = dialBare) {
  const client = await dial(bareHost(await target.host()));
  return { client, [Symbol.asyncDispose]: () => endBare(client) };
}

/** Returns the dials that a pool has made. */
export function dialsOf({ pool }: { readonly pool: ConnectionPool }): number {
  return pool.stats().counters.dials;
}

/** Registers the scenarios. */
export function scenariosOver(target: Target, sizes: Sizes): OverSsh {
  dialScenarios(target, sizes);
  wholeScenarios(target, sizes);
  const bursts = burstScenarios(target, sizes);
  return { ...bursts, ...warmScenarios(target, sizes) };
}

function dialScenarios(target: Target, sizes: Sizes): void {
  const common = {
    ignore: target.hint !== "",
    group: `${target.label}: cold dial${target.hint}`,
    fresh: true,
  };
  scenario({
    ...common,
    name: "sshpool",
    baseline: true,
    n: sizes.dials,
    open: () => poolOver(target),
    run: async ({ pool, host }) => void await pool.getConnection(host),
    check: ({ pool }) => assertEquals([pool.size, dialsOf({ pool })], [1, 1]),
    dials: dialsOf,
  });
  const bare = (name: string, dial: BareDial, n: number) =>
    scenario({
      ...common,
      name,
      n,
      async open() {
        let end = () => Promise.resolve();
        return {
          host: bareHost(await target.host()),
          ended: (by: () => Promise<void>) => void (end = by),
          [Symbol.asyncDispose]: () => end(),
        };
      },
      async run(fixture) {
        const client = await dial(fixture.host);
        fixture.ended(() => endBare(client));
      },
    });
  bare("ssh2 with noDelay", dialTuned, sizes.dials);
  bare("ssh2 as in its README", dialBare, sizes.bareDials);
}

function warmScenarios(
  target: Target,
  sizes: Sizes,
): Omit<OverSsh, "burst" | "burstTuned"> {
  const warmGroup = `${target.label}: warm exec("true")${target.hint}`;
  const common = { ignore: target.hint !== "", group: warmGroup };
  const warm = scenario({
    ...common,
    name: "sshpool",
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
  const bare = (name: string, dial: BareDial, n: number) =>
    scenario({
      ...common,
      name,
      n,
      warmup: Math.ceil(n / 10),
      async open() {
        const fixture = await clientOver(target, dial);
        assertEquals(await execBare(fixture.client, "echo right"), "right\n");
        return fixture;
      },
      run: async ({ client }) => void await execBare(client, "true"),
    });
  return {
    warmGroup,
    warm,
    warmTuned: bare("ssh2 with noDelay", dialTuned, sizes.execs),
    warmBare: bare("ssh2 as in its README", dialBare, sizes.bareExecs),
  };
}

/** What a program pays that keeps no connection. */
function wholeScenarios(target: Target, sizes: Sizes): void {
  const common = {
    ignore: target.hint !== "",
    group: `${target.label}: dial, exec("true"), close${target.hint}`,
  };
  scenario({
    ...common,
    name: "sshpool, a pool for each",
    baseline: true,
    n: sizes.bareDials,
    open: () => target.host(),
    async run(host) {
      await using pool = new ConnectionPool({ config: false });
      await pool.exec(host, "true", { check: true });
    },
  });
  scenario({
    ...common,
    name: "ssh2, a Client for each, as in its README",
    n: sizes.bareDials,
    open: async () => bareHost(await target.host()),
    async run(host) {
      const client = await dialBare(host);
      await execBare(client, "true");
      await endBare(client);
    },
  });
}

const CALLERS = 100;
const ECHOES = Array.from({ length: CALLERS }, (_, i) => `${i}\n`);

function burstScenarios(
  target: Target,
  sizes: Sizes,
): Pick<OverSsh, "burst" | "burstTuned"> {
  const common = {
    ignore: target.hint !== "",
    group: `${target.label}: ${CALLERS} callers on a cold host, each` +
      target.hint,
    n: sizes.bursts,
    fresh: true,
  };
  const burst = scenario({
    ...common,
    name: "sshpool, one connection allowed",
    baseline: true,
    async open() {
      const fixture = await poolOver(target, { maxConnectionsPerHost: 1 });
      return { ...fixture, results: [] as string[] };
    },
    run: ({ pool, host, results }) =>
      together(CALLERS, async (i) => {
        results[i] = (await pool.exec(host, `echo ${i}`)).stdout;
      }),
    async check({ results, acceptedBefore }) {
      assertEquals(results, ECHOES);
      assertEquals(await target.accepted() - acceptedBefore, 1);
    },
    dials: dialsOf,
  });
  const burstTuned = scenario({
    ...common,
    name: "ssh2 with noDelay, 8 channels of one Client",
    async open() {
      const end: (() => Promise<void>)[] = [];
      return {
        host: bareHost(await target.host()),
        end,
        results: [] as string[],
        [Symbol.asyncDispose]: async () => void await end[0]?.(),
      };
    },
    run({ host, end, results }) {
      const dialled = dialTuned(host);
      end.push(async () => endBare(await dialled));
      const gate = new Gate(8);
      return together(CALLERS, async (i) => {
        const client = await dialled;
        results[i] = await gate.run(() => execPatiently(client, `echo ${i}`));
      });
    },
    check: ({ results }) => assertEquals(results, ECHOES),
  });
  return { burst, burstTuned };
}
