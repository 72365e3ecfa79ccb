// What a random walk meets: servers with limits, and gates at the dial, the
// channel's opening, the command, its end and the connection's close.

import type { ConnectionPoolOptions } from "../../../pool/mod.ts";
import {
  AuthenticationError,
  ChannelOpenError,
  DialError,
} from "../../../transport/errors.ts";
import type { Connector } from "../../../transport/connector.ts";
import { hostLabel, type HostLike } from "../../../transport/host/host.ts";
import {
  type MemoryConnection,
  MemoryConnector,
  type MemoryConnectorOptions,
  type Outcome,
} from "../../../transport/testing/mod.ts";
import { findScript } from "../../../transport/testing/scripts/commands.ts";
import type { Random } from "../../kit/random.ts";

/** The odds at one gate. `"slow"` goes on to another outcome. */
export type Odds = Readonly<
  Partial<Record<"ok" | "fail" | "slow" | "never", number>>
>;

/** What a step of a walk can be. */
export type StepKind =
  | "exec"
  | "spawn"
  | "acquire"
  | "release"
  | "discard"
  | "use"
  | "shared"
  | "share"
  | "warm"
  | "abort"
  | "drop"
  | "freeze"
  | "thaw"
  | "remove"
  | "closeAll"
  | "pass"
  | "burst";

/** One kind of walk. */
export interface WalkPlan {
  readonly name: string;
  /** How many hosts there are. */
  readonly hosts: number;
  /** How many of them are reached through a hop. */
  readonly jumps?: number;
  readonly pool: Omit<ConnectionPoolOptions, "connector" | "observer">;
  /** `MaxSessions` of the servers. */
  readonly maxSessions: number;
  readonly reapMs?: number;
  readonly reapTurns?: number;
  readonly gates: Readonly<
    Partial<Record<"dial" | "open" | "exec" | "end" | "close", Odds>>
  >;
  /** Connections can open channels ahead of need. */
  readonly spares?: boolean;
  /** The odds of each step, where they differ from the usual ones. */
  readonly steps?: Readonly<Partial<Record<StepKind, number>>>;
  /** Leases are also given back with their channel still open. */
  readonly strays?: boolean;
}

/** An error that a gate threw: whoever gets it can tell. */
export class Injected extends Error {
  override readonly name = "Injected";
}

/** Whether an error goes back to a gate of the script. */
export function isInjected(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (e instanceof Injected) return true;
  }
  return false;
}

/** The hosts of a plan; the hops that lead to some of them come after. */
export function hostsOf(plan: WalkPlan): HostLike[] {
  const hosts: HostLike[] = [];
  for (let i = 0; i < plan.hosts; i++) hosts.push(`ops@db${i}`);
  for (let i = 0; i < (plan.jumps ?? 0); i++) {
    hosts[i] = {
      user: "ops",
      hostname: `db${i}`,
      port: 22,
      // The first goes through two, so that hops have hops.
      jump: i === 0 ? ["ops@hop0", "ops@hop1"] : ["ops@hop0"],
    };
  }
  return hosts;
}

/** Whether a host is one that others are reached through. */
export function isHop(name: string): boolean {
  return name.startsWith("ops@hop");
}

/** No more channel requests than this in one step: else something spins. */
const RUNAWAY = 20_000;

/** Told when the pool hands a slot to a command, and when a server refuses it. */
export interface Watcher {
  started(line: string, host: string): void;
  refused(line: string): void;
}

/** The connector of a walk, and what it saw. */
export class Script {
  readonly memory: MemoryConnector;
  /** What the pool dials with: the memory, watched. */
  readonly connector: Connector;
  /** How often each command was begun by a server. */
  readonly runs: Map<string, number> = new Map();
  /** Channels asked for in this step. */
  asked = 0;
  /** Connections whose `close()` never ends. */
  neverClosed = 0;
  readonly #plan: WalkPlan;
  readonly #chance: Random;

