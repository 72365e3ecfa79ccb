// The numbers of a peer are checked before the runtime computes with them: at
// the first key exchange, and at each later one.

import { assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import { createDiffieHellmanGroup } from "node:crypto";
import {
  ConnectionLostError,
  DialError,
} from "../../../../transport/errors.ts";
import { string, uint32 } from "../../../../transport/ssh2/_bytes.ts";
import { EmbeddedServer } from "../../../../transport/testing/mod.ts";
import { noSshd, sshdHint, startSshd } from "../../../kit/sshd.ts";
import { connect, rejection } from "../_kit.ts";
import { startPlainServer } from "../_plain_server.ts";
import { startRawServer } from "../_raw_server.ts";

/** A number of RFC 4251, of so many bits; all of them are set. */
function ones(bits: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil(bits / 8), 0xff);
  bytes[0] = 0xff >> (bytes.length * 8 - bits);
  return bytes[0] >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
}

/** The number less one, for an odd one. */
function less(number: Buffer): Buffer {
  const copy = Buffer.from(number);
  copy[copy.length - 1]! -= 1;
  return copy;
}

const GEX = "diffie-hellman-group-exchange-sha256";
const TWO = Buffer.of(2);

/** What becomes of a dial to a server that chooses this group. */
async function dialWithGroup(
  prime: Buffer,
  generator: Buffer,
): Promise<{ error: unknown; wentOn: boolean }> {
  let wentOn = false;
  await using server = await startPlainServer({
    kex: GEX,
    answer: ([type]) => {
      if (type === 34) {
        return Buffer.concat([Buffer.of(31), string(prime), string(generator)]);
      }
      wentOn = type === 32;
      return Buffer.of(1, ...uint32(2), ...string("enough"), ...string(""));
    },
  });
  const host = { ...server.host, algorithms: { kex: GEX } };
  const error = await rejection(connect(host));
  return { error, wentOn };
}

for (
  const [name, prime, generator, said] of [
    ["a prime of zero", Buffer.of(0), TWO, /whose prime is zero, must be/],
    ["an empty prime", Buffer.of(), TWO, /whose prime is zero/],
    ["a prime of one", Buffer.of(1), TWO, /odd and of 1 bits/],
    ["a negative prime", Buffer.of(0x80), TWO, /prime is negative/],
    ["an even prime", less(ones(2048)), TWO, /prime is even and of 2048 bits/],
    ["a prime of 2047 bits", ones(2047), TWO, /of 2047 bits, must be/],
    ["a prime of 8193 bits", ones(8193), TWO, /of 8193 bits, must be/],
    ["a prime of 200000 bits", ones(200_000), TWO, /of 200000 bits, must be/],
    ["no generator", ones(2048), Buffer.of(), /generator is not between/],
    ["the generator 1", ones(2048), Buffer.of(1), /generator is not between/],
    ["the generator p - 1", ones(2048), less(ones(2048)), /is not between/],
    ["a generator of 2049 bits", ones(2048), ones(2049), /is not between/],
    ["a negative generator", ones(2048), Buffer.of(0xff), /is not between/],
  ] as const
) {
  Deno.test(`a dial ends with an error when the server chooses a group with ${name}`, async () => {
    const { error, wentOn } = await dialWithGroup(prime, generator);
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "kex");
    assertMatch(error.message, said);
    assertEquals(wentOn, false);
  });
}

Deno.test("no server can have large numbers computed with unless they are asked for", async () => {
  for (const kex of [GEX, "diffie-hellman-group18-sha512"]) {
    await using server = await startPlainServer({ kex });
    const error = await rejection(connect(server.host));
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "kex");
    assertMatch(error.message, new RegExp(kex));
  }
});

Deno.test("a group of 2049 bits with the generator 2 is computed with", async () => {
  const { wentOn } = await dialWithGroup(ones(2049), TWO);
  assertEquals(wentOn, true);
});

const prime = createDiffieHellmanGroup("modp14").getPrime();
const SHARES: readonly (readonly [string, Buffer, boolean])[] = [
  ["zero", Buffer.of(0), false],
  ["nothing", Buffer.of(), false],
  ["1", Buffer.of(1), false],
  ["p - 1", Buffer.concat([Buffer.of(0), less(prime)]), false],
  ["p", Buffer.concat([Buffer.of(0), prime]), false],
  ["2^20000", Buffer.concat([Buffer.of(1), Buffer.alloc(2500)]), false],
  ["2", TWO, true],
];

