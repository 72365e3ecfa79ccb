import { assertEquals, assertThrows } from "@std/assert";
import {
  decodeFileName,
  encodeFileName,
  isUnicodeFileName,
} from "../../../transport/sftp/names.ts";
import { Random } from "../../kit/random.ts";

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

Deno.test("encodeFileName() gives back any bytes that decodeFileName() took", () => {
  const random = new Random(7);
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from(
      { length: random.below(12) },
      () => random.below(256),
    );
    assertEquals(encodeFileName(decodeFileName(bytes)), bytes);
  }
});

Deno.test("encodeFileName() throws for a surrogate that stands for no byte", () => {
  assertThrows(() => encodeFileName("a\ud800"), TypeError, "U+D800");
});
