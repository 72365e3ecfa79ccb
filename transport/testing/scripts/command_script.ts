/**
 * What a scripted command is: what it sees, what it does, how it ends.
 *
 * @module
 */

/** How a scripted command ended, and what it wrote at its end. */
export interface CommandResult {
  /**
   * The exit code; `null` to end without one.
   *
   * @default {0}
   */
  readonly code?: number | null;
  /** The signal that ended it, such as `"KILL"`; there is no code then. */
  readonly signal?: string;
  /** What it wrote to standard output. */
  readonly stdout?: string | Uint8Array;
  /** What it wrote to standard error. */
  readonly stderr?: string | Uint8Array;
}

/** The terminal in which a scripted command runs. */
export interface CommandTerminal {
  /** Its type, which is also the variable `TERM`. */
  readonly term: string;
  /** Its width in characters, as it is now. */
  readonly columns: number;
  /** Its height in lines, as it is now. */
  readonly rows: number;
  /**
   * Waits until the client changes the size, as a program waits for `WINCH`. A
   * change since the last wait counts.
   *
   * @returns Resolves then; rejects with the signal's reason when
   * {@linkcode CommandContext.signal} aborts.
   */
  resized(): Promise<void>;
}

/** What a scripted command can see and do while it runs. */
export interface CommandContext {
  /** The command line, as it was sent; empty for a shell. */
  readonly command: string;
  /** The host that was asked, as `user@host:port`. */
  readonly host: string;
  /** The environment variables that were sent. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * The terminal, if it runs in one: standard error is written to standard
   * output then, and `\n` arrives as `\r\n`. It echoes nothing: what the
   * client types is the input, as it was typed.
   */
  readonly terminal?: CommandTerminal | undefined;
  /** What the client sends; ends at its end of file. */
  readonly stdin: ReadableStream<Uint8Array>;
  /**
   * Aborts when the client sends a signal (its reason is the signal's name),
   * closes the channel or is gone. A handler that throws after a signal was
   * ended by it; a handler that returns survived it.
   */
  readonly signal: AbortSignal;
  /** Writes to standard output; resolves when there is room for more. */
  write(chunk: string | Uint8Array): Promise<void>;
  /** Writes to standard error; resolves when there is room for more. */
  writeError(chunk: string | Uint8Array): Promise<void>;
}

/** Runs a scripted command. Giving nothing is exit code 0. */
export type CommandHandler = (
  context: CommandContext,
) => CommandResult | void | Promise<CommandResult | void>;

/** What a command does: a result, or a handler that makes one. */
export type CommandScript = CommandResult | CommandHandler;

/**
 * What the commands do: a table, or a function that is asked for each command
 * line, with the host as `user@host:port`. In a table a script is looked up by
 * the whole command line, then by its first word, then as `"*"`, which stands
 * for all others.
 *
 * Where there is no script, the built-in commands answer: `true`, `false`,
 * `exit N`, `echo WORDS`, `printenv NAME`, `stty size`, `cat` (without a file),
 * `sleep S` (seconds) and `bulk N` (N bytes). They know no shell: a line with
 * `;`, `|`, `$` or the like needs a script. The rest has no script: a
 * `MemoryConnector` rejects the call with an `UnscriptedCommandError`. A server,
 * a `MemoryConnector` that has no `commands` at all, too, ends the command with
 * 127, as a shell does, and says on standard error how to script it.
 */
export type Commands =
  | Readonly<Record<string, CommandScript>>
  | ((command: string, host: string) => CommandScript | undefined);
