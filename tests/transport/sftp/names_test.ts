import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  decodeFileName,
  encodeFileName,
  encodeText,
  isUnicodeFileName,
} from "../../../transport/sftp/names.ts";
import { slowdown } from "../../kit/linear.ts";
import { withSeed } from "../../kit/random.ts";

Deno.test("decodeFileName() keeps names that are UTF-8 as they are", () => {
  for (const name of ["plain", "naïve", "日本", "\u{1f600}", "\ufeffbom", ""]) {
    const bytes = new TextEncoder().encode(name);
    assertEquals(decodeFileName(bytes), name);
    assertEquals(encodeFileName(name), bytes);
    assertEquals(isUnicodeFileName(name), true);
  }
});

Deno.test("decodeFileName() keeps each byte that is not UTF-8 as a lone surrogate", () => {
  const bytes = new Uint8Array([
    0x61,
    0xff,
    0xc3,
    0xa9,
    0xc3,
    0x62,
    0xed,
    0xa0,
    0x80,
  ]);
  const name = decodeFileName(bytes);
  assertEquals(name, "a\udcffé\udcc3b\udced\udca0\udc80");
  assertEquals(encodeFileName(name), bytes);
  assertEquals(isUnicodeFileName(name), false);
});

Deno.test("encodeText() keeps the bytes of a file name next to half of a character", () => {
  assertEquals(
    encodeText("\udce9 \ud800 \udfff \u{1f600}"),
    Uint8Array.of(
      0xe9,
      ...new TextEncoder().encode(" \ufffd \ufffd \u{1f600}"),
    ),
  );
});

Deno.test("encodeFileName() gives back any bytes that decodeFileName() took", () =>
  withSeed((random) => {
    for (let round = 0; round < 2000; round++) {
      const bytes = Uint8Array.from(
        { length: random.below(12) },
        () => random.below(256),
      );
      assertEquals(encodeFileName(decodeFileName(bytes)), bytes);
    }
  }));

Deno.test("encodeFileName() throws for a surrogate that stands for no byte", () => {
  assertThrows(() => encodeFileName("a\ud800"), TypeError, "U+D800");
});

Deno.test("decodeFileName() takes what is UTF-8 exactly where a strict decoder does", () =>
  withSeed((random) => {
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const edges = [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2];
    const leads = [0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff];
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from(
        { length: 1 + random.below(6) },
        () => random.pick([...edges, ...leads, 0x61]),
      );
      const name = decodeFileName(bytes);
      assertEquals(encodeFileName(name), bytes);
      let text: string | undefined;
      try {
        text = strict.decode(bytes);
      } catch {
        // It has bytes that are not UTF-8.
      }
      assertEquals(isUnicodeFileName(name), text !== undefined, `${bytes}`);
      if (text !== undefined) assertEquals(name, text);
    }
  }));

Deno.test("decodeFileName() and encodeFileName() take time in proportion to the length of a name", () => {
  // Bytes that are UTF-8 and bytes that are not, in turn.
  const make = (length: number) =>
    Uint8Array.from({ length }, (_, index) => index % 2 ? 0xff : 0x61);
  const ratio = slowdown(
    (bytes) => {
      assertEquals(encodeFileName(decodeFileName(bytes)).length, bytes.length);
    },
    [make(20_000), make(1_000_000)],
    50,
  );
  // With the square of the length it would be 50.
  assert(ratio < 10, `${ratio}`);
});
