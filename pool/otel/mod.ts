/**
 * OpenTelemetry: traces and metrics of pools, through
 * [@opentelemetry/api](https://www.npmjs.com/package/@opentelemetry/api). With
 * npm it is an optional package: `npm install @opentelemetry/api` beside this
 * one, where it does not come by itself. Nothing else of the library loads it.
 *
 * It needs an SDK, which says where the data goes to. Deno has one built in:
 * `OTEL_DENO=true deno run main.ts` sends to `OTEL_EXPORTER_OTLP_ENDPOINT`. In
 * Node start `NodeSDK` of `@opentelemetry/sdk-node` first, and shut it down at
 * the end, so that the last spans are sent too.
 *
 * **Spans.** Each call is a span of kind `CLIENT`, named `ssh exec`, `ssh spawn`
 * and so on, within the active span of the caller. Within it are `ssh acquire`
 * (the wait for a slot; kind `INTERNAL`) and, if a connection had to be opened,
 * `ssh dial`. A dial that many callers share is within the one that has waited
 * longest; the dial of a jump host is within that of its target.
 *
 * A span ends when its call settles, also for `connect`, `forward` and `sftp`:
 * what these open may stay open for days. Only `ssh spawn` and `ssh shell` last
 * until the process has ended, so that they have its exit code; it ends at the
 * latest with its connection. A connection that a forward needs later on is a
 * trace of its own, with a link to the span of the forward.
 *
 * | attribute                                        | of                     |
 * | ------------------------------------------------ | ---------------------- |
 * | `ssh.operation.name`                             | all                    |
 * | `ssh.client.connection.pool.name`                | all                    |
 * | `server.address`, `server.port`                  | all, once looked up    |
 * | `network.transport` (`tcp`, `pipe`)              | all, once looked up    |
 * | `network.protocol.name` (`ssh`)                  | all                    |
 * | `error.type`: the error's code, else its name    | what failed            |
 * | `ssh.error.phase`, such as `auth`                | what failed            |
 * | `process.exit.code`, `ssh.exit.signal`           | `exec`, `spawn`, `shell` |
 * | `process.command_line`, with `recordCommands`    | `exec`, `spawn`        |
 * | `ssh.acquire.waited`                             | `acquire`              |
 * | `ssh.dial.attempts`                              | `dial`                 |
 * | `ssh.server.software`, such as `OpenSSH_9.2p1`   | `dial`                 |
 * | `ssh.algorithm.kex`, `.host_key`, `.cipher`, `.mac` | `dial`              |
 *
 * What failed has the status `ERROR`. An exit code other than 0 is a failure
 * only with `check`, as everywhere in this library. There is no message of an
 * error, no user name, no output and no secret in a span.
 *
 * **Metrics.** They are those of the conventions for connection pools of
 * databases, with `ssh` in the place of `db`. Times are histograms in seconds.
 *
 * | metric                                   | what it is                               |
 * | ---------------------------------------- | ---------------------------------------- |
 * | `ssh.client.connection.count`            | connections, by `ssh.client.connection.state`: `idle`, `used` |
 * | `ssh.client.connection.max`              | the option `maxConnections`              |
 * | `ssh.client.connection.pending_requests` | callers that wait                        |
 * | `ssh.client.connection.timeouts`         | callers that gave up after `acquireTimeoutMs` |
 * | `ssh.client.connection.create_time`      | how long a dial took, all attempts together |
 * | `ssh.client.connection.wait_time`        | how long a caller waited for its slot    |
 * | `ssh.client.connection.use_time`         | how long a slot was held                 |
 * | `ssh.client.operation.duration`          | how long a call took, by `ssh.operation.name` |
 * | `ssh.client.forward.failures`            | connections of forwards that were refused or failed, by `ssh.forward.type` and `ssh.forward.failure.reason` |
 *
 * All have `ssh.client.connection.pool.name`; what failed counts in the
 * histograms too, with its `error.type`.
 *
 * @example Deno, with its built-in SDK
 * ```ts ignore
 * import { ConnectionPool } from "@sshpool/sshpool";
 * import { instrument } from "@sshpool/sshpool/otel";
 *
 * instrument();
 * await using pool = new ConnectionPool({ name: "fleet" });
 * await pool.exec("web-1", "uptime");
 * ```
 *
 * @module
 */

