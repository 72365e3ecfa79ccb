/**
 * A server that speaks SSH up to the first keys, byte by byte as it is told.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { SshHost } from "../../../transport/host/host.ts";
import { string, uint32 } from "../../../transport/ssh2/_bytes.ts";

/** Options of {@linkcode startPlainServer}. */
export interface PlainServerOptions {
  /** The key exchange methods that it offers. */
  readonly kex: string;
  /** What it sends before its banner, and as its banner. */
  readonly greeting?: string;
  /** A message that it sends before its KEXINIT. */
  readonly first?: Buffer;
  /** Given each message that is no KEXINIT; gives what to answer. */
  readonly answer?: (message: Buffer) => Buffer | Buffer[] | undefined;
}

/** Starts it on a free port of 127.0.0.1. */
export async function startPlainServer(
  options: PlainServerOptions,
): Promise<AsyncDisposable & { readonly host: SshHost }> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    serve(socket, options);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    host: {
      hostname: "127.0.0.1",
      port: (server.address() as AddressInfo).port,
      user: "ops",
      password: "any",
      hostKey: "insecure-accept-any",
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

function serve(
  socket: Socket,
  { kex, greeting = "SSH-2.0-plain\r\n", first, answer }: PlainServerOptions,
): void {
  socket.write(greeting);
  if (first !== undefined) socket.write(packet(first));
  socket.write(packet(kexInit(kex)));
  let buffer = Buffer.alloc(0);
  let hasBanner = false;
  socket.on("data", (chunk) => {
    buffer = Buffer.concat([buffer, Buffer.from(chunk)]);
    if (!hasBanner) {
      const end = buffer.indexOf("\n");
      if (end < 0) return;
      hasBanner = true;
      buffer = buffer.subarray(end + 1);
    }
    while (buffer.length >= 5 && buffer.length >= 4 + buffer.readUInt32BE(0)) {
      const end = 4 + buffer.readUInt32BE(0);
      const message = buffer.subarray(5, end - buffer[4]!);
      buffer = buffer.subarray(end);
      const reply = message[0] === 20 ? undefined : answer?.(message);
      for (const message of [reply ?? []].flat()) socket.write(packet(message));
    }
  });
}

function kexInit(kex: string): Buffer {
  const lists = [
    kex,
    "ssh-ed25519,rsa-sha2-256",
    "aes128-ctr",
    "aes128-ctr",
    "hmac-sha2-256",
    "hmac-sha2-256",
    "none",
    "none",
    "",
    "",
  ];
  return Buffer.concat([
    Buffer.of(20),
    Buffer.alloc(16, 7),
    ...lists.map(string),
    Buffer.of(0),
    uint32(0),
  ]);
}

/** A packet of RFC 4253 section 6, without encryption. */
function packet(payload: Buffer): Buffer {
  const rest = (5 + payload.length) % 8;
  const padding = rest > 4 ? 16 - rest : 8 - rest;
  return Buffer.concat([
    uint32(1 + payload.length + padding),
    Buffer.of(padding),
    payload,
    Buffer.alloc(padding),
  ]);
}
