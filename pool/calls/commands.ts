/**
 * `exec()`, `spawn()` and `shell()`, of a pool and of a shared connection.
 *
 * @module
 */

import {
  checkExec,
  checkShellOptions,
  checkSpawn,
  whenOpened,
} from "../../transport/command/call_options.ts";
import type { Command } from "../../transport/command/command.ts";
import {
  checkSubsystem,
  SIGNAL_OPTIONS,
} from "../../transport/connect_options.ts";
import type { Tunnel } from "../../transport/connector.ts";
import { isProcess, isRepeatable } from "../../transport/command/stdin.ts";
import type {
  ExecResult,
  Output,
  OutputEncoding,
  RemoteProcess,
  StdinSource,
} from "../../transport/process.ts";
import type {
  ExecOptions,
  ExecResultOf,
  ShellOptions,
  SpawnOptions,
} from "../options.ts";
import type { SlotKind } from "../connection/pooled_connection.ts";
import type { CallTarget } from "./call.ts";
import { onSlot, unsupported } from "./run.ts";

/** Runs a command, and collects its output. */
export function exec<
  Encoding extends OutputEncoding,
  All extends boolean = boolean,
>(
  target: CallTarget,
  command: Command,
  given: (ExecOptions<Encoding> & { readonly all?: All }) | undefined,
): Promise<ExecResultOf<Encoding, All>> {
  let stdin: StdinSource | undefined;
  const result: Promise<ExecResult<Output<Encoding>>> = onSlot(target, () => {
    const { command: line, options, own } = checkExec(
      command,
      given,
      "pool",
    );
    stdin = options.stdin;
    return {
      name: "exec",
      command: line,
      signal: options.signal,
      acquireTimeoutMs: own.acquireTimeoutMs,
      // A stream is used up by the first try.
      idempotent: own.idempotent === true && isRepeatable(options.stdin),
      kind: "command",
      start: (connection, opened) =>
        connection.exec(line, whenOpened(options, opened)),
    };
  });
  // It has `all` if the options say so.
  return endingPipe(stdin, result) as Promise<ExecResultOf<Encoding, All>>;
}

/** Starts a command, which keeps its slot until it has ended. */
export function spawn(
  target: CallTarget,
  command: Command,
  given: SpawnOptions | undefined,
  kind: SlotKind = "stream",
): Promise<RemoteProcess> {
  let stdin: StdinSource | undefined;
  const started: Promise<RemoteProcess> = onSlot(target, () => {
    const { command: line, options, own } = checkSpawn(
      command,
      given,
      "pool",
    );
    stdin = options.stdin;
    return {
      name: "spawn",
      command: line,
      signal: options.signal,
      acquireTimeoutMs: own.acquireTimeoutMs,
      kind,
      start: (connection, opened) =>
        connection.spawn(line, whenOpened(options, opened)),
      hold: ({ status }) => status,
    };
  });
  return endingPipe(stdin, started);
}

/**
 * Stops the process whose output a command was to read, if that fails before it
 * reads: nobody else would, and it would keep its slot for ever.
 */
function endingPipe<T>(
  stdin: StdinSource | undefined,
  call: Promise<T>,
): Promise<T> {
  if (typeof stdin !== "object" || !isProcess(stdin)) return call;
  return call.catch((error) => {
    const { stdout } = stdin;
    if (!stdout.locked) stdout.cancel(error).catch(() => {});
    throw error;
  });
}

/** Starts a shell, which keeps its slot until it has ended. */
export function shell(
  target: CallTarget,
  given: ShellOptions | undefined,
): Promise<RemoteProcess> {
  return onSlot(target, () => {
    const { options, own } = checkShellOptions(given, "pool");
    return {
      name: "shell",
      signal: options.signal,
      acquireTimeoutMs: own.acquireTimeoutMs,
      kind: "stream",
      start: (connection, opened) => {
        if (connection.shell === undefined) {
          throw unsupported(connection, "shells");
        }
        return connection.shell(whenOpened(options, opened));
      },
      hold: ({ status }) => status,
    };
  });
}

/** Starts a subsystem, which keeps its slot until its bytes are closed. */
export function subsystem(
  target: CallTarget,
  name: string,
  given: { readonly signal?: AbortSignal } | undefined,
): Promise<Tunnel> {
  return onSlot(target, () => {
    const { signal } = SIGNAL_OPTIONS.check(given);
    checkSubsystem(name);
    return {
      name: "subsystem",
      signal,
      kind: "stream",
      start: async (connection, opened) => {
        if (connection.subsystem === undefined) {
          throw unsupported(connection, "subsystems");
        }
        const tunnel = await connection.subsystem(
          name,
          signal ? { signal } : {},
        );
        opened();
        return tunnel;
      },
      hold: ({ closed }) => closed,
    };
  });
}
