/**
 * The same work on many hosts, several at once.
 *
 * @module
 */

import { checkExec } from "../../transport/command/call_options.ts";
import type { Command } from "../../transport/command/command.ts";
import type { HostLike } from "../../transport/host/host.ts";
import { showType } from "../../transport/options/show_value.ts";
import {
  anything,
  callback,
  count,
  signal,
} from "../../transport/options/rules.ts";
import { OptionTable } from "../../transport/options/table.ts";
import type { OutputEncoding, OutputSource } from "../../transport/process.ts";
import { isRepeatable } from "../../transport/command/stdin.ts";
import { type EntryWork, type FanOutHosts, FanOutRun } from "./fan_out_run.ts";
import type { FanOutCommandOptions, FanOutWork } from "../fan_out.ts";
import type { ExecOptions } from "../options.ts";
import { givenLabel } from "../telemetry/host_label.ts";
import { type CallContext, CallTarget } from "./call.ts";
import { exec } from "./commands.ts";

/** Its options, with output of any kind. */
type Options = FanOutCommandOptions<OutputEncoding, unknown>;

const OPTIONS = new OptionTable<Options>("fan out", {
  host: callback,
  concurrency: count,
  signal,
  onProgress: callback,
  exec: anything,
});

/**
 * Works on hosts, several at once.
 *
 * @throws {TypeError | RangeError} If an argument is wrong.
 */
export function fanOut<T>(
  pool: CallContext,
  hosts: FanOutHosts,
  work: FanOutWork<T, never> | Command,
  options?: Options,
): FanOutRun<T> {
  checkHosts(hosts, "fan out", Symbol.asyncIterator);
  const { concurrency = 100, exec: given, ...rest } = OPTIONS.check(options);
  return new FanOutRun({
    ...rest,
    hosts,
    work: workOf(pool, work, given) as EntryWork<T>,
    concurrency,
    closing: pool.closingSignal,
  });
}

/**
 * Checks that hosts are iterable, and no string: that is one of its letters,
 * which nobody means.
 *
 * @param hosts What the caller gave.
 * @param doing What cannot be done with others.
 * @param also How else they may be iterated.
 * @throws {TypeError} If they are not.
 */
export function checkHosts(
  hosts: unknown,
  doing: string,
  also: symbol = Symbol.iterator,
): void {
  const isIterable = typeof hosts === "object" && hosts !== null &&
    (Symbol.iterator in hosts || also in hosts);
  if (isIterable) return;
  throw new TypeError(
    // The type alone: a URL may have a password.
    `Cannot ${doing}: hosts is ${
      showType(hosts)
    }, must be an iterable of hosts, such as an array`,
  );
}

function workOf(
  pool: CallContext,
  work: FanOutWork<unknown, never> | Command,
  given: Options["exec"],
): EntryWork<unknown> {
  if (typeof work === "function") {
    if (given === undefined) {
      return (entry, _host, signal) => work(entry as never, signal);
    }
    throw new TypeError(
      "Cannot fan out: the option exec has no effect with a function, give its options to exec() there",
    );
  }
  if (typeof work !== "string" && !Array.isArray(work)) {
    throw new TypeError(
      `Cannot fan out: work is ${work}, must be a command or a function`,
    );
  }
  const call = checkExec(work, given, "pool");
  const { signal, stdin } = call.options;
  if (signal !== undefined) {
    throw new TypeError(
      "Cannot fan out: exec.signal is set, give the signal to the fan-out",
    );
  }
  if (!isRepeatable(stdin)) {
    throw new TypeError(
      "Cannot fan out: exec.stdin is a stream, must be text or bytes, since each host reads all of it",
    );
  }
  const options = { ...call.options, ...call.own };
  return (_entry, host, signal) =>
    exec(new CallTarget(pool, host), call.command, {
      ...named(options, host),
      signal,
    });
}

/** Gives the callbacks the host as the results name it. */
function named(
  options: ExecOptions<OutputEncoding>,
  host: HostLike,
): ExecOptions<OutputEncoding> {
  const { onStdout, onStderr } = options;
  if (onStdout === undefined && onStderr === undefined) return options;
  const name = givenLabel(host);
  // A command that is run again has another source.
  const known = new WeakMap<OutputSource, OutputSource>();
  const sourceOf = (given: OutputSource): OutputSource => {
    const source = known.get(given) ?? { host: name, ended: given.ended };
    known.set(given, source);
    return source;
  };
  return {
    ...options,
    ...onStdout && {
      onStdout: (chunk, source) => onStdout(chunk, sourceOf(source)),
    },
    ...onStderr && {
      onStderr: (chunk, source) => onStderr(chunk, sourceOf(source)),
    },
  };
}
