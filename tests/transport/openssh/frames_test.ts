import { assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { frameOf, FrameSplitter } from "../../../transport/openssh/_frames.ts";

const frames = ["", "a", "bb", "c".repeat(300), "", "d"];
const bytes = Buffer.concat(frames.map((text) => frameOf(Buffer.from(text))));

for (const size of [1, 2, 3, 4, 5, 7, 64, bytes.length]) {
  Deno.test(`FrameSplitter gives the same frames from chunks of ${size} bytes`, () => {
    const splitter = new FrameSplitter();
    const found: string[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      splitter.push(
        bytes.subarray(at, at + size),
        (frame) => found.push(frame.toString()),
      );
    }
    assertEquals(found, frames);
  });
}

Deno.test("FrameSplitter refuses a frame that no ssh sends", () => {
  const chunk = Buffer.from([0xff, 0xff, 0xff, 0xff]);
  assertThrows(
    () => new FrameSplitter().push(chunk, () => {}),
    Error,
    "ssh sent a frame of 4294967295 bytes",
  );
});

Deno.test("frameOf() writes numbers, texts with their length, and bytes as they are", () => {
  assertEquals(
    [...frameOf(2 ** 32 - 2, "é", Buffer.from([7]))],
    [0, 0, 0, 11, 255, 255, 255, 254, 0, 0, 0, 2, 0xc3, 0xa9, 7],
  );
});

for (const size of [5, 6, 7, 64, 100, 299, bytes.length]) {
  Deno.test(`FrameSplitter gives frames that lie in two chunks of ${size} bytes in pieces, to who takes them`, () => {
    const splitter = new FrameSplitter();
    const found: string[] = [];
    let missing = 0;
    const more = (part: { toString(): string; readonly length: number }) => {
      assertEquals(found.length > 0 && part.length <= missing, true);
      missing -= part.length;
      found.push(`${found.pop()}${part}`);
    };
    for (let at = 0; at < bytes.length; at += size) {
      const onFrame = (frame: { toString(): string }) => {
        assertEquals(missing, 0);
        found.push(frame.toString());
      };
      splitter.push(bytes.subarray(at, at + size), onFrame, {
        begin: (head, rest) => {
          if (head.length > 1) return false;
          [missing] = [rest, found.push(head.toString())];
          return true;
        },
        more,
      });
    }
    assertEquals([found, missing], [frames, 0]);
  });
}
