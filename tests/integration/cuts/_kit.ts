/**
 * One cell of the matrix of cuts: a verb of the pool, over a connection that is
 * cut after so many bytes, and what has to hold afterwards.
 *
 * @module
 */

import { deadline } from "@std/async";
import { join } from "node:path";
import {
  AuthenticationError,
  ConnectionLostError,
  ConnectionPool,
  type ConnectionPoolOptions,
  DialError,
  HostKeyError,
  SshError,
  type SshHost,
} from "../../../mod.ts";
import { type Cut, FaultProxy } from "../../kit/fault_proxy.ts";
import { until } from "../../kit/until.ts";
import { afterCooldown } from "../../pool/_faults_kit.ts";
import type { Site } from "./_site.ts";

/** How long a call waits for a connection: the default of the pool. */
const ACQUIRE_MS = 30_000;

/** By when it has to settle: the first try and the last one come on top. */
const SETTLE_MS = ACQUIRE_MS + 20_000;

/** What a verb is given. */
export interface Cell {
  readonly site: Site;
  readonly pool: ConnectionPool;
  /** The host, through the proxy that cuts. */
  readonly host: SshHost;
  /** An empty folder of the host. */
  readonly remote: string;
  /** An empty folder of this side. */
  readonly local: string;
  /** A name that no other cell has. */
  readonly id: string;
}

/** A verb of the pool, with a use of it whose result can be checked. */
export interface Verb {
  readonly name: string;
  /** Puts there what it works on. */
  prepare?(cell: Cell): Promise<void>;
  /**
   * Uses it and compares all that came of it. Throws what the library throws,
   * and {@linkcode WrongSuccess} if the library is content and should not be.
   */
  run(cell: Cell): Promise<void>;
  /** Whether the host shows a trace. Absent where the verb leaves none. */
  hasRun?(cell: Cell): Promise<boolean>;
  /** What else is wrong in the end. The connection is cut no more. */
  faults?(cell: Cell, error: unknown): Promise<string[]>;
}

/** A result that is not what it should be, and is no error. */
export class WrongSuccess extends Error {
  override readonly name = "WrongSuccess";
}

/** Throws if something is not so. */
export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new WrongSuccess(what);
}

/** Which connections are cut: the first one, or each until the verb settles. */
export type Times = "once" | "always";

/** What came of a cell. */
export interface Report {
  readonly cell: string;
  /** What the verb threw; `undefined` if it succeeded. */
  readonly error: unknown;
  /** Whether a connection was cut while the verb ran. */
  readonly wasCut: boolean;
  readonly faults: string[];
  /** Looks for a trace of what cannot have run, as late as can be. */
  lastLook(): Promise<string[]>;
}

/** How many bytes go each way. */
export interface Bytes {
  readonly up: number;
  readonly down: number;
}

/** What an uncut run has shown. */
export interface Recording {
  /** Up to the end of the login. */
  readonly login: Bytes;
  /** Up to the end of the verb. */
  readonly total: Bytes;
}

/** A pool that notices a frozen connection soon, and a refusing host too. */
function newPool(
  { transport, slowness }: Site,
  options: ConnectionPoolOptions = {},
): ConnectionPool {
  return new ConnectionPool({
    config: false,
    // A process for each connection takes its time on a machine that is busy.
    dialTimeoutMs: slowness * (transport === "openssh" ? 8000 : 4000),
    // Longer than a dial and its retries, however long these are.
    acquireTimeoutMs: slowness * ACQUIRE_MS,
    keepaliveIntervalMs: slowness * 200,
    keepaliveCountMax: 3,
    backoff: { initialMs: 50, maxMs: 400, refusedMs: 100 },
    drainTimeoutMs: 0,
    ...options,
  });
}

/** By when a call has to settle, on this machine. */
function settleMs({ slowness }: Site): number {
  return slowness * SETTLE_MS;
}

/** Runs a verb uncut, and counts. */
export async function record(site: Site, verb: Verb): Promise<Recording> {
  await using proxy = await FaultProxy.start(site.sshd.port);
  await using pool = newPool(site, {
    dialTimeoutMs: 60_000,
    keepaliveIntervalMs: 0,
  });
  const cell = await newCell(site, pool, proxy);
  await verb.prepare?.(cell);
  const startedAt = performance.now();
  await pool.getConnection(cell.host);
  site.noteDial(performance.now() - startedAt);
  const link = proxy.links[0]!;
  const count = () => ({ up: link.bytesUp, down: link.bytesDown });
  const login = count();
  await verb.run(cell);
  const total = count();
  const faults = await verb.faults?.(cell, undefined) ?? [];
  if (faults.length > 0) throw new Error(`${verb.name}, uncut: ${faults}`);
  return { login, total };
}

/** So far deadlines are stretched, and no further: then it is no matter of time. */
const MAX_SLOWNESS = 32;

/**
 * Runs a verb with a cut. Again, with more time, where a connection that was
 * not cut is given up: the machine had no time for it.
 */
