// Large packets over `ssh`: they are laid end to end, and their memory is used
// again once they are written, and not before.

import { assertEquals } from "@std/assert";
import { PacketMemory } from "../../../transport/openssh/_packet_memory.ts";

const SIZE = 32 * 1024 + 14;

/** A memory, and what it has written: the first byte of each packet. */
function setUp() {
  const writes: { packets: number[]; done: () => void }[] = [];
  const memory = new PacketMemory((bytes, done) => {
    const packets: number[] = [];
    for (let at = 0; at < bytes.length; at += SIZE) packets.push(bytes[at]!);
    writes.push({ packets, done });
  });
  const take = (mark: number) => {
    const packet = memory.take(SIZE)!;
    packet.fill(mark);
    return packet;
  };
  return { memory, take, writes, send: (n: number) => memory.send(take(n)) };
}

Deno.test("PacketMemory writes in one piece what is sent in one turn, in order", async () => {
  const { memory, send, writes } = setUp();
  send(1);
  send(2);
  send(3);
  assertEquals([memory.bytes, writes.length], [3 * SIZE, 0]);
  await Promise.resolve();
  assertEquals([memory.bytes, writes[0]!.packets], [0, [1, 2, 3]]);
  send(4);
  memory.flush();
  memory.flush();
  await Promise.resolve();
  assertEquals(writes.map(({ packets }) => packets), [[1, 2, 3], [4]]);
});

Deno.test("PacketMemory keeps the order where packets do not follow one another", async () => {
  const { memory, take, writes } = setUp();
  const [a, b, c] = [take(1), take(2), take(3)];
  memory.send(b);
  memory.send(a);
  memory.send(c);
  await Promise.resolve();
  assertEquals(writes.map(({ packets }) => packets), [[2], [1], [3]]);
});

Deno.test("PacketMemory uses memory again when all of it is written, and not before", async () => {
  const { memory, send, take, writes } = setUp();
  // Two pieces of memory, and a packet of the next.
  for (let i = 0; i < 17; i++) send(i);
  await Promise.resolve();
  assertEquals(writes.map(({ packets }) => packets.length), [8, 8, 1]);
  const before = take(20);
  writes[1]!.done();
  writes[0]!.done();
  // What is begun goes on; then those that were written.
  const used = new Set<unknown>();
  for (let i = 0; i < 6 + 16; i++) used.add(take(30 + i).buffer);
  assertEquals(used.has(before.buffer), true);
  assertEquals(used.size, 3);
  assertEquals(before[0], 20);
  assertEquals(memory.owns(before), true);
});

Deno.test("PacketMemory keeps no more memory for later than a server takes at once", async () => {
  const { memory, take, writes } = setUp();
  /** The memory of so many packets as fill twenty pieces. */
  const fill = () =>
    new Set(Array.from({ length: 160 }, () => {
      const packet = take(0);
      memory.send(packet);
      return packet.buffer;
    }));
  const first = fill();
  await Promise.resolve();
  for (const { done } of writes) done();
  const again = [...fill()].filter((it) => first.has(it));
  // And the piece that was begun last.
  assertEquals([first.size, again.length], [20, 9]);
});

Deno.test("PacketMemory does not write over a packet that is being written", async () => {
  const { send, take, writes } = setUp();
  send(1);
  await Promise.resolve();
  send(2);
  writes[0]!.done();
  // The second one is not written, so that the memory of both is in use.
  const packets = Array.from({ length: 30 }, (_, i) => take(100 + i));
  await Promise.resolve();
  assertEquals(writes[1]!.packets, [2]);
  assertEquals(packets.map(([mark]) => mark! - 100), [...packets.keys()]);
});

Deno.test("PacketMemory has none for what is larger than it, and forgets what is dropped", async () => {
  const { memory, send, writes } = setUp();
  assertEquals(memory.take(1024 * 1024), undefined);
  send(1);
  memory.drop();
  await Promise.resolve();
  assertEquals([memory.bytes, writes.length], [0, 0]);
});
