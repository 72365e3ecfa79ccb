// What one output of a process keeps of the packets that it comes in.

import { assertEquals } from "@std/assert";
import { OutputStream } from "../../../transport/session/_output_stream.ts";

const NOBODY = { onRoom() {}, onCancelled() {} };

Deno.test("OutputStream keeps the bytes of a chunk, and not the packet that they are a part of", async () => {
  const output = new OutputStream(NOBODY, 1_000);
  const packet = new Uint8Array(1_000_000).fill(1);
  output.push(packet.subarray(500, 505));
  // The memory of the packet may be used again.
  packet.fill(2);
  output.end();
  const chunks = await Array.fromAsync(output.stream);
  assertEquals(chunks, [new Uint8Array([1, 1, 1, 1, 1])]);
  assertEquals(chunks.map(({ buffer }) => buffer.byteLength), [5]);
});

Deno.test("OutputStream asks for a pause when 256 KiB are unread, and says when there is room", async () => {
  let rooms = 0;
  const output = new OutputStream({ ...NOBODY, onRoom: () => rooms++ }, 1_000);
  await Promise.resolve();
  const before = rooms;
  const chunk = new Uint8Array(64 * 1024);
  assertEquals([1, 2, 3, 4].map(() => output.push(chunk)), [
    true,
    true,
    true,
    false,
  ]);
  assertEquals([output.isFull, rooms], [true, before]);
  const reader = output.stream.getReader();
  await reader.read();
  await Promise.resolve();
  assertEquals([output.isFull, rooms > before], [false, true]);
  await reader.cancel();
});

Deno.test("OutputStream that drops what nobody reads says how much is missing, at its end", async () => {
  const output = new OutputStream(NOBODY, 1_000);
  const chunk = new Uint8Array(256 * 1024);
  assertEquals(output.push(chunk), false);
  output.dropUnread();
  assertEquals(output.push(chunk), true);
  output.end();
  const reader = output.stream.getReader();
  assertEquals((await reader.read()).value?.length, chunk.length);
  const error = await reader.read().then(() => undefined, (error) => error);
  assertEquals(error.message.includes("262144 bytes came after kill()"), true);
});
