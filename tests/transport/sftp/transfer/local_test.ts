/** A local file in pieces, in memory that is used again. */

import { assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import type { FileHandle } from "node:fs/promises";
import { PacketBuffers } from "../../../../transport/sftp/splitter.ts";
import {
  readLocal,
  writeLocal,
} from "../../../../transport/sftp/transfer/_local.ts";
import { mapSome } from "../../../../transport/sftp/transfer/_plan.ts";

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

Deno.test("writeLocal() writes all, also where the system takes less at a time", async () => {
  const written: [number, number][] = [];
  const file = {
    write: (data: Uint8Array, at: number, length: number, offset: number) => {
      const bytesWritten = Math.min(length, 3);
      for (const byte of data.subarray(at, at + bytesWritten)) {
        written.push([offset++, byte]);
      }
      return Promise.resolve({ bytesWritten });
    },
  };
  const data = Uint8Array.of(5, 6, 7, 8, 9, 10, 11);
  await writeLocal(file as unknown as FileHandle, data, 100, "f");
  assertEquals(written, [...data].map((byte, i) => [100 + i, byte]));
});

Deno.test("mapSome() begins nothing more once one has failed, and waits for what runs", async () => {
  const begun: number[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const mapping = mapSome([1, 2, 3, 4], 2, async (value) => {
    begun.push(value);
    if (value === 1) throw new Error("no");
    await promise;
    begun.push(-value);
  });
  setTimeout(resolve, 0);
  await assertRejects(() => mapping, Error, "no");
  assertEquals(begun, [1, 2, -2]);
});
