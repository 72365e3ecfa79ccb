// What is written in one turn of the event loop goes out in one piece.

import { assertEquals } from "@std/assert";
import { setImmediate } from "node:timers";
import type { Tunnel } from "../../../transport/connector.ts";
import { Outbox } from "../../../transport/channels/outbox.ts";
import { Ssh2Connector } from "../../../transport/ssh2/mod.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { resolved } from "../contract/_contract.ts";

/** An outbox, and what it has written. */
function outbox() {
  const written: string[] = [];
  const decoder = new TextDecoder();
  const box = new Outbox((bytes) => void written.push(decoder.decode(bytes)));
  const push = (text: string) => box.push(new TextEncoder().encode(text));
  return { box, push, written };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

Deno.test("Outbox writes in one piece, and in order, what one turn gives it, also after promises", async () => {
  const { box, push, written } = outbox();
  push("a");
  await Promise.resolve().then(() => {}).then(() => push("b"));
  push("c");
  assertEquals([box.bytes, written], [3, []]);
  await turn();
  assertEquals([box.bytes, written], [0, ["abc"]]);
  push("d");
  await turn();
  assertEquals(written, ["abc", "d"]);
});

Deno.test("Outbox holds little: what is large goes at once, behind what is held", async () => {
  const { box, push, written } = outbox();
  push("a");
  push("b".repeat(16 * 1024));
  assertEquals(written.map(({ length }) => length), [16 * 1024 + 1]);
  assertEquals([box.bytes, written[0]!.slice(0, 2)], [0, "ab"]);
  await turn();
  assertEquals(written.length, 1);
});

Deno.test("Outbox.flush() writes at once, and once", async () => {
  const { box, push, written } = outbox();
  box.flush();
  assertEquals(written, []);
  push("a");
  box.flush();
  assertEquals(written, ["a"]);
  await turn();
  assertEquals(written, ["a"]);
});

Deno.test("Outbox.drop() forgets what is held", async () => {
  const { box, push, written } = outbox();
  push("a");
  box.drop();
  assertEquals(box.bytes, 0);
  push("b");
  await turn();
  assertEquals(written, ["b"]);
});

/** A tunnel to an address, and how many pieces were written to it. */
async function countingTunnel(port: number) {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const count = { writes: 0 };
  const counting = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      count.writes++;
      controller.enqueue(chunk);
    },
  });
  const piped = counting.readable.pipeTo(socket.writable).catch(() => {});
  const tunnel: Tunnel = {
    readable: socket.readable,
    writable: counting.writable,
    closed: piped,
    close: () => {
      try {
        socket.close();
      } catch {
        // It is closed already.
      }
    },
  };
  return { count, tunnel, piped };
}

Deno.test("Connection asks for many channels in one write, and for what runs on them in few", async () => {
  await using server = await EmbeddedServer.start();
  const host = resolved(server.host());
  const { count, tunnel, piped } = await countingTunnel(host.port);
  const connection = await new Ssh2Connector().connect(host, { tunnel });
  await connection.exec("true");
  count.writes = 0;
  const MANY = 50;
  const results = await Promise.all(
    Array.from({ length: MANY }, (_, i) => connection.exec(`echo ${i}`)),
  );
  assertEquals(results.map(({ stdout }) => stdout.trim()), [
    ...Array.from({ length: MANY }, (_, i) => `${i}`),
  ]);
  // Each has an OPEN, a request and a CLOSE: 150 messages at least.
  assertEquals(count.writes < MANY, true, `${count.writes} writes`);
  await connection.close();
  await piped;
});
