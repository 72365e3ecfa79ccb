/**
 * Checks of a call before anything is opened for it: its command and its
 * options. A bad value fails the caller who gave it, and nobody else.
 *
 * @module
 */

import { type Command, commandLine, hasCommonLine } from "./command.ts";
import {
  byteLimit,
  callback,
  duration,
  flag,
  oneOf,
  remotePath,
  signal,
} from "../options/rules.ts";
import { OptionTable, type Rules } from "../options/table.ts";
import type {
  ConnectionExecOptions,
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  OutputEncoding,
  PtyOptions,
  SessionOptions,
} from "../process.ts";
import {
  stdin,
  sudo,
  SYNONYMS,
  TERMINAL,
  terminal,
  variables,
} from "./option_rules.ts";
import { callBack } from "../session/callers_error.ts";
import { checkLength, isSurelyShort } from "./line_length.ts";
import { remoteCommand } from "./remote_command.ts";
import { isShellName } from "./shell_line.ts";

/** Options that the pool has beside those of a connection. */
export interface PoolCallOptions {
  /** How long the call waits for a slot, in milliseconds; 0 for ever. */
  readonly acquireTimeoutMs?: number;
  /** Whether the command may run twice. */
  readonly idempotent?: boolean;
}

/** A call that was checked. What it holds can no longer change. */
export interface CheckedCall<Options> {
  /** The command: one line, or an array that has none for any shell. */
  readonly command: Command;
  /** The options of the connection. */
  readonly options: Options;
  /** Those of the pool that were allowed. */
  readonly own: PoolCallOptions;
}

const SESSION: Rules<SessionOptions> = {
  signal,
  env: variables,
  envMode: oneOf("request", "inline"),
  onOpen: callback,
};
const SPAWN: Rules<ConnectionSpawnOptions> = {
  ...SESSION,
  pty: terminal,
  cwd: remotePath,
  login: flag,
  sudo,
  stdin,
  check: flag,
  maxOutputBytes: byteLimit,
};
const EXEC: Rules<ConnectionExecOptions> = {
  ...SPAWN,
  encoding: oneOf("text", "bytes"),
  onStdout: callback,
  onStderr: callback,
  stdout: oneOf("inherit"),
  stderr: oneOf("inherit"),
  all: flag,
  timeoutMs: duration({ zero: false }),
  killGraceMs: duration({ zero: true }),
  onOutputLimit: oneOf("error", "truncate"),
};
const SHELL: Rules<ConnectionShellOptions> = {
  ...SESSION,
  ...TERMINAL,
  pty: flag,
};
const WAIT = { acquireTimeoutMs: duration({ zero: true }) };
const OWN: Rules<PoolCallOptions> = { ...WAIT, idempotent: flag };

type Kind = "exec" | "spawn" | "shell";

/** Whose options they are: those of the pool are more. */
type Side = "connection" | "pool";

/** The three calls, and where a name belongs that is not theirs. */
const TABLES: Readonly<Record<Kind, Record<Side, OptionTable<object>>>> = {
  exec: tablesOf("exec", "run the command", EXEC, OWN),
  spawn: tablesOf("spawn", "start the command", SPAWN, WAIT),
  shell: tablesOf("shell", "start the shell", SHELL, WAIT),
};

function tablesOf(
  kind: Kind,
  doing: string,
  rules: Rules,
  own: Rules,
): Record<Side, OptionTable<object>> {
  const connection = new OptionTable(doing, rules, {
    synonyms: SYNONYMS,
    elsewhere: (name) => elsewhere(kind, name),
  });
  return { connection, pool: connection.with(doing, own) };
}

/** What `$` has in the place of `check`; its output is text. */
export interface TagCallOptions
  extends
    Omit<ConnectionExecOptions<"text">, "check" | "encoding">,
    PoolCallOptions {
  /** Whether an exit code other than 0 is a result. */
  readonly nothrow?: boolean;
}

const { check: _check, encoding: _encoding, ...TAG } = { ...EXEC, ...OWN };

