/**
 * Remote processes: how to start one, what it is like while it runs, and how
 * it ended.
 *
 * @module
 */

/** The size and the kind of a terminal. */
export interface PtyOptions {
  /**
   * The terminal type, which the remote process sees as `TERM`.
   *
   * @default {"xterm-256color"}
   */
  readonly term?: string;
  /**
   * Width in characters.
   *
   * @default {80}
   */
  readonly columns?: number;
  /**
   * Height in lines.
   *
   * @default {24}
   */
  readonly rows?: number;
}

/** Something that `sudo` asks for. */
export interface SudoQuestion {
  /** The question, safe to print. */
  readonly text: string;
  /** What was said before it, often nothing: lines, safe to print. */
  readonly instructions: string;
  /**
   * Whose password is asked for, if it is one: root's, say, where sudoers has
   * `rootpw`. Absent for other questions, such as that for a code.
   */
  readonly passwordOf: string | undefined;
  /** The name of the host. */
  readonly host: string;
}

/** How a command becomes another user. */
export interface SudoOptions {
  /**
   * The user to become.
   *
   * @default {"root"}
   */
  readonly user?: string;
  /**
   * The password that `sudo` asks for: of the user who logs in, unless sudoers
   * wants another's. It is written to the standard input of `sudo`, once, when
   * that asks for a password, and nowhere else. Without one, and without
   * `prompts`, `sudo` must not ask.
   *
   * Other questions do not get it, unless sudoers has `passprompt_override`,
   * which makes all of them look the same.
   */
  readonly password?: string;
  /**
   * Answers what `sudo` asks beside the password: a one-time code, or a new
   * password for one that has expired; and the password if there is none. Asked
   * one by one; while it has not answered, no time runs out. `undefined` gives
   * up. What it throws is the error of the call.
   *
   * Default: such a question fails the call, and nothing has run.
   */
  readonly prompts?: (
    question: SudoQuestion,
  ) => string | undefined | Promise<string | undefined>;
}

/** Options of every session channel. */
export interface SessionOptions {
  /**
   * Aborts: before the command was sent nothing runs; after it the remote
   * process gets a signal (`TERM`) and its channel is closed. The promise
   * rejects with the signal's reason at once, and does not wait for the remote
   * process to end.
   */
  readonly signal?: AbortSignal;
  /**
   * Environment variables. A server takes only the names that its `AcceptEnv`
   * allows: see {@linkcode SessionOptions.envMode}.
   */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * How variables reach the command. With `"request"` the server is asked to
   * set each one before the command is sent; if it refuses one, nothing runs
   * and the call rejects with an `EnvironmentRefusedError` that names it. With
   * `"inline"` they become part of the command line, and `/bin/sh` sets them:
   * every name works that it can set, and their values show in the process list
   * of the host. With `sudo` the server is not asked: they are sent
   * through standard input, and show nowhere.
   *
   * @default {"request"}
   */
  readonly envMode?: "request" | "inline";
  /**
   * Called once, when the server has opened the channel and before the
   * command is sent. A `ChannelOpenError` means that it was not called. If it
   * returns a promise, the command is sent when that has resolved; if it
   * throws, or the promise rejects, the call rejects with that, and nothing ran.
   */
  readonly onOpen?: () => unknown;
}