  constructor(plan: WalkPlan, chance: Random, watcher: Watcher) {
    this.#plan = plan;
    this.#chance = chance;
    const { gates } = plan;
    const options: MemoryConnectorOptions = {
      maxSessions: () => this.#limit(),
      reapMs: plan.reapMs ?? 0,
      reapTurns: plan.reapTurns ?? 0,
      spareChannels: plan.spares ?? false,
      // Nearer than that no channel is opened ahead of need.
      roundTripMs: plan.spares === true ? 1 : 0,
      commands: (line) => {
        const script = findScript(line, undefined, "");
        return (context) => {
          this.runs.set(line, (this.runs.get(line) ?? 0) + 1);
          return typeof script === "function" ? script(context) : script;
        };
      },
    };
    if (gates.dial) options.onDial = () => this.#outcome(gates.dial, dialError);
    if (gates.dial) options.onForward = () => this.#outcome(gates.open);
    if (gates.open) options.onOpen = () => this.#outcome(gates.open, noChannel);
    if (gates.exec) options.onExec = () => this.#outcome(gates.exec);
    if (gates.end) options.onChannelClose = () => this.#outcome(gates.end);
    if (gates.close) options.onClose = () => this.#close(gates.close);
    this.memory = new MemoryConnector(options);
    this.connector = {
      connect: async (host, options) =>
        watched(await this.memory.connect(host, options), watcher),
    };
  }

  #limit(): number {
    if (++this.asked > RUNAWAY) throw new Error("Bug: the pool spins");
    return this.#plan.maxSessions;
  }

  #close(odds: Odds | undefined): Outcome {
    const kind = this.#chance.weighted(odds ?? {});
    if (kind === "never") this.neverClosed++;
    return this.#make(kind);
  }

  #outcome(
    odds: Odds | undefined,
    error?: (chance: Random) => Error,
  ): Outcome {
    if (odds === undefined) return "ok";
    const kind = this.#chance.weighted(odds);
    if (kind !== "slow") return this.#make(kind, error);
    const then = this.#chance.weighted(odds);
    const delayMs = 1 + this.#chance.below(40);
    return { delayMs, then: this.#make(then === "slow" ? "ok" : then, error) };
  }

  #make(
    kind: keyof Odds,
    error: (chance: Random) => Error = () => new Injected("gate"),
  ): Outcome {
    if (kind === "fail") return error(this.#chance);
    if (kind === "slow") return { delayMs: 1 + this.#chance.below(30) };
    return kind;
  }
}

/** No answer, and so no limit, which a refusal of the server may be. */
function noChannel(): Error {
  const cause = new Injected("gate");
  return new ChannelOpenError("No channel", { reason: 0, cause });
}

/** Any way in which a dial can fail. */
function dialError(chance: Random): Error {
  const cause = new Injected("dial");
  const kind = chance.weighted({ plain: 3, throttled: 3, refused: 1 });
  if (kind === "plain") return cause;
  if (kind === "refused") return new AuthenticationError("Refused", { cause });
  return new DialError("banner", "Throttled", { throttled: true, cause });
}

/** Reports each command as the pool begins it, before any gate. */
function watched(
  connection: MemoryConnection,
  watcher: Watcher,
): MemoryConnection {
  const host = hostLabel(connection.host);
  const watch = <T>(line: string, started: () => Promise<T>): Promise<T> => {
    watcher.started(line, host);
    const promise = started();
    promise.catch((error) => {
      const isRefusal = error instanceof ChannelOpenError && error.reason === 2;
      if (isRefusal) watcher.refused(line);
    });
    return promise;
  };
  const exec = connection.exec.bind(connection);
  const spawn = connection.spawn.bind(connection);
  connection.exec =
    ((command: string, options) =>
      watch(command, () => exec(command, options))) as typeof exec;
  connection.spawn = (command, options) =>
    watch(String(command), () => spawn(command, options));
  return connection;
}