/** Of the `$` of a host: those of `exec()`, but for two. */
export const TAG_OPTIONS = new OptionTable<TagCallOptions>(
  "run the command",
  { ...TAG, nothrow: flag },
  {
    synonyms: { ...SYNONYMS, reject: "nothrow", throwonerror: "nothrow" },
    elsewhere: (name) =>
      name === "check" ? "set nothrow" : elsewhere("tag", name),
  },
);

/**
 * Checks a call of `exec()`: its options, its command, and the length of the
 * line that they make together. Each option is read once.
 *
 * @param command The command, as the caller gave it.
 * @param options The options, as the caller gave them.
 * @param side Whether the options of the pool are allowed, too.
 * @returns What to run, and how; all of it is frozen.
 * @throws {TypeError} If the command or an option is none.
 * @throws {RangeError} If a number is out of range, or the command too long.
 */
export function checkExec<Encoding extends OutputEncoding>(
  command: Command,
  options: ConnectionExecOptions<Encoding> & PoolCallOptions | undefined,
  side: Side = "connection",
): CheckedCall<ConnectionExecOptions<Encoding>> {
  return withCommand(command, check("exec", options, side));
}

/** Checks a call of `spawn()`, as {@linkcode checkExec} does. */
export function checkSpawn(
  command: Command,
  options: ConnectionSpawnOptions & PoolCallOptions | undefined,
  side: Side = "connection",
): CheckedCall<ConnectionSpawnOptions> {
  return withCommand(command, check("spawn", options, side));
}

/** Checks the options of `shell()`, as {@linkcode checkExec} does. */
export function checkShellOptions(
  options: ConnectionShellOptions & PoolCallOptions | undefined,
  side: Side = "connection",
): Omit<CheckedCall<ConnectionShellOptions>, "command"> {
  return check("shell", options, side);
}

const NOTHING: Omit<CheckedCall<object>, "command"> = Object.freeze({
  options: Object.freeze({}),
  own: Object.freeze({}),
});

/** A class that adds its fields to an object that there is. */
class Marked {
  constructor(object: object) {
    return object;
  }
}

/**
 * Marks options that the pool has checked, so that the adapter need not. A
 * private field is not seen and cannot be forged; a WeakSet, which says the
 * same, took 40 % of the time of a warm `exec()`.
 */
class Checked extends Marked {
  /** Whether `onOpen` is one of the caller's, which may return a promise. */
  readonly #mayHold: boolean;

  constructor(object: object, mayHold: boolean) {
    super(object);
    this.#mayHold = mayHold;
  }

  static has(object: unknown): boolean {
    return typeof object === "object" && object !== null && #mayHold in object;
  }

  static mayHold(object: object): boolean | undefined {
    return #mayHold in object ? object.#mayHold : undefined;
  }
}

/**
 * Returns whether `onOpen` may hold the command back. That of the pool alone
 * does not: where a held command costs a round trip, it need not be asked for.
 *
 * @param options Options that were checked.
 */
export function mayHold(options: SessionOptions): boolean {
  return options.onOpen !== undefined && (Checked.mayHold(options) ?? true);
}

/**
 * Adds a callback to options that were checked. The adapter that gets them
 * knows that they were.
 *
 * @param options The options, as a check gave them.
 * @param opened Called before the `onOpen` of the caller.
 * @returns The options with both.
 */
export function whenOpened<Options extends SessionOptions>(
  options: Options,
  opened: () => void,
): Options {
  const { onOpen } = options;
  const both = onOpen === undefined ? opened : () => {
    opened();
    return callBack(onOpen);
  };
  const copy = { ...options, onOpen: both };
  new Checked(copy, onOpen !== undefined && mayHold(options));
  return Object.freeze(copy);
}

