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
import type {
  CommandResult,
  CommandScript,
} from "../scripts/command_script.ts";
import { findScript } from "../scripts/commands.ts";
import { ByteQueue } from "../scripts/byte_queue.ts";
import { passAtOnce } from "../scripts/outcome.ts";
import { play, type RunParts } from "../scripts/run.ts";
import { ScriptFault } from "../scripts/script_fault.ts";
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
  const input = new ByteQueue();
  feed(channel, (bytes) => input.push(bytes), () => input.end());
  const find = (line: string) => findScript(line, commands, run.host);
  const parts: RunParts = {
    ...run,
    find,
    input,
    write: (stream, bytes) => {
      const sink = stream === "stdout" ? channel : channel.stderr;
      // Where the channel closes it never settles; a handler has its signal.
      return new Promise((resolve, reject) => {
        sink.write(bytes, (error) => error ? reject(error) : resolve());
      });
    },
  };
  const { code, signal } = await playOrTell(
    parts,
    () => line === undefined ? shell || undefined : find(line),
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

/** The same as {@linkcode play}; the client reads what is wrong with a script. */
async function playOrTell(
  parts: RunParts,
  find: () => CommandScript | undefined,
  command: string,
): Promise<CommandResult> {
  try {
    return await play(parts, find(), command);
  } catch (error) {
    if (!(error instanceof ScriptFault)) throw error;
    return await play(
      parts,
      { code: 1, stderr: `${error.message}\n` },
      command,
    );
  }
}

/**
 * Reads a channel to its end.
 *
 * @param take Takes what comes; a promise has the client wait.
 */
function feed(
  channel: ServerChannel,
  take: (bytes: Uint8Array) => Promise<void> | undefined,
  ended: () => void,
): void {
  // A socket that dies under a channel is no error of the server.
  channel.on("error", () => {});
  channel.on("data", (chunk: Buffer) => {
    const room = take(chunk);
    if (room === undefined) return;
    channel.pause();
    room.then(() => channel.resume());
  });
  channel.once("end", ended);
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
  const finish = (code: number) => {
    channel.exit(code);
    channel.end();
    // What still comes is not read any more.
    channel.resume();
  };
  const server = new SftpServer({
    files,
    send: (bytes) =>
      channel.write(bytes)
        ? undefined
        : new Promise((resolve) => channel.once("drain", resolve)),
    end: () => finish(BAD_MESSAGE_CODE),
    gate: (request) => passAtOnce(options.onSftpRequest?.(request), signal),
  });
  onAbort(signal, () => server.close());
  feed(channel, (bytes) => server.receive(bytes), () => {
    if (signal.aborted) return;
    server.close();
    finish(0);
  });
}