for (const [name, share, isAllowed] of SHARES) {
  Deno.test(`a Diffie-Hellman reply with f = ${name} is ${isAllowed ? "computed with" : "refused"}`, async () => {
    await using server = await startPlainServer({
      kex: "diffie-hellman-group14-sha256",
      answer: ([type]) =>
        type !== 30 ? undefined : Buffer.concat([
          Buffer.of(31),
          string(Buffer.concat([string("ssh-ed25519"), string(ones(256))])),
          string(share),
          string(""),
        ]),
    });
    const error = await rejection(connect(server.host, { timeoutMs: 1000 }));
    assertInstanceOf(error, DialError);
    // What is allowed waits for the end of the exchange.
    assertMatch(
      error.message,
      isAllowed ? /while exchanging keys/ : /half of the key exchange is not/,
    );
  });
}

for (
  const [name, exponent, modulus, said] of [
    ["1016 bits", Buffer.of(3), ones(1016), /1016 bits, must be 1024 to/],
    ["20000 bits", Buffer.of(3), ones(20_000), /20000 bits, must be/],
    ["modulus zero", Buffer.of(3), Buffer.of(0), /RSA key has zero/],
    ["an even modulus", Buffer.of(3), less(ones(2048)), /that none may have/],
    ["exponent zero", Buffer.of(0), ones(2048), /that none may have/],
    ["exponent 1", Buffer.of(1), ones(2048), /that none may have/],
    ["an even exponent", Buffer.of(4), ones(2048), /that none may have/],
    ["an exponent of 65 bits", ones(65), ones(2048), /that none may have/],
  ] as const
) {
  Deno.test(`an RSA host key with ${name} is refused before it is judged`, async () => {
    let judged = 0;
    await using server = await startPlainServer({
      kex: "curve25519-sha256",
      answer: () =>
        Buffer.concat([
          Buffer.of(31),
          string(Buffer.concat([
            string("ssh-rsa"),
            string(exponent),
            string(modulus),
          ])),
          string(Buffer.alloc(32, 9)),
          string(""),
        ]),
    });
    const host = {
      ...server.host,
      algorithms: { hostKey: "rsa-sha2-256" },
      hostKey: () => ++judged > 0,
    };
    const error = await rejection(connect(host));
    assertInstanceOf(error, DialError);
    assertMatch(error.message, said);
    assertEquals(judged, 0);
  });
}

Deno.test("a later key exchange is checked as the first one is", async () => {
  let exchanges = 0;
  await using server = await startRawServer(({ channel }) => {
    channel.exit(0);
    channel.end();
  }, (protocol) => {
    let current: unknown;
    Object.defineProperty(protocol, "_kex", {
      get: () => current,
      set(exchange: { getPublicKey: () => Buffer }) {
        if (exchange !== undefined && ++exchanges === 3) {
          exchange.getPublicKey = () => Buffer.of(1);
        }
        current = exchange;
      },
    });
  });
  const algorithms = { kex: "diffie-hellman-group14-sha256" };
  await using connection = await connect({ ...server.host, algorithms });
  server.protocol().rekey();
  await connection.exec("true");
  assertEquals(exchanges, 2);
  server.protocol().rekey();
  const reason = await connection.closed;
  assertMatch("message" in reason ? reason.message : "", /half of the key/);
  const error = await rejection(connection.exec("true"));
  assertInstanceOf(error, ConnectionLostError);
});

Deno.test("the server of the tests, whose numbers are in order, is let in with each method", async () => {
  await using server = await EmbeddedServer.start();
  for (
    const kex of [
      "curve25519-sha256",
      "ecdh-sha2-nistp384",
      "diffie-hellman-group14-sha256",
      "diffie-hellman-group18-sha512",
    ]
  ) {
    const host = server.host({ algorithms: { kex } });
    await using connection = await connect(host);
    assertEquals((await connection.exec("echo ok")).stdout, "ok\n");
  }
});

Deno.test({
  name: noSshd
    ? `sshd's own groups are taken, at the first exchange and at later ones (${sshdHint})`
    : "sshd's own groups are taken, at the first exchange and at later ones",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({
      config: [`KexAlgorithms ${GEX}`, "RekeyLimit 100K"],
      hostKeyTypes: ["rsa"],
    });
    // The cipher decides on the size of the group: 3072 bits here.
    const host = sshd.host({ algorithms: { cipher: "aes128-ctr", kex: GEX } });
    await using connection = await connect(host);
    const { stdout } = await connection.exec("head -c 250000 /dev/zero");
    assertEquals(stdout.length, 250_000);
  },
});