function check<Options extends ConnectionSpawnOptions | ConnectionShellOptions>(
  kind: Kind,
  given: (Options & PoolCallOptions) | undefined,
  side: Side,
): Omit<CheckedCall<Options>, "command"> {
  if (given === undefined) {
    return NOTHING as Omit<CheckedCall<Options>, "command">;
  }
  if (Checked.has(given)) return { options: given, own: NOTHING.own };
  const own: Record<string, unknown> = {};
  const options: Record<string, unknown> = {};
  const table = TABLES[kind][side];
  table.read(given, (name, value) => {
    (name in OWN ? own : options)[name] = value;
  });
  checkTogether(options as ConnectionSpawnOptions, table.doing);
  if (kind === "shell") checkTerminal(options, table.doing);
  return {
    options: Object.freeze(options) as Options,
    own: Object.freeze(own),
  };
}

/** Options of other functions, and of other libraries. */
function elsewhere(kind: Kind | "tag", name: string): string | undefined {
  if (name === "stdout" || name === "stderr") {
    return "the process has its output as streams";
  }
  if (name === "shell" && kind !== "shell") {
    return "a command that is a string always runs in the shell of the user";
  }
  if (name === "args") return "give the command and its arguments as one array";
  if (kind === "tag" && name === "encoding") return "exec() has it";
  if (kind !== "exec" && kind !== "tag" && Object.hasOwn(EXEC, name)) {
    return Object.hasOwn(SPAWN, name)
      ? "exec() and spawn() have it"
      : "exec() has it";
  }
  return undefined;
}

function checkTogether(options: ConnectionSpawnOptions, doing: string): void {
  const { env, envMode, pty, sudo } = options;
  if (env === undefined) return;
  const isSudo = sudo !== undefined && sudo !== false;
  if (isSudo && pty !== undefined && pty !== false && envMode !== "inline") {
    // A terminal would print what is sent to it.
    throw new TypeError(
      `Cannot ${doing}: env with sudo and pty must have envMode "inline"`,
    );
  }
  if (!isSudo && envMode !== "inline") return;
  const bad = Object.keys(env).find((name) => !isShellName(name));
  if (bad === undefined) return;
  throw new TypeError(
    `Cannot ${doing}: env has the name ${
      JSON.stringify(bad)
    }, must be one that ` +
      "a shell can set: letters, digits and _, and no digit first",
  );
}

function checkTerminal(options: ConnectionShellOptions, doing: string): void {
  if (options.pty !== false) return;
  const name = Object.keys(TERMINAL).find((it) => Object.hasOwn(options, it));
  if (name === undefined) return;
  throw new TypeError(
    `Cannot ${doing}: ${name} needs a terminal, and pty is false`,
  );
}

function withCommand<Options extends ConnectionSpawnOptions>(
  command: Command,
  checked: Omit<CheckedCall<Options>, "command">,
): CheckedCall<Options> {
  const { options, own } = checked;
  const line = commandLine(command);
  const kept = typeof command === "string" || hasCommonLine(command)
    ? line
    : Object.freeze([...command]);
  if (!isSurelyShort(kept, line.length, options)) {
    checkLength(remoteCommand(kept, options).line);
  }
  return { command: kept, options, own };
}

/** Returns the terminal that a command is to have, if it gets one. */
export function terminalOf(
  pty: boolean | PtyOptions | undefined,
): PtyOptions | undefined {
  return typeof pty === "boolean" ? pty ? {} : undefined : pty;
}

/** Returns the terminal that a shell is to have, if it gets one. */
export function shellTerminal(
  { pty, term, columns, rows }: ConnectionShellOptions,
): PtyOptions | undefined {
  if (pty === false) return undefined;
  return {
    ...term === undefined ? {} : { term },
    ...columns === undefined ? {} : { columns },
    ...rows === undefined ? {} : { rows },
  };
}

const collected = new WeakSet<object>();

/**
 * Marks the options of a process whose output somebody collects to its end: a
 * pool gives it a slot as for `exec()`, and not as for a stream that may last.
 *
 * @param options The options, as they are passed to `spawn()`.
 * @returns The same.
 */
export function markCollected<Options extends object>(
  options: Options,
): Options {
  collected.add(options);
  return options;
}

/** Whether options were marked so. */
export function isCollected(options: object | undefined): boolean {
  return options !== undefined && collected.has(options);
}
