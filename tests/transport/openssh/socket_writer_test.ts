// What is written to the socket of `ssh`: in order, and one write at a time.

import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { SocketWriter } from "../../../transport/openssh/_socket_writer.ts";

const LARGE = 32 * 1024;

/** A writer, and what its socket was given: the mark of each packet, in turn. */
function setUp() {
  const written: number[][] = [];
  const sizes = new Map<number, number>();
  let finish: (() => void) | undefined;
  let drains = 0;
  const socket = {
    write(bytes: Uint8Array, done: () => void): void {
      assertEquals(finish, undefined, "two writes at a time");
      const marks: number[] = [];
      for (let at = 0; at < bytes.length; at += sizes.get(bytes[at]!)!) {
        marks.push(bytes[at]!);
      }
      written.push(marks);
      finish = done;
    },
  };
  const writer = new SocketWriter(
    socket as unknown as Socket,
    () => void drains++,
  );
  const send = (mark: number, size: number) => {
    const packet = writer.alloc(size);
    packet.fill(mark);
    sizes.set(mark, size);
    writer.send(packet);
  };
  return {
    writer,
    written,
    small: (mark: number) => send(mark, 10),
    large: (mark: number) => send(mark, LARGE),
    drains: () => drains,
    /** Has the system take what it was given. */
    finish() {
      const done = finish;
      finish = undefined;
      done?.();
    },
  };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("SocketWriter writes small and large packets in the order in which they were sent", async () => {
  const { written, small, large, finish } = setUp();
  small(1);
  large(2);
  large(3);
  small(4);
  large(5);
  small(6);
  for (let i = 0; i < 5; i++) {
    await turn();
    finish();
  }
  assertEquals(written, [[1], [2, 3], [4], [5], [6]]);
});

Deno.test("SocketWriter writes when the last write is done, and joins what is small", async () => {
  const { writer, written, small, large, finish, drains } = setUp();
  large(1);
  await turn();
  for (const mark of [2, 3]) {
    small(mark);
    await turn();
  }
  large(4);
  await turn();
  assertEquals(written, [[1]]);
  assertEquals(writer.unsentBytes, 2 * LARGE + 20);
  finish();
  assertEquals([written.at(-1), drains()], [[2, 3], 0]);
  finish();
  assertEquals([written.at(-1), drains()], [[4], 0]);
  finish();
  assertEquals([writer.unsentBytes, drains()], [0, 1]);
});

Deno.test("SocketWriter writes nothing more once it was told to drop it", async () => {
  const { writer, written, small, large, finish } = setUp();
  large(1);
  await turn();
  large(2);
  small(3);
  writer.drop();
  await turn();
  finish();
  assertEquals(written, [[1]]);
});

Deno.test("SocketWriter gives memory for a packet that is larger than any of SSH", () => {
  const { writer } = setUp();
  assertEquals(writer.alloc(1024 * 1024).length, 1024 * 1024);
  assertEquals(writer.alloc(1) instanceof Buffer, true);
});
