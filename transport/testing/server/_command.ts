/** What runs on a session of the embedded server: a command or a shell. */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { ServerChannel } from "ssh2";
import type { CommandResult } from "../scripts/command_script.ts";
import { findScript } from "../scripts/commands.ts";
import { CommandInput } from "../scripts/input.ts";
import { playCommand, playShell, type RunParts } from "../scripts/run.ts";
import { type Terminal, throughTerminal } from "../scripts/terminal.ts";
import type { EmbeddedServerOptions } from "./embedded_server_options.ts";

/** What a session has been told before something runs on it. */
export interface SessionRun {
  readonly host: string;
  readonly env: Readonly<Record<string, string>>;
  /** The signals of the client, and its end. */
  readonly process: AbortController;
  readonly terminal: Terminal | undefined;
  readonly options: EmbeddedServerOptions;
}

/**
 * Runs the script of a command line on a channel, or without one a login shell.
 *
 * @param line The command line; `undefined` for a shell.
 */
export async function runOnChannel(
  channel: ServerChannel,
  line: string | undefined,
  { host, env, process, terminal, options }: SessionRun,
): Promise<void> {
  const { commands, shell, exitWithoutStatus } = options;
  // A socket that dies under a channel is no error of the server.
  channel.on("error", () => {});
  const input = inputOf(channel);
  const find = (line: string) => findScript(line, commands, host);
  const parts: RunParts = {
    ...{ host, env, process, terminal, find, input },
    send(stream, chunk) {
      // A terminal shows both outputs as one.
      if (terminal !== undefined) {
        return writeTo(channel, channel, throughTerminal(chunk));
      }
      const sink = stream === "stdout" ? channel : channel.stderr;
      return writeTo(channel, sink, chunk);
    },
  };
  const result = line !== undefined
    ? await playCommand(parts, find(line), line)
    : shell
    ? await playCommand(parts, shell, "")
    : await playShell(parts);
  await finish(parts, result);
  if (!exitWithoutStatus) {
    if (result.signal !== undefined) channel.exit(result.signal, false, "");
    else if (result.code !== null) channel.exit(result.code ?? 0);
  }
  channel.end();
  // What the command did not read is in nobody's way any more.
  input.discard();
  channel.resume();
}

/**
 * Returns what the client sends. It is attached when it is first read, so that
 * it may stay unread.
 */
function inputOf(channel: ServerChannel): CommandInput {
  const start = () => {
    channel.on("data", (chunk: Buffer) => {
      const room = input.push(new Uint8Array(chunk));
      if (room === undefined) return;
      channel.pause();
      room.then(() => channel.resume());
    });
    channel.once("end", () => input.end());
  };
  const input = new CommandInput({ roomBytes: 0, start });
  return input;
}

/** Both outputs at once. */
async function finish(
  parts: RunParts,
  { stdout, stderr }: CommandResult,
): Promise<void> {
  if (!stdout?.length && !stderr?.length) return;
  await Promise.all([
    stdout?.length ? parts.send("stdout", stdout) : undefined,
    stderr?.length ? parts.send("stderr", stderr) : undefined,
  ]);
}

type Sink = Pick<NodeJS.WritableStream, "write">;

const waiting = new WeakMap<ServerChannel, Set<() => void>>();

/** Who waits for a channel's writes: one listener for each channel serves all. */
function waitersOf(channel: ServerChannel): Set<() => void> {
  let waiters = waiting.get(channel);
  if (waiters === undefined) {
    const made = waiters = new Set();
    channel.once("close", () => made.forEach((settle) => settle()));
    waiting.set(channel, made);
  }
  return waiters;
}

/** Settles also if the channel closes: ssh2 does not call back then. */
function writeTo(
  channel: ServerChannel,
  sink: Sink,
  chunk: string | Uint8Array,
): Promise<void> {
  const waiters = waitersOf(channel);
  return new Promise((resolve, reject) => {
    waiters.add(resolve);
    sink.write(chunk, (error) => {
      waiters.delete(resolve);
      if (error) reject(error);
      else resolve();
    });
  });
}
