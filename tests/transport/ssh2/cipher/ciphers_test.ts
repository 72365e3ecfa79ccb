import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { createDecipheriv, randomBytes } from "node:crypto";
import createPoly1305 from "ssh2/lib/protocol/crypto/poly1305.js";
import crypto from "ssh2/lib/protocol/crypto.js";
import {
  endCiphers,
  prepareCiphers,
} from "../../../../transport/ssh2/cipher/ciphers.ts";
import type { RawPoly1305 } from "../../../../transport/ssh2/fence/internals.ts";
import { Poly1305 } from "../../../../transport/ssh2/cipher/_poly1305.ts";

/** The MAC as ssh2 itself computes it. */
function reference(
  module: Cwrap,
  ...[length, data, key]: [Uint8Array, Uint8Array, Uint8Array]
): Uint8Array {
  const auth = module.cwrap("poly1305_auth", null, [
    ...["number", "array", "number", "array", "number", "array"],
  ]);
  const mac = module._malloc(16);
  auth(mac, length, length.length, data, data.length, key);
  return module.HEAPU8.slice(mac, mac + 16);
}

interface Cwrap extends RawPoly1305 {
  cwrap(
    name: string,
    result: null,
    types: string[],
  ): (...args: unknown[]) => void;
}

// First of all in this process: later there is nothing left to load.
Deno.test("prepareCiphers() can be called again after it failed", async () => {
  const { instantiate } = WebAssembly;
  const failing = () => Promise.reject(new Error("no memory"));
  WebAssembly.instantiate = failing as unknown as typeof instantiate;
  try {
    await assertRejects(() => prepareCiphers());
  } finally {
    WebAssembly.instantiate = instantiate;
  }
  await prepareCiphers();
});

Deno.test("Poly1305.mac() keeps to its own memory for packets of any size", async () => {
  const module = await createPoly1305() as Cwrap;
  const poly1305 = new Poly1305(module);
  // Right behind its buffers, where a packet that is too large would end.
  const neighbour = module._malloc(300_000);
  module.HEAPU8.fill(7, neighbour, neighbour + 300_000);
  const other = await createPoly1305() as Cwrap;
  for (const size of [8, 512, 35_000, 36 * 1024, 40_000, 100_000, 262_144, 8]) {
    const length = new Uint8Array(randomBytes(4));
    const data = new Uint8Array(randomBytes(size));
    const key = new Uint8Array(randomBytes(32));
    assertEquals(
      poly1305.mac(length, data, key).slice(),
      reference(other, length, data, key),
      `${size} bytes`,
    );
  }
  const kept = module.HEAPU8.subarray(neighbour, neighbour + 300_000);
  assertEquals(kept.every((byte) => byte === 7), true);
});

Deno.test("endCiphers() gives each packet of ChaCha20 a number of its own, even if one is sent while another is", async () => {
  await prepareCiphers();
  const sent: Buffer[] = [];
  let again: (() => void) | undefined;
  const { CIPHER_INFO, createCipher } = crypto as unknown as {
    CIPHER_INFO: Record<string, unknown>;
    createCipher(config: unknown): TestCipher;
  };
  const protocol = { _cipher: undefined as TestCipher | undefined };
  endCiphers(protocol);
  protocol._cipher = createCipher({
    outbound: {
      onWrite(data: Buffer) {
        sent.push(Buffer.from(data));
        const send = again;
        again = undefined;
        send?.();
      },
      seqno: 5,
      cipherInfo: CIPHER_INFO["chacha20-poly1305@openssh.com"],
      cipherKey: Buffer.alloc(64, 1),
    },
  });
  const cipher = protocol._cipher;
  const packet = () => Buffer.from(cipher.allocPacket(0).fill(0, 5));
  again = () => cipher.encrypt(packet());
  cipher.encrypt(packet());
  assertEquals(sent.length, 2);
  assertEquals(cipher.outSeqno, 7);
  // The same text: equal only if the same number was used twice.
  assertEquals(sent[0]!.equals(sent[1]!), false);
});

interface TestCipher {
  outSeqno: number;
  allocPacket(length: number): Buffer;
  encrypt(packet: Buffer): void;
}

interface TestDecipher {
  decrypt(data: Buffer, position: number, length: number): unknown;
}

const INFO = (crypto as unknown as {
  CIPHER_INFO: Record<string, unknown>;
}).CIPHER_INFO["chacha20-poly1305@openssh.com"];

const KEY = Buffer.alloc(64, 1);

/** A cipher, and what it sends. */
function sealing(): { cipher: TestCipher; sent: Buffer[] } {
  const sent: Buffer[] = [];
  const { createCipher } = crypto as unknown as {
    createCipher(config: unknown): TestCipher;
  };
  const protocol = { _cipher: undefined as TestCipher | undefined };
  endCiphers(protocol);
  const onWrite = (data: Buffer) => void sent.push(Buffer.from(data));
  protocol._cipher = createCipher({
    outbound: { cipherInfo: INFO, seqno: 5, onWrite, cipherKey: KEY },
  });
  return { cipher: protocol._cipher, sent };
}

/** The same for what is received, and its payloads. */
function opening(): { decipher: TestDecipher; got: Buffer[] } {
  const got: Buffer[] = [];
  const { createDecipher } = crypto as unknown as {
    createDecipher(config: unknown): TestDecipher;
  };
  const protocol = { _decipher: undefined as TestDecipher | undefined };
  endCiphers(protocol);
  const onPayload = (data: Buffer) => void got.push(Buffer.from(data));
  protocol._decipher = createDecipher({
    inbound: { decipherInfo: INFO, seqno: 5, onPayload, decipherKey: KEY },
  });
  return { decipher: protocol._decipher, got };
}

/** Below and above the size from which node:crypto computes. */
const SIZES = [0, 1, 2, 3, 4, 5, 6, 7, 100, 490, 500, 507, 520, 32_768];

Deno.test("ChaCha20 packets of any size are opened as they were sealed", async () => {
  await prepareCiphers();
  const { cipher, sent } = sealing();
  const { decipher, got } = opening();
  const payloads = SIZES.map((size) => randomBytes(size));
  for (const payload of payloads) {
    const packet = cipher.allocPacket(payload.length);
    packet.set(payload, 5);
    cipher.encrypt(packet);
  }
  const all = Buffer.concat(sent);
  decipher.decrypt(all, 0, all.length);
  const hex = (it: Uint8Array) => Buffer.from(it).toString("hex");
  assertEquals(got.map(hex), payloads.map(hex));
  // The first, which is small, as the definition has it.
  const [first = Buffer.alloc(0)] = sent;
  const nonce = Buffer.from([1, 0, 0, 0, ...Array(11).fill(0), 5]);
  const plain = createDecipheriv("chacha20", KEY.subarray(0, 32), nonce);
  const content = plain.update(first.subarray(4, -16));
  plain.final();
  assertEquals([content[0]! >= 4, content.length % 8], [true, 0]);
});

Deno.test("a ChaCha20 packet of which any byte was changed is refused", async () => {
  await prepareCiphers();
  const { cipher, sent } = sealing();
  cipher.encrypt(cipher.allocPacket(3));
  const packet = Buffer.concat(sent);
  // The length itself would make it another packet, which does not come.
  for (let at = 4; at < packet.length; at++) {
    const changed = Buffer.from(packet);
    changed[at]! ^= 1;
    const { decipher, got } = opening();
    assertThrows(() => decipher.decrypt(changed, 0, changed.length));
    assertEquals(got, [], `byte ${at}`);
  }
});
