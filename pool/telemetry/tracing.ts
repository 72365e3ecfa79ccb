/**
 * Traces calls through `node:diagnostics_channel`.
 *
 * @module
 */

import { type Command, commandLine } from "../../transport/command/command.ts";
import type {
  Connection,
  ConnectionAlgorithms,
} from "../../transport/connector.ts";
import { type TracingChannel, tracingChannel } from "node:diagnostics_channel";
import type { HostLike } from "../../transport/host/host.ts";
import { givenLabel } from "./host_label.ts";
import {
  type DiagnosticPool,
  OPERATION_NAMES,
  type OperationEnd,
  type OperationName,
  type PoolOperation,
} from "./diagnostics.ts";

type Tracing = TracingChannel<unknown, object>;

const CHANNELS = Object.fromEntries(
  OPERATION_NAMES.map((name) => [name, tracingChannel(`sshpool:${name}`)]),
) as Readonly<Record<OperationName, Tracing>>;

/** Returns whether anybody subscribes to an operation. */
export function isTraced(name: OperationName): boolean {
  // Not `hasSubscribers` of the five: Node has it from 20.13 on.
  const { start, end, asyncStart, asyncEnd, error } = CHANNELS[name];
  return start.hasSubscribers || end.hasSubscribers ||
    asyncStart.hasSubscribers || asyncEnd.hasSubscribers ||
    error.hasSubscribers;
}

/** What an operation is about. */
export interface OperationParts {
  readonly name: OperationName;
  readonly pool: DiagnosticPool;
  readonly host: HostLike;
  readonly parent?: Operation | undefined;
  readonly command?: Command | undefined;
}

/** A host that was looked up. */
export interface FoundHost {
  readonly name: string;
  readonly host: {
    readonly hostname: string;
    readonly port: number;
    readonly proxyCommand?: string;
  };
}

/** One traced call. */
export class Operation implements PoolOperation {
  readonly name: OperationName;
  readonly pool: DiagnosticPool;
  readonly startedAt: number = performance.now();
  host: string;
  declare address?: string;
  declare port?: number;
  declare transport?: "tcp" | "pipe";
  declare readonly parent?: Operation;
  declare durationMs?: number;
  declare waited?: boolean;
  declare attempts?: number;
  declare serverSoftware?: string;
  declare algorithms?: ConnectionAlgorithms;
  declare code?: number | null;
  declare signal?: string | null;
  declare error?: unknown;
  declare closed?: Promise<OperationEnd>;
  readonly #command: Command | undefined;
  #release: ((end: OperationEnd) => void) | undefined;

  constructor(parts: OperationParts) {
    this.name = parts.name;
    this.pool = parts.pool;
    this.host = givenLabel(parts.host);
    this.#command = parts.command;
    if (parts.parent !== undefined) this.parent = parts.parent;
  }

  commandLine(): string | undefined {
    return this.#command && commandLine(this.#command);
  }

  /** Notes the host, once it is looked up. */
  setHost({ name, host }: FoundHost): void {
    this.host = name;
    this.address = host.hostname;
    this.port = host.port;
    this.transport = host.proxyCommand === undefined ? "tcp" : "pipe";
  }

  /** Notes what a dial has reached, as far as the connector knows. */
  setConnection(
    { serverSoftware, algorithms }: Pick<
      Connection,
      "serverSoftware" | "algorithms"
    >,
  ): void {
    if (serverSoftware !== undefined) this.serverSoftware = serverSoftware;
    if (algorithms !== undefined) this.algorithms = algorithms;
  }

  /** Notes how what ran on a slot has ended, or when it will. */
  setResult(value: unknown, ended: Promise<unknown> | undefined): void {
    if (ended !== undefined) return this.holdUntil(ended);
    Object.assign(this, endOf(value));
  }

  /** Holds `closed` open until what the call has opened has ended. */
  holdUntil(ended: Promise<unknown>): void {
    this.closed = ended.then(endOf, (error): OperationEnd => ({ error }));
  }

  /** Holds `closed` open until `release()`. */
  holdOpen(): void {
    this.closed = new Promise((resolve) => this.#release = resolve);
  }

  /** Notes that the slot, if one was taken, was given back. */
  release(): void {
    this.#release?.({});
  }

  /** Publishes the start. */
  begin(): void {
    CHANNELS[this.name].start.publish(this);
    CHANNELS[this.name].end.publish(this);
  }

  /** Notes the end. */
  settle(failure?: { readonly error: unknown }): void {
    this.durationMs = performance.now() - this.startedAt;
    if (failure !== undefined) this.error = failure.error;
  }

  /** Publishes the end. */
  end(): void {
    const { error, asyncStart, asyncEnd } = CHANNELS[this.name];
    if ("error" in this) error.publish(this);
    asyncStart.publish(this);
    asyncEnd.publish(this);
  }
}

/** Returns what a message may hold of an end: no output. */
function endOf(value: unknown): OperationEnd {
  const { code, signal } = (value ?? {}) as OperationEnd;
  return code === undefined ? {} : { code, signal: signal ?? null };
}

/**
 * Runs a call as an operation, as `TracingChannel.tracePromise()` does, but for
 * its result, which no message holds.
 *
 * @param operation The operation that subscribers get.
 * @param run The call.
 * @param done Adds to the operation what may be told of the result.
 * @returns The result of the call.
 */
export async function trace<T>(
  operation: Operation,
  run: () => Promise<T>,
  done?: (value: T) => void,
): Promise<T> {
  const { start, end } = CHANNELS[operation.name];
  const running = start.runStores(operation, run);
  end.publish(operation);
  try {
    const value = await running;
    operation.settle();
    done?.(value);
    return value;
  } catch (error) {
    operation.settle({ error });
    throw error;
  } finally {
    operation.end();
  }
}
