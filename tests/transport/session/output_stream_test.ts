// What one output of a process keeps of the packets that it comes in.

import { assert, assertEquals } from "@std/assert";
import { mock } from "node:test";
import { joinBytes } from "../../../transport/bytes.ts";
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

Deno.test("OutputStream that may drop keeps all for a reader that is slow, and not for one that has stopped", async () => {
  mock.timers.enable({ apis: ["setTimeout"] } as never);
  try {
    const output = new OutputStream(NOBODY, 1_000);
    const reader = output.stream.getReader();
    // A window is under way when it becomes full.
    const chunk = new Uint8Array(32 * 1024);
    for (let i = 0; i < 64; i++) output.push(chunk);
    output.dropUnread();
    for (let i = 0; i < 40; i++) {
      mock.timers.tick(600);
      await reader.read();
      output.push(chunk);
    }
    assertEquals(output.isFull, true);
    mock.timers.tick(2_000);
    // From here on it drops, and asks for more.
    assertEquals(output.push(chunk), true);
    output.end();
    let [bytes, error] = [40 * chunk.length, undefined as Error | undefined];
    while (error === undefined) {
      await reader.read().then(
        ({ value }) => void (bytes += value!.length),
        (reason) => void (error = reason),
      );
    }
    assertEquals(bytes, (64 + 40) * chunk.length);
    assertEquals(error.message.includes(" 32768 bytes came"), true);
  } finally {
    mock.timers.reset();
  }
});

Deno.test("OutputStream leaves no timer when it ends while its reader has stopped", async () => {
  for (const end of ["end", "fail", "cancel"] as const) {
    const output = new OutputStream(NOBODY, 60_000);
    const reader = output.stream.getReader();
    reader.closed.catch(() => {});
    output.push(new Uint8Array(256 * 1024));
    output.dropUnread();
    if (end === "cancel") await reader.cancel();
    else output[end](new Error("over"));
  }
});

/** The numbers from 0 on, each as a byte. */
const counted = (length: number) =>
  Uint8Array.from({ length }, (_, index) => index % 251);

/** Gives it byte by byte. */
function pushAll(output: OutputStream, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) output.push(bytes.subarray(i, i + 1));
}

for (const when of ["before", "after"] as const) {
  Deno.test(`OutputStream keeps bytes that come one by one together, ${when} somebody asks for it`, async () => {
    const output = new OutputStream(NOBODY, 1_000);
    const all = counted(300_000);
    if (when === "after") void output.stream;
    pushAll(output, all);
    assertEquals(output.isFull, true);
    // A large one does not overtake them.
    output.push(all);
    output.end();
    const chunks = await Array.fromAsync(output.stream);
    assertEquals(joinBytes(chunks), joinBytes([all, all]));
    assert(chunks.length < 100, `${chunks.length} chunks`);
  });
}

Deno.test("OutputStream gives each byte at once to a reader that waits for it", async () => {
  const output = new OutputStream(NOBODY, 1_000);
  const reader = output.stream.getReader();
  for (const byte of counted(300)) {
    const read = reader.read();
    output.push(Uint8Array.of(byte));
    assertEquals((await read).value, Uint8Array.of(byte));
  }
  // And a few that waited, to one that comes late.
  pushAll(output, counted(3));
  const late = [await reader.read(), await reader.read()];
  assertEquals(joinBytes(late.map(({ value }) => value!)), counted(3));
  assertEquals(output.isFull, false);
  output.end();
  assertEquals((await reader.read()).done, true);
});

Deno.test("OutputStream gives a sink the bytes that came one by one before it", () => {
  const output = new OutputStream(NOBODY, 1_000);
  pushAll(output, counted(1000));
  const taken: Uint8Array[] = [];
  output.pourInto((chunk) => taken.push(chunk) > 0);
  assertEquals(joinBytes(taken), counted(1000));
});

Deno.test("OutputStream that fails at its end gives all bytes that came one by one first", async () => {
  const output = new OutputStream(NOBODY, 1_000);
  const reader = output.stream.getReader();
  pushAll(output, counted(10_000));
  output.end(new Error("exit 3"));
  let bytes = 0;
  const error = await (async () => {
    for (;;) bytes += (await reader.read()).value!.length;
  })().catch((error) => error);
  assertEquals([bytes, error.message], [10_000, "exit 3"]);
});