/** Options of {@linkcode Connection.spawn}. */
export interface ConnectionSpawnOptions extends SessionOptions {
  /**
   * Run it in a pseudo-terminal: standard error then arrives in standard
   * output. `true` is a terminal of the default size.
   *
   * @default {false}
   */
  readonly pty?: boolean | PtyOptions;
  /**
   * The folder to run in; relative to the home directory of the user who logs
   * in. `~` and `~/x` lead home: with `sudo`, to that of the user it becomes.
   * All else is taken as it is: `$HOME` means nothing in it, and a folder called
   * `~` is `./~`. If it cannot be entered, the command does not run and the exit code is that of `cd`, with
   * its message on standard error. `/bin/sh` enters it, and then starts the
   * shell of the user for the command, whichever that is.
   */
  readonly cwd?: string;
  /**
   * Run it in a login shell, which reads the profile of the user: its `PATH`
   * is that of an interactive login. Needs a shell that takes `-l` and `-c`, as
   * sh, bash, dash, ksh, zsh and fish do, or csh, or tcsh.
   *
   * @default {false}
   */
  readonly login?: boolean;
  /**
   * Run it with `sudo`: as root, or as the options say. The command runs in
   * `sh` as that user, with the same `cwd`, `env` and `login`; `sudoers` has to
   * allow `sh`. What `sudo` itself prints is not part of the output, and input
   * goes to the command alone. A refused or missing password, one that has
   * expired, or a question that nobody answers is a `SudoError`, and nothing has
   * run.
   *
   * With a password `sudo` is told to ask for it each time, so that it opens
   * nothing to other callers. Without one, it must not ask: what it remembers
   * from elsewhere is used. `INT` arrives as `TERM`, and `QUIT` as `KILL`. With
   * `pty` the `envMode` of variables must be `"inline"`.
   *
   * @default {false}
   */
  readonly sudo?: boolean | SudoOptions;
  /**
   * What the command reads. Streams and iterables (a Node `Readable` is one)
   * may yield bytes or text, in which a file name that is not UTF-8 is sent as
   * SFTP has read it; if one yields anything else, the command is stopped and
   * the call rejects with a `TypeError`. A stream is locked once
   * the command was sent, and cancelled if the command ends before it has read
   * all.
   *
   * Of a process, remote or a `Deno.ChildProcess`, standard output is read. If
   * that process fails, the command is stopped before it sees an end of file,
   * and rejects with the failure of the process. If a pool cannot start the
   * command, its process is stopped too; a call with a wrong argument leaves it.
   *
   * Default: nothing. `exec` sends end of file at once; with `spawn` the caller
   * writes to `RemoteProcess.stdin`, which is locked if there is a source.
   */
  readonly stdin?: StdinSource;
  /**
   * Fail with a `CommandError` unless the command exits with code 0: `exec`
   * rejects; of a process `status` and all that reads its output do, and both
   * outputs end with the error once all is read.
   *
   * @default {false}
   */
  readonly check?: boolean;
  /**
   * How much output is collected, both streams together, in bytes; `Infinity`
   * for no limit. Of a process, that is what `output()`, `text()` and `json()`
   * collect: beyond it they stop the process, and reject with an
   * `OutputLimitError`.
   *
   * @default {67_108_864}
   */
  readonly maxOutputBytes?: number;
}

/** What a command can read. */
export type StdinSource =
  | string
  | Uint8Array
  | ArrayBuffer
  | Blob
  | ReadableStream<Uint8Array | string>
  | AsyncIterable<Uint8Array | string>
  | Pick<RemoteProcess, "stdout" | "status">;

/** How output is returned: decoded as UTF-8, or as it came. */
export type OutputEncoding = "text" | "bytes";

/** What output is returned as, by the option `encoding`. */
export type Output<Encoding extends OutputEncoding> = Encoding extends "bytes"
  ? Uint8Array
  : string;

/** Where output comes from that is shown while a command runs. */
export interface OutputSource {
  /** The name of the host: in a fan-out as in its results, else `user@host:port`. */
  readonly host: string;
  /** Resolves when the command has ended, whichever way. Never rejects. */
  readonly ended: Promise<void>;
}

/** Options of {@linkcode Connection.exec}. */
export interface ConnectionExecOptions<
  Encoding extends OutputEncoding = OutputEncoding,
> extends ConnectionSpawnOptions {
  /**
   * How output is returned: decoded as UTF-8, or as it came.
   *
   * @default {"text"}
   */
  readonly encoding?: Encoding;
  /**
   * Called with each piece of standard output as it comes, text or bytes as
   * `encoding` says. The result has all of it as ever. What the callback throws
   * stops the command, and the call rejects with it. A promise that it returns
   * is not waited for: if it may reject, handle that in the callback.
   *
   * @param chunk A piece; where it ends says nothing about lines.
   * @param source The host, and when the command has ended.
   */
  onStdout?(chunk: Output<Encoding>, source: OutputSource): void;
  /** As {@linkcode ConnectionExecOptions.onStdout}, for standard error. */
  onStderr?(chunk: Output<Encoding>, source: OutputSource): void;
  /**
   * `"inherit"` writes standard output to that of this program too, as it
   * comes, byte for byte.
   */
  readonly stdout?: "inherit";
  /** As {@linkcode ConnectionExecOptions.stdout}, for standard error. */
  readonly stderr?: "inherit";
  /**
   * Give both outputs as one too, in the order in which they arrive: as
   * {@linkcode ExecResult.all}.
   *
   * @default {false}
   */
  readonly all?: boolean;
  /**
   * How long the command may run once its channel is asked for, in
   * milliseconds, up to 2147483647. Then it is stopped as on abort, and the call rejects with an
   * `ExecTimeoutError` that has the output so far. Default: no limit.
   */
  readonly timeoutMs?: number;
  /**
   * How long a command that is stopped, by `timeoutMs` or by the output limit,
   * has to end after `TERM`, in milliseconds; then it gets `KILL` and its
   * channel is closed. The call waits for that; an abort does not. 0 closes
   * the channel right after `TERM`.
   *
   * @default {0}
   */
  readonly killGraceMs?: number;
  /**
   * What happens beyond `maxOutputBytes`. With `"error"` the command is stopped
   * and the call rejects with an `OutputLimitError`. With `"truncate"` it runs
   * on, and the result has the first and the last part of each stream, each at most
   * `maxOutputBytes / 4`, with a line between them that says how much is missing.
   *
   * @default {"error"}
   */
  readonly onOutputLimit?: "error" | "truncate";
}

