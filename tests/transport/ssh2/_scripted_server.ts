/**
 * A server whose every answer on a channel is scripted: it can leave out what
 * a server has to say, and say it in the wrong order.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { ChannelConnection } from "../../../transport/channels/connection.ts";
import { Dial } from "../../../transport/ssh2/dial/dial.ts";
import type { Times } from "../../../transport/channels/times.ts";
import type { SshHost } from "../../../transport/host/host.ts";
import { resolved } from "./_kit.ts";
import { type RawServer, startRawServer } from "./_raw_server.ts";

/** A request on a session channel. */
export interface ScriptedRequest {
  /** Such as `"exec"`, `"env"`, `"pty-req"` or `"signal"`. */
  readonly type: string;
  /** As ssh2 reads it: the command, the name of the signal, or an object. */
  readonly data: unknown;
  readonly wantReply: boolean;
}

/** A session channel of such a server. */
export interface ScriptedChannel {
  /** Which one of the connection it is, from 0 on. */
  readonly index: number;
  /** The requests so far, as `type` or `type data`. */
  readonly seen: string[];
  /** @param maxPacket The largest packet that it takes; default: 32 KiB. */
  confirm(maxPacket?: number): void;
  succeed(): void;
  fail(): void;
  say(text: string | Uint8Array): void;
  status(code: number): void;
  eof(): void;
  close(): void;
  /** Success, output, status, end of file and CLOSE, as a server should. */
  complete(text?: string, code?: number): void;
}

/** What the server does. What is left out it does as it should. */
export interface Script {
  /** A session is asked for. */
  onOpen?(channel: ScriptedChannel): void;
  /** Default: grants each, and runs nothing. */
  onRequest?(channel: ScriptedChannel, request: ScriptedRequest): void;
  /** The client has sent its end of file. */
  onEof?(channel: ScriptedChannel): void;
  /** The client has sent its CLOSE. */
  onClose?(channel: ScriptedChannel): void;
}

/** Starts it. */
export function startScriptedServer(script: Script): Promise<RawServer> {
  return startRawServer(undefined, (protocol) => {
    const channels = new Map<number, ScriptedChannel>();
    const closed = new Set<number>();
    const handlers = protocol._handlers;
    handlers.CHANNEL_OPEN = (_protocol, { sender: id }) => {
      const index = channels.size;
      const channel: ScriptedChannel = {
        index,
        seen: [],
        confirm: (maxPacket = 2 ** 15) =>
          protocol.channelOpenConfirm(id, index, 2 ** 21, maxPacket),
        succeed: () => protocol.channelSuccess(id),
        fail: () => protocol.channelFailure(id),
        say: (text) => protocol.channelData(id, Buffer.from(text)),
        status: (code) => protocol.exitStatus(id, code),
        eof: () => protocol.channelEOF(id),
        close: () => {
          if (closed.has(index)) return;
          closed.add(index);
          protocol.channelClose(id);
        },
        complete(text = "", code = 0) {
          this.succeed();
          if (text !== "") this.say(text);
          this.status(code);
          this.eof();
          this.close();
        },
      };
      channels.set(index, channel);
      if (script.onOpen === undefined) channel.confirm();
      else script.onOpen(channel);
    };
    handlers.CHANNEL_REQUEST = (_protocol, index, type, wantReply, data) => {
      const channel = channels.get(index)!;
      const shown = typeof data === "string" ? ` ${data}` : "";
      channel.seen.push(`${type}${shown}`);
      if (script.onRequest !== undefined) {
        script.onRequest(channel, { type, data, wantReply });
      } else if (wantReply) channel.succeed();
    };
    handlers.CHANNEL_CLOSE = (_protocol, index) => {
      const channel = channels.get(index)!;
      channel.seen.push("close");
      if (script.onClose === undefined) channel.close();
      else script.onClose(channel);
    };
    handlers.CHANNEL_DATA = (_protocol, index, data) => {
      channels.get(index)!.seen.push(`data ${Buffer.from(data)}`);
    };
    handlers.CHANNEL_EOF = (_protocol, index) => {
      const channel = channels.get(index)!;
      channel.seen.push("eof");
      script.onEof?.(channel);
    };
    handlers.CHANNEL_WINDOW_ADJUST = () => {};
  });
}

/** Connects with other times than a user has. */
export function connectWithin(
  host: SshHost,
  times: Partial<Times>,
): Promise<ChannelConnection> {
  return new Dial(resolved(host), {}, undefined, { times }).run();
}

/** A test over one connection to such a server. */
export function scriptedTest(
  name: string,
  script: Script,
  fn: (connection: ChannelConnection, server: RawServer) => Promise<void>,
  times: Partial<Times> = {},
): void {
  Deno.test(name, async () => {
    await using server = await startScriptedServer(script);
    await using connection = await connectWithin(server.host, times);
    await fn(connection, server);
  });
}
