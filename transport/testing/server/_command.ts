/** What runs on a session of the embedded server: a command or a shell. */

// @ts-types="@types/ssh2"
import type { ServerChannel } from "ssh2";
import { abortable } from "../../abort.ts";
import type {
  CommandContext,
  CommandResult,
  CommandScript,
} from "../scripts/command_script.ts";
import { findScript, runScript } from "../scripts/commands.ts";
import type { EmbeddedServerOptions } from "./embedded_server_options.ts";
import { ChannelInput } from "./_input.ts";
import { playShell } from "./_shell.ts";
import type { ServerTerminal } from "./_terminal.ts";

/** What a session has been told before something runs on it. */
export interface RunParts {
  readonly host: string;
  readonly env: Readonly<Record<string, string>>;
  /** The signals of the client, and its end. */
  readonly process: AbortController;
  readonly terminal: ServerTerminal | undefined;
  readonly options: EmbeddedServerOptions;
}

/** Runs the script of a command line on a channel, to its end. */
export function runCommand(
  channel: ServerChannel,
  command: string,
  parts: RunParts,
): void {
  const { options: { commands }, host } = parts;
  const run = new Run(channel, parts);
  run.play(findScript(command, commands, host), command)
    .then((result) => run.end(result)).catch(() => {});
}

/** Runs a login shell on a channel: its script, or one that plays lines. */
export function runShell(channel: ServerChannel, parts: RunParts): void {
  const { options: { shell, commands }, host, process, terminal } = parts;
  const run = new Run(channel, parts);
  const playLines = () =>
    playShell({
      host,
      commands,
      terminal,
      input: run.input,
      signal: process.signal,
      play: (script, command, signal) => run.play(script, command, signal),
      write: (chunk) => run.write(chunk),
      finish: (result) => run.finish(result),
    });
  run.play(shell || playLines, "")
    .then((result) => run.end(result)).catch(() => {});
}

/** A channel on which scripts run. */
class Run {
  readonly #channel: ServerChannel;
  readonly #parts: RunParts;
  #input: ChannelInput | undefined;

  constructor(channel: ServerChannel, parts: RunParts) {
    const { terminal, process } = parts;
    this.#channel = channel;
    this.#parts = parts;
    // A socket that dies under a channel is no error of the server.
    channel.on("error", () => {});
    if (terminal === undefined) return;
    terminal.onSignal = (name) => process.abort(name);
    terminal.onEcho = (bytes) => {
      if (!channel.writableEnded) channel.write(bytes);
    };
    this.#input = new ChannelInput(channel, terminal);
  }

  get input(): ChannelInput {
    return this.#input ??= new ChannelInput(this.#channel);
  }

  /** Plays a script; its result is a result whatever the handler does. */
  play(
    script: CommandScript,
    command: string,
    signal: AbortSignal = this.#parts.process.signal,
  ): Promise<CommandResult> {
    if (typeof script !== "function") return Promise.resolve(script);
    const { host, env, terminal, process } = this.#parts;
    let stdin: ReadableStream<Uint8Array> | undefined;
    const input = () => this.input;
    const context: CommandContext = {
      command,
      host,
      env,
      signal,
      terminal: signal === process.signal ? terminal : terminal?.during(signal),
      get stdin() {
        return stdin ??= input().stream(signal);
      },
      write: (chunk) => abortable(this.write(chunk), signal),
      writeError: (chunk) => abortable(this.#writeError(chunk), signal),
    };
    return runScript(script, context);
  }

  /** Writes to standard output. */
  write(chunk: string | Uint8Array): Promise<void> {
    return writeTo(this.#channel, this.#shown(chunk));
  }

  /** Writes what a result has; settles also if the channel closes meanwhile. */
  async finish({ stdout, stderr }: CommandResult): Promise<void> {
    if (!stdout?.length && !stderr?.length) return;
    let stop = () => {};
    const closed = new Promise<void>((resolve) => {
      this.#channel.once("close", resolve);
      stop = () => this.#channel.off("close", resolve);
    });
    const written = Promise.all([
      stdout?.length ? this.write(stdout) : undefined,
      stderr?.length ? this.#writeError(stderr) : undefined,
    ]);
    // ssh2 does not call back for a channel that has closed.
    await Promise.race([written, closed]);
    stop();
  }

  /** Writes the rest, says how it ended, and closes the channel. */
  async end(result: CommandResult): Promise<void> {
    const channel = this.#channel;
    await this.finish(result);
    if (!this.#parts.options.exitWithoutStatus) {
      if (result.signal !== undefined) channel.exit(result.signal, false, "");
      else if (result.code !== null) channel.exit(result.code ?? 0);
    }
    channel.end();
    // What the command did not read is in nobody's way any more.
    this.#input?.discard();
    channel.resume();
  }

  /** A terminal shows both outputs as one. */
  #writeError(chunk: string | Uint8Array): Promise<void> {
    if (this.#parts.terminal !== undefined) return this.write(chunk);
    return writeTo(this.#channel.stderr, chunk);
  }

  #shown(chunk: string | Uint8Array): string | Uint8Array {
    return this.#parts.terminal?.show(chunk) ?? chunk;
  }
}

type Sink = Pick<NodeJS.WritableStream, "write">;

function writeTo(sink: Sink, chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(chunk, (error) => error ? reject(error) : resolve());
  });
}
