/**
 * Clients that speak bare ssh2, so that the server is not judged by the
 * connector that is tested against it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { connect, type NetConnectOpts, type Socket } from "node:net";
// @ts-types="@types/ssh2"
import ssh2, {
  type Client,
  type ClientChannel,
  type ConnectConfig,
} from "ssh2";
import {
  EmbeddedServer,
  type EmbeddedServerOptions,
} from "../../../transport/testing/mod.ts";

/** A client that has logged in. */
export interface Peer extends AsyncDisposable {
  client: Client;
  socket: Socket;
  hostKey: Buffer;
}

/** Logs in. */
export async function login(
  server: EmbeddedServer,
  config: Partial<ConnectConfig> = {},
): Promise<Peer> {
  const client = new ssh2.Client();
  const socket = connect({
    host: server.hostname,
    port: server.port,
    noDelay: true,
  });
  const closed = new Promise<void>((resolve) =>
    socket.once("close", () => resolve())
  );
  let hostKey: Buffer = Buffer.alloc(0);
  try {
    await new Promise<void>((resolve, reject) => {
      client.once("ready", resolve);
      client.on(
        "keyboard-interactive",
        (_n, _i, _l, _p, answer) => answer(["42"]),
      );
      client.on("error", reject);
      client.once("close", () => reject(new Error("closed")));
      client.connect({
        sock: socket,
        username: "ops",
        privateKey: server.clientKey,
        // It does not call itself OpenSSH.
        strictVendor: false,
        hostVerifier: (key: Buffer) => {
          hostKey = key;
          return true;
        },
        ...config,
      });
    });
  } catch (error) {
    socket.destroy();
    await closed;
    throw error;
  }
  return {
    client,
    socket,
    hostKey,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed;
    },
  };
}

/** Starts a command. */
export function open(client: Client, command: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) =>
    client.exec(
      command,
      (error, channel) => error ? reject(error) : resolve(channel),
    )
  );
}

/** Runs a command to its end. */
export async function run(
  client: Client,
  command: string,
  stdin?: string,
): Promise<{ code: unknown; signal: unknown; stdout: string; stderr: string }> {
  const channel = await open(client, command);
  const text = { stdout: "", stderr: "" };
  channel.on(
    "data",
    (chunk: Buffer) => text.stdout += chunk.toString("latin1"),
  );
  channel.stderr.on("data", (chunk: Buffer) => text.stderr += chunk.toString());
  channel.end(stdin);
  const [code, signal] = await new Promise<unknown[]>((resolve) =>
    channel.on("close", (...args: unknown[]) => resolve(args))
  );
  return { code, signal, ...text };
}

/** A server and a client that has logged in to it. */
export async function withServer(
  options: EmbeddedServerOptions,
  body: (server: EmbeddedServer, peer: Peer) => Promise<void>,
): Promise<void> {
  await using server = await EmbeddedServer.start(options);
  await using peer = await login(server);
  await body(server, peer);
}

/** Sends a text to a port or a unix socket, and gives all of the answer. */
export function ask(to: NetConnectOpts, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect({ ...to, allowHalfOpen: true });
    socket.on("error", reject);
    socket.on("data", (chunk) => answer += chunk);
    socket.on("close", () => resolve(answer));
    socket.end(text);
  });
}
