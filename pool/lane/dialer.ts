/**
 * The dials of one host: each through its hop, when its turn comes, and again
 * where the server only wants the client to wait.
 *
 * @module
 */

import { abortable, Deadline, sleep } from "../../transport/abort.ts";
import type { Connection } from "../../transport/connector.ts";
import { DialError, type DialPhase, SshError } from "../../transport/errors.ts";
import type { ResolvedHost } from "../../transport/host/host.ts";
import { pauseMs } from "./backoff.ts";
import type { DialOutcome } from "../limits/dial_limiter.ts";
import { pinHop, tunnelThrough } from "./hop.ts";
import type { Permit } from "../limits/permits.ts";
import type { PoolContext } from "./context.ts";
import type { PooledConnection } from "../connection/pooled_connection.ts";
import { reasonOf } from "../telemetry/failure.ts";
import { isTraced, type Operation } from "../telemetry/tracing.ts";

/** A connection, and the hop that it goes through, pinned. */
export interface Dialled {
  readonly connection: Connection;
  readonly hop: PooledConnection | undefined;
}

/** Handles the end of dials that were not aborted. */
export interface DialerListener {
  /** There is a connection; the permit goes with it. */
  onDialled(dialled: Dialled, permit: Permit, durationMs: number): void;
  /** It failed for good; the permit is given back. */
  onDialFailed(error: unknown): void;
  /** An attempt was throttled, and will be made again. */
  onThrottled(error: unknown): void;
}

/** A dial under way, until it succeeds, fails or loses its last waiter. */
interface Dial {
  readonly controller: AbortController;
  readonly permit: Permit;
  readonly startedAt: number;
  /** Its traced operation. */
  readonly operation: Operation | undefined;
  /** Settles when nothing of the dial is left. */
  done: Promise<void>;
}

/** The share of the deadline that one more attempt must have left. */
const LEAST_SHARE = 0.05;

/** How long a connector that breaks its treaty is waited for, beyond the deadline. */
const GRACE_MS = 250;

/** Begins the dials of one host, and owns them until they settle or are aborted. */
export class Dialer {
  readonly #context: PoolContext;
  readonly #host: ResolvedHost;
  readonly #name: string;
  readonly #listener: DialerListener;
  readonly #dials = new Set<Dial>();

  constructor(
    context: PoolContext,
    host: { readonly host: ResolvedHost; readonly name: string },
    listener: DialerListener,
  ) {
    this.#context = context;
    this.#host = host.host;
    this.#name = host.name;
    this.#listener = listener;
  }

  /** Dials under way. */
  get size(): number {
    return this.#dials.size;
  }

