import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { createCipheriv, randomBytes } from "node:crypto";
import { ChaCha20 } from "../../../../transport/ssh2/cipher/_chacha20.ts";

/** What node:crypto makes of it. */
function expected(
  key: Uint8Array,
  packet: number,
  block: number,
  data: Uint8Array,
): Uint8Array {
  const iv = Buffer.alloc(16);
  iv.writeUInt32LE(block, 0);
  iv.writeUInt32BE(packet, 12);
  const cipher = createCipheriv("chacha20", key, iv);
  const result = new Uint8Array(cipher.update(data));
  cipher.final();
  return result;
}

Deno.test("ChaCha20 has the key stream of RFC 7539's first test vector", () => {
  const out = new Uint8Array(64);
  new ChaCha20(new Uint8Array(32)).copy(0, 0, out);
  assertEquals(
    Buffer.from(out).toString("hex"),
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7" +
      "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
  );
});

Deno.test("ChaCha20.xor() agrees with node:crypto for every size, packet and block", () => {
  assert(ChaCha20.isUsable);
  for (let size = 0; size <= 600; size++) {
    const key = new Uint8Array(randomBytes(32));
    const packet = randomBytes(4).readUInt32BE();
    const block = size % 3;
    const data = new Uint8Array(randomBytes(size));
    const out = new Uint8Array(size);
    new ChaCha20(key).xor(packet, block, data, out);
    assertEquals(out, expected(key, packet, block, data), `size ${size}`);
  }
});

Deno.test("ChaCha20 keeps nothing of one packet for the next", () => {
  const key = new Uint8Array(randomBytes(32));
  const cipher = new ChaCha20(key);
  const data = new Uint8Array(100);
  const out = new Uint8Array(100);
  for (const packet of [0, 1, 0xffffffff, 0x80000000, 7, 0]) {
    cipher.xor(packet, 1, data, out);
    assertEquals(out, expected(key, packet, 1, data));
  }
});
