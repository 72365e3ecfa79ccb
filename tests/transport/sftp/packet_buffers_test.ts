/** Memory of large packets, which is used again. */

import { assertEquals } from "@std/assert";
import { PacketBuffers } from "../../../transport/sftp/splitter.ts";

const LARGE = 100_000;

Deno.test("PacketBuffers gives memory again once all parts of it are back, and no earlier", () => {
  const buffers = new PacketBuffers();
  buffers.enter();
  const whole = buffers.take(3 * LARGE, 3);
  const parts = [0, 1, 2].map((i) =>
    whole.subarray(i * LARGE, (i + 1) * LARGE)
  );
  buffers.giveBack(parts[2]!);
  buffers.giveBack(parts[0]!);
  const other = buffers.take(LARGE);
  assertEquals(other.buffer === whole.buffer, false);
  buffers.giveBack(parts[1]!);
  const again = buffers.take(LARGE);
  assertEquals(again.buffer === whole.buffer, true);
  // Once more than there were parts: it is somebody else's now.
  buffers.giveBack(again);
  buffers.giveBack(parts[0]!);
  const [a, b] = [buffers.take(LARGE), buffers.take(LARGE)];
  assertEquals(a.buffer === whole.buffer, true);
  assertEquals(b.buffer === whole.buffer, false);
  buffers.leave();
});

Deno.test("PacketBuffers keeps nothing once nobody gives back, nor what is small", () => {
  const buffers = new PacketBuffers();
  const alone = buffers.take(LARGE);
  buffers.giveBack(alone);
  buffers.enter();
  assertEquals(buffers.take(LARGE).buffer === alone.buffer, false);
  const small = buffers.take(1_000);
  buffers.giveBack(small);
  assertEquals(buffers.take(1_000).buffer === small.buffer, false);
  const late = buffers.take(LARGE);
  buffers.leave();
  buffers.giveBack(late);
  buffers.enter();
  assertEquals(buffers.take(LARGE).buffer === late.buffer, false);
  buffers.leave();
});