  /**
   * Begins a dial that holds this permit.
   *
   * @param permit The permit.
   * @param parent The wait that it is for.
   */
  begin(permit: Permit, parent: Operation | undefined): void {
    const dial: Dial = {
      controller: new AbortController(),
      permit,
      startedAt: performance.now(),
      operation: this.#trace(parent),
      done: Promise.resolve(),
    };
    this.#dials.add(dial);
    dial.done = this.#dial(dial).then(
      (dialled) => this.#succeeded(dial, dialled),
      (error) => this.#failed(dial, error),
    );
  }

  /** Aborts every dial: nobody waits for them any more. */
  abort(): void {
    for (const dial of [...this.#dials]) {
      this.#dials.delete(dial);
      this.#report("aborted", undefined);
      const error = new DOMException(
        "No caller waits for this dial",
        "AbortError",
      );
      this.#tell(dial, { error });
      dial.controller.abort(error);
      dial.permit.release();
      this.#context.closing(dial.done);
    }
  }

  #succeeded(dial: Dial, dialled: Dialled): void {
    if (this.#dials.delete(dial)) {
      this.#tell(dial);
      const durationMs = performance.now() - dial.startedAt;
      this.#listener.onDialled(dialled, dial.permit, durationMs);
      return;
    }
    // It arrived when the last waiter had left, or during close(): drop it.
    dialled.hop?.removePin();
    this.#context.closing(dialled.connection.close());
  }

  #failed(dial: Dial, error: unknown): void {
    if (!this.#dials.delete(dial)) return; // aborted: nobody waits for it
    dial.permit.release();
    this.#tell(dial, { error });
    this.#report(phaseOf(error), error);
    this.#listener.onDialFailed(error);
  }

  /**
   * One dial, with as many attempts as throttling and the deadline allow. On
   * abort it rejects with the signal's reason, when nothing is left behind.
   */
  async #dial({ controller, operation }: Dial): Promise<Dialled> {
    const { signal } = controller;
    const { limits, dialLimiter } = this.#context;
    const budgetMs = this.#host.dialTimeoutMs ?? limits.dialTimeoutMs;
    let spentMs = 0;
    let refusal: DialError | undefined;
    for (let attempt = 1;; attempt++) {
      const retryInMs = pauseMs(limits.backoff, attempt);
      const hop = await this.#begin(signal, attempt, operation);
      const startedAt = performance.now();
      let outcome: DialOutcome = "failed";
      try {
        const timeoutMs = Math.max(1, budgetMs - spentMs);
        const connection = await this.#connect(signal, timeoutMs, hop);
        outcome = "ok";
        operation?.setConnection(connection);
        return { connection, hop };
      } catch (error) {
        hop?.removePin();
        signal.throwIfAborted();
        spentMs += performance.now() - startedAt;
        const throttled = error instanceof DialError && error.throttled;
        if (throttled) {
          outcome = "throttled";
          refusal = error;
        }
        // With next to nothing left it would only fail for want of time, which
        // says less than what the server did.
        const leftMs = budgetMs - spentMs - retryInMs;
        if (!throttled || leftMs < LEAST_SHARE * budgetMs) {
          throw phaseOf(error) === "timeout" ? refusal ?? error : error;
        }
        this.#listener.onThrottled(error);
        this.#report(phaseOf(error), error, retryInMs);
        spentMs += retryInMs;
      } finally {
        dialLimiter.give(outcome);
      }
      await sleep(retryInMs, signal);
    }
  }

  /**
   * The hop first, then the turn: a target that held a turn while its hop waits
   * for one would be a deadlock.
   */
  async #begin(
    signal: AbortSignal,
    attempt: number,
    operation: Operation | undefined,
  ): Promise<PooledConnection | undefined> {
    const hop = await pinHop(this.#context, this.#host, signal, operation);
    try {
      await this.#context.dialLimiter.take(signal, attempt > 1);
    } catch (error) {
      hop?.removePin();
      throw error;
    }
    const { telemetry } = this.#context;
    if (operation !== undefined) operation.attempts = attempt;
    telemetry.record({ type: "dial", host: this.#name, attempt });
    return hop;
  }

  async #connect(
    signal: AbortSignal,
    timeoutMs: number,
    hop: PooledConnection | undefined,
  ): Promise<Connection> {
    const { limits, connector, telemetry } = this.#context;
    const host = this.#host;
    const endsAt = performance.now() + timeoutMs;
    const timeLeft = () => Math.max(1, endsAt - performance.now());
    const openTunnel = hop &&
      (() => tunnelThrough(host, hop, signal, timeLeft()));
    const tunnel = await openTunnel?.();
    const leftMs = hop === undefined ? timeoutMs : timeLeft();
    const { keepaliveIntervalMs, keepaliveCountMax } = host;
    const connect = () =>
      connector.connect(host, {
        signal,
        timeoutMs: leftMs,
        keepaliveIntervalMs: keepaliveIntervalMs ?? limits.keepaliveIntervalMs,
        keepaliveCountMax: keepaliveCountMax ?? limits.keepaliveCountMax,
        ...(tunnel === undefined ? {} : { tunnel, openTunnel: openTunnel! }),
        onNotice: (notice) =>
          telemetry.record({ type: "notice", host: this.#name, notice }),
      });
    try {
      return await this.#enforce(connect, signal, leftMs + GRACE_MS);
    } catch (error) {
      tunnel?.close();
      throw error;
    }
  }

  /**
   * Holds a connector to abort and deadline, which its treaty says it keeps by
   * itself. What it opens too late is closed: a connection that nobody knows
   * of would be a leak.
   */
  async #enforce(
    connect: () => Promise<Connection>,
    signal: AbortSignal,
    timeoutMs: number,
  ): Promise<Connection> {
    const name = this.#name;
    const late = () =>
      new DialError(
        "timeout",
        `Cannot connect to "${name}": the connector did not answer within ${
          Math.round(timeoutMs)
        } ms`,
        { host: name },
      );
    const deadline = new Deadline(timeoutMs, late, signal);
    let connecting: Promise<Connection> | undefined;
    try {
      connecting = connect();
      return await abortable(connecting, deadline.signal);
    } catch (error) {
      if (deadline.signal.aborted) {
        connecting?.then((connection) => connection.close()).catch(() => {});
        throw error;
      }
      throw asDialError(error, name);
    } finally {
      deadline.cancel();
    }
  }

  #trace(parent: Operation | undefined): Operation | undefined {
    if (!isTraced("dial")) return undefined;
    const host = this.#host;
    const { telemetry } = this.#context;
    const operation = telemetry.operation({ name: "dial", host, parent });
    operation.setHost({ name: this.#name, host });
    telemetry.dialBegan(operation);
    return operation;
  }

  #tell({ operation }: Dial, failure?: { readonly error: unknown }): void {
    if (operation === undefined) return;
    this.#context.telemetry.dialEnded(operation, failure);
  }

  #report(
    phase: DialPhase | "aborted" | "unknown",
    error: unknown,
    retryInMs?: number,
  ): void {
    this.#context.telemetry.record({
      type: "dial-failed",
      host: this.#name,
      phase,
      error,
      ...(retryInMs === undefined ? {} : { retryInMs }),
    });
  }
}

function phaseOf(error: unknown): DialPhase | "unknown" {
  return error instanceof DialError ? error.phase : "unknown";
}

/** A connector's own kind of error becomes ours, with the cause kept. */
function asDialError(error: unknown, name: string): unknown {
  if (error instanceof SshError) return error;
  if (error instanceof TypeError || error instanceof RangeError) return error;
  return new DialError(
    "tcp",
    `Cannot connect to "${name}": ${reasonOf(error)}`,
    { host: name, cause: error },
  );
}
