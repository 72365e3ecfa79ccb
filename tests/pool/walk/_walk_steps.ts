// The steps of a random walk: what callers, servers and networks do.

import type { Connection } from "../../../transport/connector.ts";
import type { Walk } from "./_walk.ts";
import type { StepKind } from "./_walk_script.ts";

/** How likely each step is, where a plan does not say otherwise. */
export const STEPS: Record<StepKind, number> = {
  exec: 30,
  burst: 2,
  spawn: 8,
  acquire: 10,
  release: 12,
  discard: 1,
  use: 8,
  shared: 8,
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

/** Takes steps on behalf of a walk. */
export class Steps {
  readonly #walk: Walk;

  constructor(walk: Walk) {
    this.#walk = walk;
  }

  /** Takes a step; time passes only in one kind of them. */
  take(kind: StepKind): Promise<void> | void {
    switch (kind) {
      case "exec":
        return this.#exec(this.#walk.name());
      case "burst": {
        const host = this.#walk.name();
        for (let n = 3 + this.#walk.chance.below(15); n > 0; n--) {
          this.#exec(host);
        }
        return;
      }
      case "spawn":
        return this.#spawn(this.#walk.name());
      case "acquire":
        return this.#acquire(this.#walk.name());
      case "release":
      case "discard":
        return this.#release(kind);
      case "use":
        return this.#use();
      case "shared":
        return this.#look(this.#walk.name());
      case "share":
        return this.#share();
      case "warm":
        this.#walk.note("warm");
        return this.#walk.expect(
          "warm",
          this.#walk.pool.warm(this.#walk.hosts, { acquireTimeoutMs: 200 }),
        );
      case "abort":
        return this.#abort();
      case "drop":
      case "freeze":
      case "thaw":
        return this.#harm(kind);
      case "remove": {
        const host = this.#walk.name();
        this.#walk.note(`remove ${host}`);
        return this.#walk.expect(
          "remove",
          this.#walk.pool.removeConnection(this.#walk.like(host)),
        );
      }
      case "closeAll":
        this.#walk.note("closeAll");
        this.#walk.closedAt = Math.max(this.#walk.closedAt, this.#walk.step);
        return this.#walk.expect("closeAll", this.#walk.pool.closeAll());
      case "pass": {
        const ms = this.#walk.chance.chance(0.1)
          ? this.#walk.chance.below(150)
          : this.#walk.chance.below(15);
        this.#walk.note(`pass ${ms}`);
        return this.#walk.time.pass(ms);
      }
    }
  }

  #exec(host: string, on?: Connection): void {
    const idempotent = this.#walk.chance.chance(0.2);
    const { call, options } = this.#walk.begin("exec", host, {
      idempotent,
      ...(this.#walk.chance.chance(0.1)
        ? { timeoutMs: 10 + this.#walk.chance.below(80) }
        : {}),
    });
    const line = call.parts.line!;
    this.#walk.track(
      call,
      on === undefined
        ? this.#walk.pool.exec(this.#walk.like(host), line, options)
        : on.exec(line, options),
    );
  }

  #spawn(host: string): void {
    const { call, options } = this.#walk.begin("spawn", host);
    const line = call.parts.line!;
    const process = this.#walk.pool.spawn(this.#walk.like(host), line, options);
    this.#walk.track(
      call,
      process.then((process) => {
        call.isRunning = true;
        process.output().catch(() => {});
        process.status.catch((error) => {
          call.error = error;
          call.isJudged = false;
        }).then(() => {
          call.isRunning = false;
          this.#walk.open.add(call);
        });
        return process;
      }),
    );
  }

  #acquire(host: string): void {
    const { call, options } = this.#walk.begin("acquire", host);
    this.#walk.track(
      call,
      this.#walk.pool.acquire(this.#walk.like(host), options).then((lease) => {
        this.#walk.leases.add({ lease, host });
        call.servedAt = this.#walk.step;
        this.#walk.served.push(call);
        return lease;
      }),
    );
  }

  #look(host: string): void {
    const { call, options } = this.#walk.begin("shared", host);
    this.#walk.track(
      call,
      this.#walk.pool.getConnection(this.#walk.like(host), options).then(
        (connection) => {
          this.#walk.shared = [...this.#walk.shared.slice(-9), connection];
          return connection;
        },
      ),
    );
  }

  #share(): void {
    const connection = this.#walk.chance.pick(this.#walk.shared);
    if (connection === undefined || connection.isClosed) return;
    const { hostname } = connection.host;
    this.#exec(`ops@${hostname}:22`, connection);
  }

  #release(kind: "release" | "discard"): void {
    const held = this.#walk.chance.pick([...this.#walk.leases]);
    if (held === undefined) return;
    const isBusy = held.call?.isSettled === false;
    if (isBusy && this.#walk.plan.strays !== true) return;
    this.#walk.note(`${kind} ${held.host}${isBusy ? " busy" : ""}`);
    this.#walk.leases.delete(held);
    if (isBusy) this.#walk.strays.add(held);
    held.lease[kind]();
  }

  #use(): void {
    const held = this.#walk.chance.pick([...this.#walk.leases]);
    if (held === undefined || held.call?.isSettled === false) return;
    if (held.lease.connection.isClosed) return;
    const { call, options } = this.#walk.begin("on lease", held.host);
    held.call = call;
    const { connection } = held.lease;
    this.#walk.track(call, connection.exec(call.parts.line!, options));
  }

  #abort(): void {
    const candidates = [...this.#walk.open].filter(({ parts }) =>
      parts.controller?.signal.aborted === false
    );
    const call = this.#walk.chance.pick(candidates);
    if (call === undefined) return;
    this.#walk.note(`abort #${call.id}`);
    call.parts.controller!.abort(new Error(`Abort of #${call.id}`));
  }

  #harm(kind: "drop" | "freeze" | "thaw"): void {
    const { live, connections } = this.#walk.script.memory;
    const connection = this.#walk.chance.pick([...live]);
    if (connection === undefined) return;
    this.#walk.note(`${kind} connection ${connections.indexOf(connection)}`);
    connection[kind]();
  }
}
