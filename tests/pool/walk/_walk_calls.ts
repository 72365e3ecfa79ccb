// The calls of a random walk: what each was asked for, how it ended, and
// whether it may have ended so.

import {
  AcquireTimeoutError,
  HostCooldownError,
  type Lease,
  PoolClosedError,
} from "../../../pool/mod.ts";
import type { Connection } from "../../../transport/connector.ts";
import type { ExecResult, RemoteProcess } from "../../../transport/process.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
  DialError,
  ExecTimeoutError,
  SshError,
} from "../../../transport/errors.ts";
import { hostLabel } from "../../../transport/host/host.ts";
import { isInjected } from "./_walk_script.ts";

/** How a call reaches its host. */
export type CallKind = "exec" | "spawn" | "acquire" | "shared" | "on lease";

/** What is known of a call when it is made. */
export interface CallParts {
  readonly kind: CallKind;
  readonly host: string;
  readonly step: number;
  readonly startedAt: number;
  readonly acquireTimeoutMs: number;
  readonly timeoutMs?: number | undefined;
  readonly idempotent?: boolean;
  /** The command, of those that run one. */
  readonly line?: string;
  readonly controller?: AbortController | undefined;
}

/** What happened around a call, to judge its end by. */
export interface Circumstances {
  readonly now: number;
  /** The last step in which the pool, or all its connections, were closed. */
  readonly closedAt: number;
  /** The last step in which connections of the host were lost or ended on request. */
  readonly lostAt: number;
  /** How often the server began the command. */
  readonly runs: number;
}

/** One call, and what becomes of it. */
export class Call {
  readonly id: number;
  readonly parts: CallParts;
  /** Whether its promise has settled. */
  isSettled = false;
  /** Whether a spawned process still runs. */
  isRunning = false;
  /** The step in which it first got a slot. */
  servedAt: number | undefined;
  /** The step in which a server refused it; it waits again. */
  refusedAt: number | undefined;
  result: unknown;
  error: unknown;
  isJudged = false;

  constructor(id: number, parts: CallParts) {
    this.id = id;
    this.parts = parts;
  }

  /** Whether it waits for, or holds, a slot of the host. */
  get needsSlot(): boolean {
    const { kind } = this.parts;
    if (kind === "exec" || kind === "acquire") return !this.isSettled;
    return kind === "spawn" && (!this.isSettled || this.isRunning);
  }

  /** Whether it waits for a look at a connection. */
  get needsLook(): boolean {
    return this.parts.kind === "shared" && !this.isSettled;
  }

  toString(): string {
    const { kind, host, step, line = "" } = this.parts;
    return `#${this.id} ${kind} ${host} "${line}" of step ${step}`;
  }

  /** Why it must not have ended as it did; `undefined` if it may. */
  complaint(around: Circumstances): string | undefined {
    const why = this.error === undefined
      ? this.#resultComplaint()
      : this.#errorComplaint(around);
    return why ?? this.#runsComplaint(around.runs);
  }

  #resultComplaint(): string | undefined {
    const { kind, host, line } = this.parts;
    const result = this.result;
    if (kind === "shared" || kind === "acquire") {
      const connection = kind === "shared"
        ? result as Connection
        : (result as Lease).connection;
      const name = hostLabel(connection.host);
      return name === host ? undefined : `it leads to ${name}`;
    }
    if (kind === "spawn") {
      return typeof (result as RemoteProcess).kill === "function"
        ? undefined
        : "it is no process";
    }
    const { code, stdout } = result as ExecResult;
    const wanted = expected(line ?? "");
    if (code === wanted.code && stdout === wanted.stdout) return undefined;
    return `it gave ${code} ${JSON.stringify(stdout)}`;
  }

  #errorComplaint(around: Circumstances): string | undefined {
    const { error, parts } = this;
    const since = (step: number) => step >= parts.step;
    const waitedMs = around.now - parts.startedAt;
    if (parts.controller?.signal.reason === error) return undefined;
    if (error instanceof AcquireTimeoutError) {
      return parts.acquireTimeoutMs > 0 && waitedMs >= parts.acquireTimeoutMs
        ? undefined
        : `it gave up after ${waitedMs} ms of ${parts.acquireTimeoutMs}`;
    }
    if (error instanceof ExecTimeoutError) {
      return waitedMs >= (parts.timeoutMs ?? Infinity)
        ? undefined
        : "too early";
    }
    if (error instanceof PoolClosedError) {
      return since(around.closedAt) ? undefined : "nothing was closed";
    }
    if (error instanceof ConnectionLostError) {
      return since(around.lostAt) ? undefined : "no connection was lost";
    }
    if (error instanceof ChannelOpenError && error.reason === 2) {
      return parts.kind === "on lease" ? undefined : "it was not tried again";
    }
    if (isInjected(error)) return undefined;
    // Nobody answered, or the hop that led there had ended.
    if (error instanceof DialError || error instanceof HostCooldownError) {
      return hasPhase(error, "timeout", "proxy")
        ? undefined
        : "no such failure was injected";
    }
    return "such an error is nobody's";
  }

  #runsComplaint(runs: number): string | undefined {
    const { idempotent, line } = this.parts;
    if (line === undefined) return undefined;
    if (runs > (idempotent ? 2 : 1)) return `it ran ${runs} times`;
    if (idempotent || !(this.error instanceof SshError)) return undefined;
    return runs > 0 && !this.error.mayHaveRun
      ? "it ran, and the error denies that"
      : undefined;
  }
}

function expected(line: string): { code: number; stdout: string } {
  const [name, word = ""] = line.split(" ");
  if (name === "exit") return { code: Number(word) & 255, stdout: "" };
  return { code: 0, stdout: name === "echo" ? `${word}\n` : "" };
}

function hasPhase(error: unknown, ...phases: string[]): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (e instanceof DialError && phases.includes(e.phase)) return true;
  }
  return false;
}
