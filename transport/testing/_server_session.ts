/** One session of the embedded server: a scripted command on a channel. */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { Connection, ServerChannel, Session } from "ssh2";
import { serverInternalsOf, sessionInternalsOf } from "../ssh2/server_side.ts";
import { type CommandContext, findScript, runScript } from "./commands.ts";
import type { EmbeddedServerOptions } from "./embedded_server.ts";
import { until } from "./_gate.ts";

/** Answers the requests of a session until `gone` aborts. */
export function serveSession(
  session: Session,
  client: Connection,
  parts: { options: EmbeddedServerOptions; host: string; gone: AbortSignal },
): void {
  const { options, host, gone } = parts;
  const env: Record<string, string> = {};
  const process = new AbortController();
  // Gone with the session: a connection sees thousands of them.
  gone.addEventListener("abort", () => process.abort("HUP"), {
    once: true,
    signal: process.signal,
  });
  session.on("env", (accept, reject, info) => {
    if (!accepts(options.acceptEnv, info.key)) return reject?.();
    env[info.key] = info.val;
    accept?.();
  });
  session.on("pty", (accept) => accept?.());
  session.on("signal", (accept, _reject, info) => {
    // A client may name it with or without SIG.
    process.abort(info.name.replace(/^SIG/, ""));
    accept?.();
  });
  // ssh2 takes end of file for the end of the session, and would not hear of a
  // signal any more; sshd does.
  session.on("eof", () => sessionInternalsOf(session)._ending = false);
  session.on("close", () => {
    process.abort("HUP");
    closeUnused(session, client);
  });
  session.on("exec", (accept, reject, info) => {
    if (options.refuseExec) return reject?.();
    const channel = accept();
    // A socket that dies under a channel is no error of the server.
    channel.on("error", () => {});
    run(
      channel,
      { command: info.command, host, env, signal: process.signal },
      options,
    )
      .catch(() => {});
  });
}

/** Whether one of the patterns, with `*` and `?`, fits the name. */
function accepts(patterns: readonly string[] = ["*"], name: string): boolean {
  return patterns.some((pattern) => {
    const literal = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    const source = literal.replaceAll("*", ".*").replaceAll("?", ".");
    return new RegExp(`^${source}$`, "s").test(name);
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

async function run(
  channel: ServerChannel,
  parts: Pick<CommandContext, "command" | "host" | "env" | "signal">,
  options: EmbeddedServerOptions,
): Promise<void> {
  const { signal } = parts;
  const context: CommandContext = {
    ...parts,
    stdin: readableOf(channel, signal),
    write: (chunk) => until(writeTo(channel, chunk), signal),
    writeError: (chunk) => until(writeTo(channel.stderr, chunk), signal),
  };
  const script = findScript(parts.command, options.commands, parts.host);
  const result = await runScript(script, context);
  await Promise.all([
    result.stdout?.length ? last(channel, result.stdout, channel) : undefined,
    result.stderr?.length
      ? last(channel.stderr, result.stderr, channel)
      : undefined,
  ]);
  if (!options.exitWithoutStatus) {
    if (result.signal !== undefined) channel.exit(result.signal, false, "");
    else if (result.code !== null) channel.exit(result.code ?? 0);
  }
  channel.end();
  // What the command did not read is in nobody's way any more.
  channel.resume();
}

type Sink = Pick<NodeJS.WritableStream, "write">;

function writeTo(sink: Sink, chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(chunk, (error) => error ? reject(error) : resolve());
  });
}

/** A write which the channel's end settles too: ssh2 then never calls back. */
function last(
  sink: Sink,
  chunk: string | Uint8Array,
  channel: ServerChannel,
): Promise<void> {
  return Promise.race([
    writeTo(sink, chunk),
    new Promise<void>((resolve) => channel.once("close", () => resolve())),
  ]);
}

/** Attached to the channel when it is first read, so that it may stay unread. */
function readableOf(
  channel: ServerChannel,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  let attached = false;
  let open = true;
  return new ReadableStream<Uint8Array>({
    cancel() {
      open = false;
      channel.resume();
    },
    pull(controller) {
      channel.resume();
      if (attached) return;
      attached = true;
      channel.on("data", (chunk: Buffer) => {
        if (!open) return;
        controller.enqueue(new Uint8Array(chunk));
        if ((controller.desiredSize ?? 0) <= 0) channel.pause();
      });
      channel.once("end", () => {
        if (open) controller.close();
        open = false;
      });
      const stop = () => {
        if (open) controller.error(signal.reason);
        open = false;
      };
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
    },
  }, { highWaterMark: 0 });
}