import {
  diag,
  type Meter,
  metrics,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { flag, objectWith } from "../../transport/options/rules.ts";
import { OptionTable } from "../../transport/options/table.ts";
import {
  type DiagnosticPool,
  OPERATION_NAMES,
  type OperationEnd,
  type PoolOperation,
} from "../telemetry/diagnostics.ts";
import { SCOPE } from "./_conventions.ts";
import { type ForwardFailed, Metrics } from "./_metrics.ts";
import { Spans } from "./_spans.ts";

export type { DiagnosticPool };

/** A `TracerProvider` of `@opentelemetry/api`. */
export interface TracerProviderLike {
  /** Gives a `Tracer`. */
  getTracer(name: string): object;
}

/** A `MeterProvider` of `@opentelemetry/api`. */
export interface MeterProviderLike {
  /** Gives a `Meter`. */
  getMeter(name: string): object;
}

/** Options for {@linkcode instrument}. */
export interface InstrumentOptions {
  /** The pool, a `ConnectionPool`. Default: every pool of the process. */
  readonly pool?: DiagnosticPool;
  /** What makes the spans. Default: the global one. */
  readonly tracerProvider?: TracerProviderLike;
  /** What makes the metrics. Default: the global one. */
  readonly meterProvider?: MeterProviderLike;
  /**
   * Whether spans have the command line of `exec` and `spawn`, as
   * `process.command_line`. It may hold a secret.
   *
   * @default {false}
   */
  readonly recordCommands?: boolean;
  /**
   * Whether the times and timeouts among the metrics tell hosts apart, by
   * `server.address` and `server.port`. With many hosts those are many time
   * series.
   *
   * @default {false}
   */
  readonly metricsPerHost?: boolean;
}

/** What {@linkcode instrument} returns. */
export interface Instrumentation extends Disposable {
  /** Stops: spans that are open end now, and nothing more is recorded. */
  stop(): void;
}

/**
 * Records traces and metrics of pools through OpenTelemetry, from now on: call
 * it once, when the SDK is started. Pools need not know of it, and may be made
 * before or after. Where nobody has called it, it costs nothing.
 *
 * It never harms a call: an error of the SDK is told to the logger of
 * OpenTelemetry, `diag`.
 *
 * @param options Which pool, which providers, and what may be recorded.
 * @returns Ends it: by `stop()` or at the end of a `using` block.
 * @throws {TypeError} If an option has the wrong type or is unknown.
 *
 * @example Usage
 * ```ts
 * import { trace } from "@opentelemetry/api";
 * import { instrument } from "@sshpool/sshpool/otel";
 * import { ConnectionPool } from "@sshpool/sshpool/pool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 *
 * await using pool = new ConnectionPool({ connector: new MemoryConnector() });
 * using _ = instrument({ pool });
 * await trace.getTracer("app").startActiveSpan("deploy", async (span) => {
 *   await pool.exec("ops@web-1", "systemctl restart app"); // a span within it
 *   span.end();
 * });
 * ```
 */
export function instrument(options: InstrumentOptions = {}): Instrumentation {
  return new Recorder(OPTIONS.check(options));
}

const OPTIONS = new OptionTable<InstrumentOptions>("instrument the pool", {
  pool: objectWith("stats"),
  tracerProvider: objectWith("getTracer"),
  meterProvider: objectWith("getMeter"),
  recordCommands: flag,
  metricsPerHost: flag,
});

/** Listens to the operations of pools, until it is stopped. */
class Recorder implements Instrumentation {
  readonly #pool: DiagnosticPool | undefined;
  readonly #spans: Spans;
  readonly #metrics: Metrics;
  #isStopped = false;

  constructor(options: InstrumentOptions) {
    const {
      pool,
      tracerProvider = trace.getTracerProvider(),
      meterProvider = metrics.getMeterProvider(),
      recordCommands = false,
      metricsPerHost = false,
    } = options;
    this.#pool = pool;
    const tracer = tracerProvider.getTracer(SCOPE) as Tracer;
    const meter = meterProvider.getMeter(SCOPE) as Meter;
    this.#spans = new Spans(tracer, recordCommands);
    this.#metrics = new Metrics(meter, metricsPerHost);
    if (pool !== undefined) this.#metrics.add(pool);
    for (const name of OPERATION_NAMES) {
      subscribe(`tracing:sshpool:${name}:start`, this.#onStart);
      subscribe(`tracing:sshpool:${name}:asyncEnd`, this.#onSettled);
    }
    subscribe("sshpool:forward-failed", this.#onForwardFailed);
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    for (const name of OPERATION_NAMES) {
      unsubscribe(`tracing:sshpool:${name}:start`, this.#onStart);
      unsubscribe(`tracing:sshpool:${name}:asyncEnd`, this.#onSettled);
    }
    unsubscribe("sshpool:forward-failed", this.#onForwardFailed);
    guard(() => this.#spans.stop());
    guard(() => this.#metrics.stop());
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  readonly #onStart = (message: unknown): void => {
    const operation = message as PoolOperation;
    if (!this.#isWanted(operation)) return;
    guard(() => this.#metrics.add(operation.pool));
    guard(() => this.#spans.begin(operation));
  };

  readonly #onSettled = (message: unknown): void => {
    const operation = message as PoolOperation;
    if (!this.#isWanted(operation)) return;
    const { name, closed, startedAt, durationMs = 0 } = operation;
    const isProcess = name === "spawn" || name === "shell";
    if (isProcess && closed !== undefined) {
      closed.then((end) =>
        this.#end(operation, end, performance.now() - startedAt)
      );
      return;
    }
    this.#end(operation, operation, durationMs);
    if (name !== "acquire") return;
    const heldSince = performance.now();
    closed?.then(() => {
      if (this.#isStopped) return;
      const heldMs = performance.now() - heldSince;
      guard(() => this.#metrics.recordRelease(operation, heldMs));
    });
  };

  readonly #onForwardFailed = (message: unknown): void => {
    const event = message as ForwardFailed;
    if (this.#isWanted(event)) guard(() => this.#metrics.forwardFailed(event));
  };

  #end(operation: PoolOperation, end: OperationEnd, tookMs: number): void {
    if (this.#isStopped) return;
    guard(() => this.#spans.end(operation, end));
    guard(() => this.#metrics.end(operation, end, tookMs));
  }

  #isWanted({ pool }: { readonly pool: DiagnosticPool }): boolean {
    return this.#pool === undefined || pool === this.#pool;
  }
}

/** What a subscriber throws would end the process. */
function guard(record: () => void): void {
  try {
    record();
  } catch (error) {
    diag.error("sshpool: cannot record telemetry", error);
  }
}
