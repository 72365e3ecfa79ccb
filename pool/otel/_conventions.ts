/**
 * The names of spans, metrics and attributes.
 *
 * There are no OpenTelemetry conventions for SSH. What is general has its usual
 * name (`server.address`, `network.transport`, `error.type`, `process.exit.code`).
 * The metrics are those that the conventions have for connection pools of
 * databases, `db.client.connection.*`, with `ssh` in the place of `db`.
 *
 * @module
 */

import type { Attributes } from "@opentelemetry/api";
import type { OperationName, PoolOperation } from "../telemetry/diagnostics.ts";

/** The name of the instrumentation scope. */
export const SCOPE = "@sshpool/sshpool";

/** The names of the metrics. */
export const METRIC = {
  count: "ssh.client.connection.count",
  max: "ssh.client.connection.max",
  pending: "ssh.client.connection.pending_requests",
  timeouts: "ssh.client.connection.timeouts",
  createTime: "ssh.client.connection.create_time",
  waitTime: "ssh.client.connection.wait_time",
  useTime: "ssh.client.connection.use_time",
  duration: "ssh.client.operation.duration",
  forwardFailures: "ssh.client.forward.failures",
} as const;

/** The names of the attributes. */
export const ATTRIBUTE = {
  pool: "ssh.client.connection.pool.name",
  state: "ssh.client.connection.state",
  operation: "ssh.operation.name",
  waited: "ssh.acquire.waited",
  attempts: "ssh.dial.attempts",
  software: "ssh.server.software",
  kex: "ssh.algorithm.kex",
  hostKey: "ssh.algorithm.host_key",
  cipher: "ssh.algorithm.cipher",
  mac: "ssh.algorithm.mac",
  errorPhase: "ssh.error.phase",
  errorType: "error.type",
  exitCode: "process.exit.code",
  exitSignal: "ssh.exit.signal",
  forwardType: "ssh.forward.type",
  forwardReason: "ssh.forward.failure.reason",
  command: "process.command_line",
  address: "server.address",
  port: "server.port",
  transport: "network.transport",
  protocol: "network.protocol.name",
} as const;

/** In seconds: from a hand-out in the process to a transfer of minutes. */
export const BUCKETS: number[] = [
  0.001,
  0.005,
  0.01,
  0.05,
  0.1,
  0.5,
  1,
  5,
  10,
  60,
  600,
];

/**
 * Returns the name of the span of an operation: there are as many as
 * operations.
 */
export function spanName(name: OperationName): string {
  return `ssh ${name}`;
}

/** Returns the server of an operation, once it is looked up. */
export function serverOf({ address, port }: PoolOperation): Attributes {
  if (address === undefined || port === undefined) return {};
  return { [ATTRIBUTE.address]: address, [ATTRIBUTE.port]: port };
}

/**
 * Returns what kind of error it is: its code, else the name of its class. Only
 * what looks like an identifier is taken: a reason of an abort may be anything.
 */
export function errorType(error: unknown): string {
  const { code, name } = fieldsOf(error);
  if (isMatch(code, /^[A-Z][A-Z0-9_]{1,63}$/)) return code;
  if (isMatch(name, /^[A-Za-z]\w{0,63}$/)) return name;
  return "_OTHER";
}

/** Returns the step that failed, of an error of this library. */
export function errorPhase(error: unknown): string | undefined {
  const { code, phase } = fieldsOf(error);
  if (!isMatch(code, /^SSH_/) || !isMatch(phase, /^[a-z]+$/)) return undefined;
  return phase;
}

/** Returns the exit code that an error holds. */
export function exitCodeOf(error: unknown): number | undefined {
  const { exitCode } = fieldsOf(error);
  return typeof exitCode === "number" ? exitCode : undefined;
}

function fieldsOf(error: unknown): Readonly<Record<string, unknown>> {
  return error instanceof Error
    ? error as unknown as Record<string, unknown>
    : {};
}

function isMatch(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}