export async function runCell(
  site: Site,
  verb: Verb,
  cut: Cut,
  times: Times,
): Promise<Report> {
  for (;;) {
    const { slowness } = site;
    try {
      return await runOnce(site, verb, cut, times);
    } catch (error) {
      // What the verb throws, on what was cut, is part of the report.
      if (!isOfTime(error)) throw error;
      if (slowness >= MAX_SLOWNESS) {
        throw new Error(`What nobody cut took too long: ${error}`);
      }
      // Others, at the same time, may have found the same.
      site.slowness = Math.max(site.slowness, slowness * 2);
    }
  }
}

/** Whether it is a deadline that has ended a connection or a dial. */
function isOfTime(error: unknown): boolean {
  if (error instanceof DialError) return error.phase === "timeout";
  return error instanceof ConnectionLostError &&
    error.message.includes("Keepalive timeout");
}

async function runOnce(
  site: Site,
  verb: Verb,
  cut: Cut,
  times: Times,
): Promise<Report> {
  const { direction, bytes, how } = cut;
  const name =
    `${verb.name}: ${how} after ${bytes} bytes ${direction}, ${times}`;
  await using proxy = await FaultProxy.start(site.sshd.port);
  await using pool = newPool(site);
  const cell = await newCell(site, pool, proxy);
  await verb.prepare?.(cell);
  proxy.cutNew = { cut, times: times === "once" ? 1 : Infinity };
  const error = await failureOf(() => deadline(verb.run(cell), settleMs(site)));
  const wasCut = proxy.links.some((link) => link.wasCut);
  proxy.cutNew = undefined;
  const faults = [
    ...faultsOf(error),
    ...await lookAtPool(pool),
    ...await recover(cell),
    ...await verb.faults?.(cell, error) ?? [],
    ...await lookAtEnd(cell, proxy),
  ].map((fault) => `${name}: ${fault}`);
  const lastLook = async () => {
    const cannotHaveRun = error instanceof SshError && !error.mayHaveRun;
    if (!cannotHaveRun || !await verb.hasRun?.(cell)) return [];
    return [`${name}: it has run, in spite of ${error}`];
  };
  return { cell: name, error, wasCut, faults, lastLook };
}

let cells = 0;

async function newCell(
  site: Site,
  pool: ConnectionPool,
  proxy: FaultProxy,
): Promise<Cell> {
  const id = `cell${++cells}`;
  const remote = join(site.remote, id);
  const local = join(site.local, id);
  await Deno.mkdir(remote);
  await Deno.chmod(remote, 0o777);
  await Deno.mkdir(local);
  const { transport } = site;
  const host = site.sshd.host({
    port: proxy.port,
    transport,
    // The first choice of ssh costs more than all the rest of a dial.
    ...transport === "openssh"
      ? { algorithms: { kex: ["curve25519-sha256"] } }
      : {},
  });
  return { site, pool, host, remote, local, id };
}

/** What it rejects with; `undefined` if it resolves. */
async function failureOf(what: () => Promise<void>): Promise<unknown> {
  try {
    await what();
  } catch (error) {
    return error;
  }
}

/** A cut is neither a refusal nor anything that has no type. */
function faultsOf(error: unknown): string[] {
  if (error === undefined) return [];
  if (error instanceof WrongSuccess) return [error.message];
  const isRefusal = error instanceof AuthenticationError ||
    error instanceof HostKeyError;
  if (error instanceof SshError && !isRefusal) return [];
  return [`it failed with ${error}`];
}

/** Nothing is pending, leased or waiting once the call has settled. */
async function lookAtPool(pool: ConnectionPool): Promise<string[]> {
  const pending = () => {
    const { busy, waiting, dialing } = pool.stats();
    return { busy, waiting, dialing };
  };
  const isCalm = () => Object.values(pending()).every((n) => n === 0);
  try {
    await until(isCalm, "a calm pool");
    return [];
  } catch {
    return [`the pool still has ${Deno.inspect(pending())}`];
  }
}

/** The next call works, and at once. */
async function recover({ pool, host, site }: Cell): Promise<string[]> {
  // A connection that was cut behind the verb may still be there.
  const next = () => pool.exec(host, "echo next", { idempotent: true });
  try {
    const { stdout } = await deadline(
      afterCooldown(next),
      settleMs(site),
    );
    return stdout === "next\n" ? [] : [`the next call gives "${stdout}"`];
  } catch (error) {
    if (isOfTime(error)) throw error;
    return [`the next call fails with ${error}`];
  }
}

/** The end of the pool leaves nothing. */
async function lookAtEnd(
  { pool, site }: Cell,
  proxy: FaultProxy,
): Promise<string[]> {
  try {
    await deadline(pool.close(), settleMs(site));
    const isLeft = () => proxy.links.every((link) => link.hasClientLeft);
    await until(isLeft, "the end of each socket");
  } catch (error) {
    return [`after close(): ${error}`];
  }
  return pool.size === 0 ? [] : [`${pool.size} connections after close()`];
}
