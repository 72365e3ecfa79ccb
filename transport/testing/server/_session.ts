/** One session of the embedded server: what the client asks for on it. */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { Connection, ServerChannel, Session } from "ssh2";
import { matchPatterns } from "../../host/pattern.ts";
import { onAbort } from "../../abort.ts";
import type { MemoryTree } from "../files/memory_tree.ts";
import {
  serverInternalsOf,
  sessionInternalsOf,
} from "../../ssh2/fence/server_side.ts";
import type { EmbeddedServerOptions } from "./embedded_server_options.ts";
import { findScript } from "../scripts/commands.ts";
import { CommandInput } from "../scripts/input.ts";
import { passAtOnce } from "../scripts/outcome.ts";
import { play, type RunParts } from "../scripts/run.ts";
import { Terminal } from "../scripts/terminal.ts";
import { SftpServer } from "../sftp_server/sftp_server.ts";

/** What a session needs of its connection. */
export interface SessionParts {
  readonly options: EmbeddedServerOptions;
  /** The host that was asked, as `user@host:port`. */
  readonly host: string;
  /** Aborts when the connection is gone. */
  readonly gone: AbortSignal;
  /** What an SFTP session sees; `undefined` refuses it. */
  readonly files: () => MemoryTree | undefined;
  /** Called once the client has closed the session. */
  readonly onClose: () => void;
}

/** Answers the requests of a session until it is closed, or its connection gone. */
export function serveSession(
  session: Session,
  client: Connection,
  { options, host, gone, files, onClose }: SessionParts,
): void {
  const env: Record<string, string> = {};
  const process = new AbortController();
  let terminal: Terminal | undefined;
  const run = (channel: ServerChannel, line: string | undefined) =>
    void runOnChannel(channel, line, { host, env, process, terminal, options })
      .catch(() => {});
  const stop = onAbort(gone, () => process.abort("HUP"));
  session.on("env", (accept, reject, info) => {
    const { acceptEnv = ["*"] } = options;
    if (!matchPatterns(info.key, acceptEnv)) return reject?.();
    env[info.key] = info.val;
    accept?.();
  });
  session.on("pty", (accept, _reject, { term, cols, rows }) => {
    const size = { term, columns: cols, rows };
    terminal = new Terminal(size, process.signal);
    env["TERM"] = term;
    accept?.();
  });
  session.on("window-change", (accept, _reject, { cols, rows }) => {
    terminal?.resize(cols, rows);
    accept?.();
  });
  let isFiles = false;
  session.on("signal", (accept, reject, info) => {
    // As sshd, which has no process to send it to.
    if (isFiles) return reject?.();
    // A client may name it with or without SIG.
    process.abort(info.name.replace(/^SIG/, ""));
    accept?.();
  });
  // ssh2 takes end of file for the end of the session, and would not hear of a
  // signal any more; sshd does.
  session.on("eof", () => sessionInternalsOf(session)._ending = false);
  session.on("close", () => {
    stop();
    process.abort("HUP");
    closeUnused(session, client);
    onClose();
  });
  session.on("exec", (accept, reject, info) => {
    if (options.refuseExec) return reject?.();
    run(accept(), info.command);
  });
  session.on("shell", (accept, reject) => {
    if (options.refuseExec || options.shell === false) return reject?.();
    run(accept(), undefined);
  });
  session.on("subsystem", (accept, reject, { name }) => {
    const served = name === "sftp" ? files() : undefined;
    if (served === undefined) return reject?.();
    isFiles = true;
    serveSftp(accept(), served, process.signal, options);
  });
}

// ssh2 does not answer the CLOSE of a session on which nothing was run, so the
// client would wait for ever; sshd answers it.
function closeUnused(session: Session, client: Connection): void {
  const { _channel, _chanInfo } = sessionInternalsOf(session);
  const { _protocol, _chanMgr } = serverInternalsOf(client);
  if (_channel !== undefined || _chanInfo.outgoing.state !== "open") return;
  _chanInfo.outgoing.state = "closed";
  _protocol.channelClose(_chanInfo.outgoing.id);
  _chanMgr.remove(_chanInfo.incoming.id);
}

/** What a command or a shell runs with, beside its channel. */
type SessionRun =
  & Pick<RunParts, "host" | "env" | "process" | "terminal">
  & Pick<SessionParts, "options">;

/**
 * Runs the script of a command line on a channel, or without one a login shell.
 *
 * @param line The command line; `undefined` for a shell.
 */
async function runOnChannel(
  channel: ServerChannel,
  line: string | undefined,
  { options, ...run }: SessionRun,
): Promise<void> {
  const { commands, shell, exitWithoutStatus } = options;
  // A socket that dies under a channel is no error of the server.
  channel.on("error", () => {});
  const input = inputOf(channel);
  const find = (line: string) => findScript(line, commands, run.host);
  const { code, signal } = await play(
    {
      ...run,
      find,
      input,
      write: (stream, bytes) =>
        writeTo(channel, stream === "stdout" ? channel : channel.stderr, bytes),
    },
    line === undefined ? shell || undefined : find(line),
    line ?? "",
  );
  if (!exitWithoutStatus) {
    if (signal !== undefined) channel.exit(signal, false, "");
    else if (code !== null) channel.exit(code ?? 0);
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
  chunk: Uint8Array,
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

/** What OpenSSH's sftp-server ends with at something that it cannot read. */
const BAD_MESSAGE_CODE = 11;

/** Serves files on a channel until the client ends it, or is gone. */
function serveSftp(
  channel: ServerChannel,
  files: MemoryTree,
  signal: AbortSignal,
  options: EmbeddedServerOptions,
): void {
  // A socket that dies under a channel is no error of the server.
  channel.on("error", () => {});
  const finish = (code: number) => {
    channel.exit(code);
    channel.end();
    // What still comes is not read any more.
    channel.resume();
  };
  const server = new SftpServer({
    files,
    send: (bytes) => channel.write(bytes) ? undefined : drained(channel),
    end: () => finish(BAD_MESSAGE_CODE),
    gate: (request) => passAtOnce(options.onSftpRequest?.(request), signal),
  });
  onAbort(signal, () => server.close());
  channel.on("data", (chunk: Buffer) => {
    const room = server.receive(chunk);
    if (room === undefined) return;
    channel.pause();
    room.then(() => channel.resume());
  });
  channel.once("end", () => {
    if (signal.aborted) return;
    server.close();
    finish(0);
  });
}

/** Room for more, or no channel any more: ssh2 then never says `drain`. */
function drained(channel: ServerChannel): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      channel.off("drain", done).off("close", done);
      resolve();
    };
    channel.on("drain", done).on("close", done);
  });
}
