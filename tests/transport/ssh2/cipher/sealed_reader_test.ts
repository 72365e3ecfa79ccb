// Our own reading of packets, beside what ssh2 writes.

import { assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import ssh2Crypto from "ssh2/lib/protocol/crypto.js";
import {
  endCiphers,
  loadedPoly1305,
  prepareCiphers,
} from "../../../../transport/ssh2/cipher/ciphers.ts";
import { openerFor } from "../../../../transport/ssh2/cipher/_openers.ts";
import { SealedReader } from "../../../../transport/ssh2/cipher/_sealed_reader.ts";
import type { RawDecipher } from "../../../../transport/ssh2/fence/internals.ts";
import { withSeed } from "../../../kit/random.ts";

interface Info {
  readonly sslName: string;
  readonly keyLen: number;
  readonly ivLen: number;
  readonly blockLen: number;
}

interface MacInfo {
  readonly sslName: string;
  readonly len: number;
  readonly actualLen: number;
  readonly isETM: boolean;
}

interface Cipher {
  allocPacket(payloadBytes: number): Buffer;
  encrypt(packet: Buffer): void;
  readonly _cipherInstance?: { final(): unknown };
}

const { CIPHER_INFO, MAC_INFO, createCipher } = ssh2Crypto as unknown as {
  CIPHER_INFO: Record<string, Info>;
  MAC_INFO: Record<string, MacInfo>;
  createCipher(config: unknown): Cipher;
};

const KINDS: readonly (readonly [cipher: string, mac?: string])[] = [
  ["chacha20-poly1305@openssh.com"],
  ["aes128-gcm@openssh.com"],
  ["aes256-gcm@openssh.com"],
  ["aes128-ctr", "hmac-sha2-256-etm@openssh.com"],
  ["aes192-ctr", "hmac-sha2-512"],
  ["aes256-ctr", "hmac-sha1-96"],
  ["aes256-cbc", "hmac-sha2-256"],
];

/** The last one counts the first part of an IV up to its end. */
const FIRST_NUMBER = 2 ** 32 - 3;

/** What ssh2 sends of payloads, one piece for each. */
function seal(
  [cipher, mac]: (typeof KINDS)[number],
  payloads: readonly Uint8Array[],
): Buffer[] {
  const cipherInfo = CIPHER_INFO[cipher]!;
  const macInfo = mac === undefined ? undefined : MAC_INFO[mac]!;
  let sent: Buffer[] = [];
  const protocol = { _cipher: undefined as Cipher | undefined };
  endCiphers(protocol);
  protocol._cipher = createCipher({
    outbound: {
      onWrite: (data: Buffer) => sent.push(Buffer.from(data)),
      seqno: FIRST_NUMBER,
      cipherInfo,
      cipherKey: Buffer.alloc(cipherInfo.keyLen, 1),
      cipherIV: Buffer.alloc(cipherInfo.ivLen, 0xff),
      macInfo,
      macKey: macInfo && Buffer.alloc(macInfo.len, 3),
    },
  });
  const sealing = protocol._cipher;
  const packets = payloads.map((payload) => {
    sent = [];
    const packet = sealing.allocPacket(payload.length);
    packet.set(payload, 5);
    sealing.encrypt(packet);
    return Buffer.concat(sent);
  });
  sealing._cipherInstance?.final();
  return packets;
}

/** What reads it, and the payloads that it has read. */
function opening(
  [cipher, mac]: (typeof KINDS)[number],
  maxBytes: number,
  skip = 0,
) {
  const info = CIPHER_INFO[cipher]!;
  const macInfo = mac === undefined ? undefined : MAC_INFO[mac]!;
  const opener = openerFor({
    cipher: info.sslName,
    blockBytes: info.blockLen,
    key: Buffer.alloc(info.keyLen, 1),
    iv: Buffer.alloc(info.ivLen, 0xff),
    mac: macInfo && {
      hash: macInfo.sslName,
      bytes: macInfo.actualLen,
      isOfSealed: macInfo.isETM,
      key: Buffer.alloc(macInfo.len, 3),
    },
  }, loadedPoly1305())!;
  const got: Uint8Array[] = [];
  const decipher = {
    inSeqno: FIRST_NUMBER,
    _onPayload: (payload: Uint8Array) => void got.push(payload.slice()),
  } as unknown as RawDecipher;
  const { read } = new SealedReader(decipher, opener, maxBytes, skip);
  return { read, got, [Symbol.dispose]: () => opener.end() };
}

for (const kind of KINDS) {
  const name = kind.join(" and ");

  Deno.test(`SealedReader reads what ssh2 writes with ${name}, in pieces of any size`, async () => {
    await prepareCiphers();
    await withSeed((random) => {
      const sizes = [0, 1, 5, 11, 12, 100, 520, 4_000, 32_768, 40_000, 262_000];
      const payloads = sizes.map((size) =>
        new Uint8Array(size).map(() => random.below(256))
      );
      const all = Buffer.concat(seal(kind, payloads));
      using opener = opening(kind, 256 * 1024);
      for (let at = 0; at < all.length;) {
        const size = random.chance(0.5)
          ? 1 + random.below(30)
          : 1 + random.below(60_000);
        const end = Math.min(all.length, at + size);
        opener.read(all, at, end);
        at = end;
      }
      assertEquals(opener.got.map((it) => it.length), sizes);
      payloads.forEach((payload, i) =>
        assertEquals(Buffer.compare(payload, opener.got[i]!), 0, `${sizes[i]}`)
      );
      using later = opening(kind, 256 * 1024, 9);
      later.read(all, 0, all.length);
      assertEquals(later.got.map((it) => it.length), sizes.slice(9));
    });
  });

  Deno.test(`SealedReader refuses what was changed, and what is too long, with ${name}`, async () => {
    await prepareCiphers();
    const [small, large] = seal(kind, [
      new Uint8Array(3),
      new Uint8Array(40_000),
    ]);
    // The length itself would make it another packet, which does not come.
    for (let at = 4; at < small!.length; at++) {
      const changed = Buffer.from(small!);
      changed[at]! ^= 1;
      using opener = opening(kind, 35_000);
      assertThrows(() => opener.read(changed, 0, changed.length));
      assertEquals(opener.got, []);
    }
    using opener = opening(kind, 35_000);
    const both = Buffer.concat([small!, large!]);
    assertThrows(
      () => opener.read(both, 0, small!.length + 32),
      Error,
      "Bad packet length",
    );
    assertEquals(opener.got.length, 1);
  });
}
