/** A local file in pieces, in memory that is used again. */

import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import type { FileHandle } from "node:fs/promises";
import { PacketBuffers } from "../../../../transport/sftp/splitter.ts";
import { readLocal } from "../../../../transport/sftp/transfer/_local.ts";

const UNIT = 255 * 1024;

/** A file whose unit `n` is bytes of value `n`, of which a read gives so much. */
function fileOf(units: number, mostRead = Infinity) {
  const memory = new Set<ArrayBufferLike>();
  const read = (
    into: Uint8Array,
    at: number,
    length: number,
    offset: number,
  ) => {
    memory.add(into.buffer);
    const left = units * UNIT - offset;
    const bytesRead = Math.max(0, Math.min(length, mostRead, left));
    for (let from = 0; from < bytesRead;) {
      const value = Math.floor((offset + from) / UNIT);
      const to = Math.min(bytesRead, (value + 1) * UNIT - offset);
      into.fill(value, at + from, at + to);
      from = to;
    }
    return Promise.resolve({ bytesRead, buffer: into });
  };
  return { file: { read } as unknown as FileHandle, memory };
}

const isUnit = (piece: Uint8Array, value: number) =>
  Buffer.compare(piece, Buffer.alloc(UNIT, value)) === 0;

Deno.test("readLocal() reads into the memory of pieces once all of its read are back", async () => {
  const { file, memory: used } = fileOf(100);
  const memory = new PacketBuffers();
  memory.enter();
  const range = { start: 0, end: 100 * UNIT, unitBytes: UNIT, memory };
  const out: { piece: Uint8Array; value: number }[] = [];
  let value = 0;
  for await (const piece of readLocal(file, "f", range)) {
    out.push({ piece, value: value++ });
    // The server has five at once, and answers in another order.
    if (out.length < 6) continue;
    for (const it of out) assertEquals(isUnit(it.piece, it.value), true);
    const [answered] = out.splice(value % out.length, 1);
    memory.giveBack(answered!.piece);
  }
  assertEquals(value, 100);
  // 25 reads of four.
  assertEquals(used.size < 12, true, `${used.size} buffers`);
  memory.leave();
});

Deno.test("readLocal() uses memory again also where reads are short", async () => {
  const { file, memory: used } = fileOf(40, UNIT / 2);
  const memory = new PacketBuffers();
  memory.enter();
  const range = { start: 0, end: 40 * UNIT, unitBytes: UNIT, memory };
  let bytes = 0;
  for await (const piece of readLocal(file, "f", range)) {
    bytes += piece.length;
    memory.giveBack(piece);
  }
  assertEquals(bytes, 40 * UNIT);
  assertEquals(used.size <= 3, true, `${used.size} buffers`);
  memory.leave();
});
