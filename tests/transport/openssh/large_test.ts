/**
 * Much data at once over `ssh`: memory is used again, that of packets and that
 * into which the socket is read.
 */

import { assertEquals } from "@std/assert";
import type { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { collectBytes, joinBytes } from "../../../transport/bytes.ts";
import { sshdTest } from "./_kit.ts";

/** Bytes of which no two pieces are alike. */
function bytes(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = i * 2654435761 + seed;
  return new Uint8Array(words.buffer, 0, length);
}

sshdTest(
  "what is written over ssh arrives unchanged, also if it is taken late and in turns",
  async ({ connect }, sshd) => {
    await using connection = await connect(sshd.host());
    const inputs = [1, 2, 3].map((seed) => bytes(8_000_000 + seed, seed));
    const results = await Promise.all(
      inputs.map((stdin) =>
        connection.exec("sleep 0.2; cat", {
          stdin,
          encoding: "bytes",
          timeoutMs: 60_000,
        })
      ),
    );
    for (const [i, { stdout }] of results.entries()) {
      assertSame(stdout, inputs[i]!);
    }
  },
);

function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  assertEquals(expected.findIndex((byte, at) => byte !== actual[at]), -1);
}

/** Answers with what it gets, once it has got all. */
async function echoServer(): Promise<AsyncDisposable & { port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const pieces: Uint8Array[] = [];
    socket.on("data", (piece) => pieces.push(piece as Buffer));
    socket.on("end", () => socket.end(joinBytes(pieces)));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      await once(server.close(), "close");
    },
  };
}

sshdTest(
  "what is read over ssh stays as it came, whoever reads it and however late",
  async ({ connect }, sshd) => {
    await using connection = await connect(sshd.host());
    const [size, timeoutMs] = [300_000, 60_000];
    const of = (seed: number) => bytes(size + seed, seed);
    const file = join(sshd.dir, "large");
    await Deno.writeFile(file, of(1));
    await using server = await echoServer();
    // Nobody reads it until all else has gone over the same socket.
    await using early = await connection.spawn("cat", { stdin: of(2) });
    const pieces: Uint8Array[] = [];
    const seen = connection.exec("cat; echo words >&2", {
      stdin: of(3),
      encoding: "bytes",
      onStdout: (chunk) => void pieces.push(chunk),
      timeoutMs,
    });
    const tunnel = await connection.forwardOut!({
      hostname: "127.0.0.1",
      port: server.port,
    });
    const writer = tunnel.writable.getWriter();
    await writer.write(of(4));
    await writer.close();
    await using sftp = await connection.sftp!();
    const read = sftp.readFile(file);
    const { stdout, stderr } = await seen;
    const noise = await connection.exec("cat", {
      stdin: of(5),
      encoding: "bytes",
      timeoutMs,
    });
    assertSame(await read, of(1));
    assertSame(await collectBytes(early.stdout), of(2));
    assertSame(stdout, of(3));
    assertEquals(new TextDecoder().decode(stderr), "words\n");
    assertSame(
      await new Blob(pieces as Uint8Array<ArrayBuffer>[]).bytes(),
      of(3),
    );
    assertSame(await collectBytes(tunnel.readable), of(4));
    assertSame(noise.stdout, of(5));
    await tunnel.closed;
  },
);
