// A random walk over a pool: steps drawn from a seed, and after each of them
// everything that must hold.

import { assert } from "@std/assert";
import {
  ConnectionPool,
  type ExecOptions,
  type Lease,
  PoolClosedError,
  type PoolEvent,
} from "../../pool/mod.ts";
import type { Connection } from "../../transport/connector.ts";
import type { HostLike } from "../../transport/host.ts";
import { parseHost } from "../../transport/host_string.ts";
import { Call, type CallKind, type CallParts } from "./_walk_calls.ts";
import { check, checkEnd } from "./_walk_checks.ts";
import {
  hostsOf,
  Script,
  type StepKind,
  type WalkPlan,
} from "./_walk_script.ts";
import type { Chance, VirtualTime } from "./_walk_time.ts";

const STEPS: Record<StepKind, number> = {
  exec: 30,
  burst: 2,
  spawn: 8,
  acquire: 10,
  release: 12,
  discard: 1,
  use: 8,
  look: 8,
  share: 4,
  warm: 1,
  abort: 12,
  drop: 2,
  freeze: 1,
  thaw: 2,
  remove: 1,
  closeAll: 0.3,
  pass: 30,
};

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
  readonly chance: Chance;
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
  readonly #hosts: HostLike[];
  readonly #byLine = new Map<string, Call>();
  readonly #since = new Map<string, number>();
  #shared: Connection[] = [];
  #isClosing = false;

  constructor(plan: WalkPlan, chance: Chance, time: VirtualTime) {
    this.plan = plan;
    this.chance = chance;
    this.time = time;
    this.#hosts = hostsOf(plan);
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

  /** Takes so many steps, then closes and looks whether anything is left. */
  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) await this.#step();
    const drainTimeoutMs = this.chance.pick([0, 20, 500]) ?? 0;
    this.#note(`close ${drainTimeoutMs}`);
    this.#isClosing = true;
    this.closedAt = Infinity;
    this.#expect("close", this.pool.close({ drainTimeoutMs }));
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

  async #step(): Promise<void> {
    this.step++;
    this.script.asked = 0;
    this.served = [];
    const kind = this.chance.weighted({ ...STEPS, ...this.plan.steps });
    await this.#take(kind);
    await this.time.settle();
    check(this);
  }

  #take(kind: StepKind): Promise<void> | void {
    switch (kind) {
      case "exec":
        return this.#exec(this.#name());
      case "burst": {
        const host = this.#name();
        for (let n = 3 + this.chance.below(15); n > 0; n--) this.#exec(host);
        return;
      }
      case "spawn":
        return this.#spawn(this.#name());
      case "acquire":
        return this.#acquire(this.#name());
      case "release":
      case "discard":
        return this.#release(kind);
      case "use":
        return this.#use();
      case "look":
        return this.#look(this.#name());
      case "share":
        return this.#share();
      case "warm":
        this.#note("warm");
        return this.#expect(
          "warm",
          this.pool.warm(this.#hosts, { acquireTimeoutMs: 200 }),
        );
      case "abort":
        return this.#abort();
      case "drop":
      case "freeze":
      case "thaw":
        return this.#harm(kind);
      case "remove": {
        const host = this.#name();
        this.#note(`remove ${host}`);
        return this.#expect(
          "remove",
          this.pool.removeConnection(this.#like(host)),
        );
      }
      case "closeAll":
        this.#note("closeAll");
        this.closedAt = Math.max(this.closedAt, this.step);
        return this.#expect("closeAll", this.pool.closeAll());
      case "pass": {
        const ms = this.chance.is(0.1)
          ? this.chance.below(150)
          : this.chance.below(15);
        this.#note(`pass ${ms}`);
        return this.time.pass(ms);
      }
    }
  }

  /** For how long a condition has held, in milliseconds. */
  lasting(what: string, holds: boolean): number {
    if (!holds) this.#since.delete(what);
    else if (!this.#since.has(what)) this.#since.set(what, this.time.now);
    return this.time.now - (this.#since.get(what) ?? this.time.now);
  }

  // --- the steps -------------------------------------------------------------

  #exec(host: string, on?: Connection): void {
    const idempotent = this.chance.is(0.2);
    const { call, options } = this.#begin("exec", host, {
      idempotent,
      ...(this.chance.is(0.1) ? { timeoutMs: 10 + this.chance.below(80) } : {}),
    });
    const line = call.parts.line!;
    this.#track(
      call,
      on === undefined
        ? this.pool.exec(this.#like(host), line, options)
        : on.exec(line, options),
    );
  }

  #spawn(host: string): void {
    const { call, options } = this.#begin("spawn", host);
    const line = call.parts.line!;
    const process = this.pool.spawn(this.#like(host), line, options);
    this.#track(
      call,
      process.then((process) => {
        call.isRunning = true;
        process.output().catch(() => {});
        process.status.catch((error) => {
          call.error = error;
          call.isJudged = false;
        }).then(() => {
          call.isRunning = false;
          this.open.add(call);
        });
        return process;
      }),
    );
  }

  #acquire(host: string): void {
    const { call, options } = this.#begin("acquire", host);
    this.#track(
      call,
      this.pool.acquire(this.#like(host), options).then((lease) => {
        this.leases.add({ lease, host });
        call.servedAt = this.step;
        this.served.push(call);
        return lease;
      }),
    );
  }

  #look(host: string): void {
    const { call, options } = this.#begin("look", host);
    this.#track(
      call,
      this.pool.getConnection(this.#like(host), options).then((connection) => {
        this.#shared = [...this.#shared.slice(-9), connection];
        return connection;
      }),
    );
  }

  #share(): void {
    const connection = this.chance.pick(this.#shared);
    if (connection === undefined || connection.isClosed) return;
    const { hostname } = connection.host;
    this.#exec(`ops@${hostname}:22`, connection);
  }

  #release(kind: "release" | "discard"): void {
    const held = this.chance.pick([...this.leases]);
    if (held === undefined) return;
    const isBusy = held.call?.isSettled === false;
    if (isBusy && this.plan.strays !== true) return;
    this.#note(`${kind} ${held.host}${isBusy ? " busy" : ""}`);
    this.leases.delete(held);
    if (isBusy) this.strays.add(held);
    held.lease[kind]();
  }

  #use(): void {
    const held = this.chance.pick([...this.leases]);
    if (held === undefined || held.call?.isSettled === false) return;
    if (held.lease.connection.isClosed) return;
    const { call, options } = this.#begin("on lease", held.host);
    held.call = call;
    const { connection } = held.lease;
    this.#track(call, connection.exec(call.parts.line!, options));
  }

  #abort(): void {
    const candidates = [...this.open].filter(({ parts }) =>
      parts.controller?.signal.aborted === false
    );
    const call = this.chance.pick(candidates);
    if (call === undefined) return;
    this.#note(`abort #${call.id}`);
    call.parts.controller!.abort(new Error(`Abort of #${call.id}`));
  }

  #harm(kind: "drop" | "freeze" | "thaw"): void {
    const { live, connections } = this.script.memory;
    const connection = this.chance.pick([...live]);
    if (connection === undefined) return;
    this.#note(`${kind} connection ${connections.indexOf(connection)}`);
    connection[kind]();
  }

  // --- bookkeeping -----------------------------------------------------------

  #begin(
    kind: CallKind,
    host: string,
    more: Partial<CallParts> = {},
  ): { call: Call; options: ExecOptions } {
    const id = this.calls.length;
    const controller = this.chance.is(0.4) ? new AbortController() : undefined;
    const patience = this.chance.weighted({ own: 4, none: 1, pool: 5 });
    const acquireTimeoutMs = patience === "own"
      ? 5 + this.chance.below(100)
      : patience === "none"
      ? 0
      : this.plan.pool.acquireTimeoutMs ?? 30_000;
    const runs = kind !== "acquire" && kind !== "look";
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
    this.#note(`${call}`);
    if (controller !== undefined && this.chance.is(0.03)) {
      controller.abort(new Error(`Abort of #${id}, before it began`));
    }
    // A call without options takes the shortest way through the pool.
    const isBare = patience === "pool" && controller === undefined;
    const { timeoutMs, idempotent } = call.parts;
    const options = {
      ...(isBare ? {} : { acquireTimeoutMs }),
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

  #track(call: Call, promise: Promise<unknown>): void {
    promise.then((result) => call.result = result, (error) => {
      call.error = error ?? new Error("rejected with nothing");
    }).then(() => call.isSettled = true);
  }

  #expect(what: string, promise: Promise<unknown>): void {
    const name = `${what} of step ${this.step}`;
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
    this.#note(`  ${event.type} ${"host" in event ? event.host : ""}`);
    if (event.type !== "disconnected") return;
    if (event.cause === "requested" || event.cause === "ended") {
      this.lostAt.set(event.host, this.#isClosing ? Infinity : this.step);
    }
  }

  #note(text: string): void {
    this.trace.push(`${this.step} @${this.time.now} ${text}`);
    if (this.trace.length > 400) this.trace.shift();
  }

  #name(): string {
    const host = this.chance.below(this.plan.hosts);
    return `ops@db${host}:22`;
  }

  #like(name: string): HostLike {
    return this.#hosts[Number(parseHost(name).hostname.slice(2))]!;
  }
}
