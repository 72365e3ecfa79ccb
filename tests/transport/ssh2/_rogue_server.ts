/**
 * A server that ends its half of the key exchange early, and goes on as if the
 * client had approved its host key; and that keeps every byte it is sent.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { type AddressInfo, createServer, type Socket } from "node:net";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import {
  endCiphers,
  prepareCiphers,
} from "../../../transport/ssh2/cipher/ciphers.ts";
import type { SshHost } from "../../../transport/host/host.ts";
import { keyPair } from "../../../transport/testing/server/_keys.ts";

/** What the tests use of a server's protocol object. */
export interface ServerProtocol {
  readonly _kex?: { readonly _sentNEWKEYS: boolean; finish(): void };
  /** ssh2 refuses to answer what was not asked. */
  _authsQueue: string[];
  parse(): void;
  serviceAccept(name: string): void;
  authSuccess(): void;
  channelOpenConfirm(
    id: number,
    sender: number,
    window: number,
    packet: number,
  ): void;
  channelSuccess(id: number): void;
  channelData(id: number, data: Uint8Array): void;
  exitStatus(id: number, status: number): void;
  channelClose(id: number): void;
}

/** Options of {@linkcode startRogueServer}. */
export interface RogueOptions {
  /** What it sends as soon as its own half of the key exchange is done. */
  readonly says: (protocol: ServerProtocol) => void;
  /** Whether all of that goes out with its reply, or each part on its own. */
  readonly segments: "one" | "several";
  /** Whether it then hangs up. */
  readonly hangsUp?: boolean;
}

/** Starts it on a free port of 127.0.0.1. */
export async function startRogueServer(options: RogueOptions): Promise<
  AsyncDisposable & {
    readonly host: SshHost;
    readonly fingerprint: `SHA256:${string}`;
    readonly hostKey: string;
    readonly accepted: number;
    received(): string;
  }
> {
  await prepareCiphers();
  const key = keyPair("rogue");
  const received: Uint8Array[] = [];
  const sockets: Socket[] = [];
  const attacks: (() => Promise<void>)[] = [];
  const ssh = new ssh2.Server({ hostKeys: [key.privateKey] }, (client) => {
    client.on("error", () => {});
  });
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    attacks.push(attack(ssh, socket, options));
    socket.on("data", (chunk) => received.push(chunk));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    host: { hostname: "127.0.0.1", port, user: "ops" },
    fingerprint: key.fingerprint,
    hostKey: key.publicKey,
    get accepted() {
      return sockets.length;
    },
    received: () => Buffer.concat(received).toString("latin1"),
    async [Symbol.asyncDispose]() {
      for (const done of attacks) await done();
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Resolves, when asked, once all is sent. */
function attack(
  ssh: ssh2.Server,
  socket: Socket,
  { says, segments, hangsUp }: RogueOptions,
): () => Promise<void> {
  const write = socket.write;
  const hangUp = socket.end.bind(socket);
  let parts: Uint8Array[] | undefined;
  socket.write = ((data: Uint8Array) => {
    if (parts === undefined) return write.call(socket, data);
    parts.push(Buffer.from(data));
    return true;
  }) as Socket["write"];
  // Whatever it makes of what the client answers, it stays to hear it.
  socket.end = () => socket;
  let attacked = false;
  let flushed = Promise.resolve();
  ssh.once("connection", (client) => {
    const protocol = (client as unknown as { _protocol: ServerProtocol })
      ._protocol;
    endCiphers(protocol);
    protocol._authsQueue.push("password");
    // From here on what it sends is kept back, until all of it is there.
    socket.prependListener("data", () => parts ??= []);
    socket.on("data", () => queueMicrotask(step));
    const step = () => {
      if (!attacked && protocol._kex?._sentNEWKEYS) {
        attacked = true;
        protocol.parse = () => {};
        protocol._kex.finish();
        says(protocol);
      }
      flushed = flushed.then(flush);
    };
  });
  const flush = async () => {
    const all = parts ?? [];
    parts = undefined;
    if (segments === "one") {
      if (all.length > 0) write.call(socket, Buffer.concat(all));
    } else {
      for (const part of all) {
        write.call(socket, part);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    if (attacked && hangsUp) hangUp();
  };
  // Node's own types know no injectSocket().
  (ssh as unknown as { injectSocket(socket: Socket): void })
    .injectSocket(socket);
  return () => flushed;
}
