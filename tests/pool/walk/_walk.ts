// A random walk over a pool: steps drawn from a seed, and after each of them
// everything that must hold.

import { assert } from "@std/assert";
import {
  ConnectionPool,
  type ExecOptions,
  type Lease,
  PoolClosedError,
  type PoolEvent,
} from "../../../pool/mod.ts";
import type { Connection } from "../../../transport/connector.ts";
import type { HostLike } from "../../../transport/host/host.ts";
import { parseHost } from "../../../transport/host/host_string.ts";
import { Call, type CallKind, type CallParts } from "./_walk_calls.ts";
import { check, checkEnd, checkRest } from "./_walk_checks.ts";
import { hostsOf, Script, type WalkPlan } from "./_walk_script.ts";
import { STEPS, Steps } from "./_walk_steps.ts";
import type { Random } from "../../kit/random.ts";
import type { VirtualTime } from "./_walk_time.ts";

/** A lease that the walk holds. */
export interface Held {
  readonly lease: Lease;
  readonly host: string;
  /** The command on it. */
  call?: Call;
}

/** One life of a pool: from its making to the last thing after `close()`. */
export class Walk {
  readonly plan: WalkPlan;
  readonly chance: Random;
  readonly time: VirtualTime;
  readonly script: Script;
  readonly pool: ConnectionPool;
  readonly calls: Call[] = [];
  /** Those that may still change. */
  readonly open = new Set<Call>();
  readonly leases = new Set<Held>();
  /** Leases that were given back with their channel open. */
  readonly strays = new Set<Held>();
  /** What has to settle and never rejects: `closeAll()` and the like. */
  readonly pending = new Set<string>();
  readonly lostAt = new Map<string, number>();
  readonly trace: string[] = [];
  readonly troubles: string[] = [];
  /** Calls that got a slot in this step. */
  served: Call[] = [];
  closedAt = -1;
  step = 0;
  readonly hosts: HostLike[];
  readonly #byLine = new Map<string, Call>();
  readonly #since = new Map<string, number>();
  shared: Connection[] = [];
  #isClosing = false;
  #expected = 0;
  readonly #steps = new Steps(this);

  constructor(plan: WalkPlan, chance: Random, time: VirtualTime) {
    this.plan = plan;
    this.chance = chance;
    this.time = time;
    this.hosts = hostsOf(plan);
    this.script = new Script(plan, chance, {
      started: (line) => this.#started(line),
      refused: (line) => {
        const call = this.#byLine.get(line);
        if (call !== undefined) call.refusedAt = this.step;
      },
    });
    this.pool = new ConnectionPool({
      ...plan.pool,
      connector: this.script.connector,
      observer: (event) => this.#observe(event),
    });
  }