/** Options of {@linkcode Connection.shell}. */
export interface ConnectionShellOptions extends SessionOptions, PtyOptions {
  /**
   * Whether it gets a pseudo-terminal. Without one the shell prints no prompt
   * and does not edit lines, and standard error is a stream of its own; `term`,
   * `columns` and `rows` must be left out then.
   *
   * @default {true}
   */
  readonly pty?: boolean;
}

/** How a remote process ended. */
export interface CommandStatus {
  /** Whether it exited with code 0. */
  readonly success: boolean;
  /**
   * The exit code; `null` if a signal ended it, or if the server closed the
   * channel in order without naming one.
   */
  readonly code: number | null;
  /** The signal that ended it, such as `"TERM"`; `null` if none did. */
  readonly signal: string | null;
}

/** How a remote process ended, and all that it wrote. */
export interface ExecResult<T = string> extends CommandStatus {
  /** Standard output. */
  readonly stdout: T;
  /** Standard error. */
  readonly stderr: T;
  /**
   * Both in order of arrival, with the option `all`. The two come through one
   * connection, but through two pipes on the host: lines that are written at
   * the same time may change places.
   */
  readonly all?: T;
}

/**
 * A remote process, which reads like `Deno.ChildProcess`.
 *
 * SSH has flow control: a process whose output nobody reads stops writing
 * once the window is full. Cancelling an output, or leaving a `for await` loop
 * over it, stops the process.
 */
export interface RemoteProcess extends AsyncDisposable {
  /**
   * What the process reads. Closing it is end of file, also after the process
   * has ended. Aborting it, which `pipeTo()` does when its source fails, stops
   * the process: half an input is no input. Locked if the option `stdin` has a
   * source.
   */
  readonly stdin: WritableStream<Uint8Array>;
  /** What it writes to standard output. Errors if the connection is lost, or as `check` says. */
  readonly stdout: ReadableStream<Uint8Array>;
  /** What it writes to standard error. Errors if the connection is lost, or as `check` says. */
  readonly stderr: ReadableStream<Uint8Array>;
  /**
   * Settles when the channel is closed, by when its slot is free.
   *
   * Rejects with a `ConnectionLostError` if the connection ended first, with a
   * `ChannelClosedError` if the server did not say how the process ended, with
   * the signal's reason after an abort, with that of standard input's, with an
   * `AbortError` if standard output was cancelled or the process disposed, and
   * with `check: true` with a `CommandError`. No unhandled rejection if unread.
   */
  readonly status: Promise<CommandStatus>;
  /** Closes standard input, and collects both outputs and the status. */
  output(): Promise<ExecResult<Uint8Array>>;
  /**
   * Reads standard output line by line, as UTF-8, without line ends. Leaving
   * the loop stops the process. Standard error is read along and discarded,
   * unless it is being read already.
   *
   * @throws {ConnectionLostError} If the connection ends first.
   * @throws {CommandError} With `check: true`, if the exit code is not 0.
   * @throws {OutputLimitError} If a line has more than 64 MiB.
   */
  lines(): AsyncIterable<string>;
  /**
   * Closes standard input and reads standard output as text. Standard error
   * is read along and discarded, unless it is being read already.
   *
   * @throws {ConnectionLostError} If the connection ends first.
   * @throws {CommandError} With `check: true`, if the exit code is not 0.
   * @throws {OutputLimitError} If the output outgrows `maxOutputBytes`.
   */
  text(): Promise<string>;
  /**
   * Closes standard input and parses standard output as JSON, as
   * {@linkcode RemoteProcess.text} reads it; its type is what the caller says.
   *
   * @throws {SyntaxError} If it is none.
   * @throws {ConnectionLostError} If the connection ends first.
   * @throws {CommandError} With `check: true`, if the exit code is not 0.
   * @throws {OutputLimitError} If the output outgrows `maxOutputBytes`.
   */
  json<T = unknown>(): Promise<T>;
  /**
   * Sends a signal to the remote process group. Servers older than OpenSSH 7.9,
   * forced commands and subsystems ignore it, and so does OpenSSH 9.2, but not
   * 10.0, for whoever logs in as root: the command then goes on.
   *
   * `status` settles although nobody reads the outputs: after any signal but
   * `USR1` and `USR2`, output that finds its buffer full is dropped, unless
   * it is being read. The stream then ends with an error that says so.
   *
   * @param signal Its name, with or without SIG. Default: `"TERM"`.
   * @throws {TypeError} If the name is none of RFC 4254.
   */
  kill(signal?: string): void;
  /**
   * Tells the terminal of the process its new size. Without a terminal it does
   * nothing.
   *
   * @param size The size in characters; what is left out stays as it is.
   * @throws {RangeError} If a number is not one from 1 to 65535.
   * @throws {TypeError} If it is no size.
   */
  resize(size: { readonly columns: number; readonly rows: number }): void;
}
