/** One session of the embedded server: what the client asks for on it. */

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
import { runOnChannel } from "./_command.ts";
import { serveSftp } from "./_sftp.ts";
import { Terminal } from "../scripts/terminal.ts";

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
    serveSftp(accept(), {
      files: served,
      signal: process.signal,
      onRequest: (request) => options.onSftpRequest?.(request),
    });
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