  /** Takes so many steps, then closes and shared whether anything is left. */
  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) await this.#step();
    if (this.chance.chance(0.5)) await this.#calm();
    const drainTimeoutMs = this.chance.pick([0, 20, 500]) ?? 0;
    this.note(`close ${drainTimeoutMs}`);
    this.#isClosing = true;
    this.closedAt = Infinity;
    this.expect("close", this.pool.close({ drainTimeoutMs }));
    for (let i = 0; i < 20; i++) await this.#step();
    await this.time.pass(drainTimeoutMs + 3_100);
    check(this);
    checkEnd(this);
    for (const { lease } of [...this.leases, ...this.strays]) lease.release();
    await this.time.settle();
    const late = await this.pool.exec("ops@db0", "true").catch((e) => e);
    assert(late instanceof PoolClosedError, `After close(): ${late}`);
    checkEnd(this);
  }

  /** Ends all that goes on, and lets the pool come to rest while it is open. */
  async #calm(): Promise<void> {
    this.step++;
    this.note("calm");
    for (const { lease } of this.leases) lease.release();
    this.leases.clear();
    for (const { parts } of this.open) {
      parts.controller?.abort(new Error("Abort of all"));
    }
    this.closedAt = this.step;
    this.expect("closeAll", this.pool.closeAll());
    // Twice as long as a connection may take to close: a call that has not run
    // is tried again, and its connection may end after the others.
    await this.time.pass(6_200);
    check(this);
    checkRest(this);
  }

  async #step(): Promise<void> {
    this.step++;
    this.script.asked = 0;
    this.served = [];
    const odds = { ...STEPS, ...this.plan.steps };
    // Often more than one thing happens before anybody who was waiting runs: a
    // hand-out crosses an abort, a failure crosses a close.
    // With strays a step is one thing: the pool cannot tell a stray that is left
    // in the very turn in which another channel is refused.
    const isCrowded = this.plan.strays !== true && this.chance.chance(0.2);
    const turns = isCrowded ? 2 + this.chance.below(4) : 1;
    for (let i = 1; i < turns; i++) {
      const kind = this.chance.weighted({ ...odds, pass: 0 });
      void this.#steps.take(kind);
    }
    await this.#steps.take(this.chance.weighted(odds));
    await this.time.settle();
    check(this);
  }

  /** For how long a condition has held, in milliseconds. */
  lasting(what: string, holds: boolean): number {
    if (!holds) this.#since.delete(what);
    else if (!this.#since.has(what)) this.#since.set(what, this.time.now);
    return this.time.now - (this.#since.get(what) ?? this.time.now);
  }

  // --- bookkeeping -----------------------------------------------------------

  begin(
    kind: CallKind,
    host: string,
    more: Partial<CallParts> = {},
  ): { call: Call; options: ExecOptions } {
    const id = this.calls.length;
    const controller = this.chance.chance(0.4)
      ? new AbortController()
      : undefined;
    const wait = this.chance.weighted({ own: 4, none: 1, pool: 5 });
    const acquireTimeoutMs = wait === "own"
      ? 5 + this.chance.below(100)
      : wait === "none"
      ? 0
      : this.plan.pool.acquireTimeoutMs ?? 30_000;
    const runs = kind !== "acquire" && kind !== "shared";
    const call = new Call(id, {
      kind,
      host,
      step: this.step,
      startedAt: this.time.now,
      acquireTimeoutMs,
      controller,
      ...(runs ? { line: this.#line(id) } : {}),
      ...more,
    });
    this.calls.push(call);
    this.open.add(call);
    if (call.parts.line !== undefined) this.#byLine.set(call.parts.line, call);
    this.note(`${call}`);
    if (controller !== undefined && this.chance.chance(0.03)) {
      controller.abort(new Error(`Abort of #${id}, before it began`));
    }
    // A call without options takes the shortest way through the pool.
    const isBare = wait === "pool" && controller === undefined;
    const { timeoutMs, idempotent } = call.parts;
    const options = {
      // The connector's own connection does not know the option.
      ...(isBare || kind === "on lease" ? {} : { acquireTimeoutMs }),
      ...(controller === undefined ? {} : { signal: controller.signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(idempotent ? { idempotent } : {}),
    };
    const isEmpty = Object.keys(options).length === 0;
    return { call, options: (isEmpty ? undefined : options) as ExecOptions };
  }

  /** A command that no other call has. */
  #line(id: number): string {
    switch (this.chance.weighted({ echo: 6, sleep: 4, exit: 1, hang: 0.5 })) {
      case "echo":
        return `echo ${id}`;
      case "sleep":
        return `sleep ${this.chance.below(60) / 1000} ${id}`;
      case "exit":
        return `exit ${1 + (id % 200)} ${id}`;
      case "hang":
        return `sleep 100000 ${id}`;
    }
  }

  track(call: Call, promise: Promise<unknown>): void {
    promise.then((result) => call.result = result, (error) => {
      call.error = error ?? new Error("rejected with nothing");
    }).then(() => call.isSettled = true);
  }

  expect(what: string, promise: Promise<unknown>): void {
    const name = `${what} ${++this.#expected} of step ${this.step}`;
    this.pending.add(name);
    promise.catch((error) => this.troubles.push(`${name} rejected: ${error}`))
      .then(() => this.pending.delete(name));
  }

  #started(line: string): void {
    const call = this.#byLine.get(line);
    if (call === undefined) return;
    this.served.push(call);
    call.servedAt ??= this.step;
    call.refusedAt = undefined;
  }

  #observe(event: PoolEvent): void {
    this.note(`  ${event.type} ${"host" in event ? event.host : ""}`);
    if (event.type !== "disconnected") return;
    if (event.cause === "requested" || event.cause === "ended") {
      this.lostAt.set(event.host, this.#isClosing ? Infinity : this.step);
    }
  }

  note(text: string): void {
    this.trace.push(`${this.step} @${this.time.now} ${text}`);
    if (this.trace.length > 400) this.trace.shift();
  }

  name(): string {
    const host = this.chance.below(this.plan.hosts);
    return `ops@db${host}:22`;
  }

  like(name: string): HostLike {
    return this.hosts[Number(parseHost(name).hostname.slice(2))]!;
  }
}
