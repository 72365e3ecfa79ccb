// mlkem768x25519-sha256 (RFC 10042), against a server in this process, and
// against OpenSSH 10 where it is there.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { Buffer } from "node:buffer";
import type { Notice } from "../../../../transport/connector.ts";
import { DialError } from "../../../../transport/errors.ts";
import type { SshHost } from "../../../../transport/host/host.ts";
import { Dial } from "../../../../transport/ssh2/dial/dial.ts";
import { HYBRIDS } from "../../../../transport/ssh2/dial/_kem.ts";
import { Ssh2Connector } from "../../../../transport/ssh2/mod.ts";
import { EmbeddedServer } from "../../../../transport/testing/mod.ts";
import {
  openssh10,
  openssh10Hint,
  type Sshd,
  type SshdOptions,
  startSshd,
} from "../../../kit/sshd.ts";
import { startHybridServer } from "../_hybrid_server.ts";
import { connect, rejection, resolved } from "../_kit.ts";

const HYBRID = "mlkem768x25519-sha256";

Deno.test("mlkem768x25519-sha256 is offered first, and a server that has no other is reached", async () => {
  await using server = await startHybridServer();
  await using connection = await connect(server.host);
  assertEquals((await connection.exec("true")).stdout, "ok");
  assertEquals(server.exchanges, 1);
});

Deno.test("keys are exchanged again by mlkem768x25519-sha256, whoever asks for it", async () => {
  await using server = await startHybridServer();
  const host = resolved(server.host);
  await using connection = await new Dial(host, {}, undefined, {
    rekeyLimits: {
      soft: { packets: 30, bytes: Infinity },
      hard: { packets: Infinity, bytes: Infinity },
    },
  }).run();
  for (let n = 0; n < 20; n++) {
    assertEquals((await connection.exec("true")).stdout, "ok");
  }
  const ours = server.exchanges;
  assert(ours >= 3, `${ours} exchanges`);
  server.protocol().rekey();
  assertEquals((await connection.exec("true")).stdout, "ok");
  assert(server.exchanges > ours);
});

Deno.test("a server without it is reached as before, and so is one from which it is kept", async () => {
  await using classical = await EmbeddedServer.start();
  await using connection = await connect(classical.host());
  assertEquals((await connection.exec("echo ok")).stdout, "ok\n");

  await using server = await startHybridServer();
  const host = { ...server.host, algorithms: { kex: `-${HYBRID}` } };
  const error = await assertRejects(() => connect(host), DialError);
  assertMatch(
    error.message,
    /no key exchange method in common: the server offers mlkem768x25519-sha256; this side/,
  );
});

for (
  const [name, change, said] of [
    ["is empty", () => Buffer.of(), /the reply has 0 bytes, must have 1120/],
    ["is a byte short", (it) => it.subarray(1), /has 1119 bytes/],
    ["is a byte long", (it) => Buffer.concat([it, Buffer.of(0)]), /1121 bytes/],
    ["has the point zero", withPoint(0), /DH secret \(mlkem768x25519-sha256\)/],
    ["has a point of small order", withPoint(1), /DH secret/],
    [
      "has a bit of the ciphertext changed",
      withBit(7),
      /signature verification/,
    ],
    ["has a bit of the point changed", withBit(1100), /signature verification/],
  ] as readonly (readonly [string, (reply: Buffer) => Buffer, RegExp])[]
) {
  Deno.test(`nobody logs in over an exchange whose reply ${name}`, async () => {
    // The hash that is signed holds what was made, not what is sent.
    await using server = await startHybridServer(change);
    const error = await rejection(connect(server.host));
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "kex");
    assertMatch(error.message, said);
  });
}

function withPoint(value: number): (reply: Buffer) => Buffer {
  return (reply) => {
    const point = Buffer.alloc(32);
    point[0] = value;
    return Buffer.concat([reply.subarray(0, -32), point]);
  };
}

/** The signature is over the reply as it is sent; the secret is another one. */
function withBit(at: number): (reply: Buffer) => Buffer {
  return (reply) => {
    const changed = Buffer.from(reply);
    changed[at]! ^= 1;
    return changed;
  };
}

Deno.test("a KEM that cannot be loaded fails the dial with the phase config, and the next dial tries again", async () => {
  await using server = await EmbeddedServer.start();
  const [hybrid] = HYBRIDS as unknown as { load: () => Promise<unknown> }[];
  const { load } = hybrid!;
  hybrid!.load = () => Promise.reject(new Error("Cannot find package\nstack"));
  try {
    const error = await assertRejects(() => connect(server.host()), DialError);
    assertEquals(error.phase, "config");
    assertMatch(
      error.message,
      /^Cannot connect to .*: what mlkem768x25519-sha256 needs cannot be loaded: Cannot find package$/,
    );
    assertMatch(error.hint ?? "", /kex: "-mlkem768x25519-sha256"/);
    // Those who do not offer it do not need it.
    const host = server.host({ algorithms: { kex: "-mlkem*" } });
    await using _ = await connect(host);
  } finally {
    hybrid!.load = load;
  }
  await using _ = await connect(server.host());
});

/** The notices of three dials to one host. */
async function noticesOf(
  connector: Ssh2Connector,
  host: SshHost,
): Promise<Notice[]> {
  const notices: Notice[] = [];
  const onNotice = (notice: Notice) => void notices.push(notice);
  for (let n = 0; n < 3; n++) {
    await (await connector.connect(resolved(host), { onNotice })).close();
  }
  return notices.filter((it) => it.code === "not-post-quantum");
}

Deno.test("warnNotPostQuantum tells of a host without it once, and is off by default", async () => {
  await using classical = await EmbeddedServer.start();
  await using hybrid = await startHybridServer();
  const connector = new Ssh2Connector({ warnNotPostQuantum: true });
  const notices = await noticesOf(connector, classical.host());
  assertEquals(notices.length, 1);
  assertMatch(notices[0]!.message, /were agreed on with curve25519-sha256: /);
  assertEquals(await noticesOf(connector, hybrid.host), []);
  assertEquals(await noticesOf(new Ssh2Connector(), classical.host()), []);
});

Deno.test("new Ssh2Connector() refuses an option that there is not", () => {
  assertThrows(
    () => new Ssh2Connector({ warnNotPostQuantun: true } as never),
    TypeError,
    'Cannot make the connector: there is no option "warnNotPostQuantun", did you mean "warnNotPostQuantum"?',
  );
});

function sshd10Test(
  name: string,
  options: SshdOptions,
  fn: (sshd: Sshd) => Promise<void>,
): void {
  Deno.test({
    name: openssh10 === undefined ? `${name} (${openssh10Hint})` : name,
    ignore: openssh10 === undefined,
    async fn() {
      await using sshd = await startSshd({ ...options, version: "10" });
      await fn(sshd);
    },
  });
}

sshd10Test(
  "OpenSSH 10 agrees on mlkem768x25519-sha256, with strict key exchange",
  {
    logLevel: "DEBUG3",
  },
  async (sshd) => {
    await using connection = await connect(sshd.host());
    assertEquals((await connection.exec("echo ok")).stdout, "ok\n");
    const log = await sshd.log();
    assertMatch(log, /kex: algorithm: mlkem768x25519-sha256/);
    assertMatch(log, /will use strict KEX ordering/);
  },
);

for (
  const cipher of [
    "chacha20-poly1305@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
  ]
) {
  sshd10Test(
    `OpenSSH 10 exchanges keys again by mlkem768x25519-sha256 alone, with ${cipher}`,
    {
      config: [`KexAlgorithms ${HYBRID}`, "RekeyLimit 1M"],
      logLevel: "DEBUG1",
    },
    async (sshd) => {
      await using connection = await connect(
        sshd.host({ algorithms: { cipher } }),
      );
      const [out, into] = await Promise.all([
        connection.exec("head -c 6000000 /dev/zero | tr '\\0' x"),
        connection.exec("wc -c", { stdin: new Uint8Array(6_000_000) }),
      ]);
      assertEquals(out.stdout, "x".repeat(6_000_000));
      assertEquals(into.stdout.trim(), "6000000");
      const exchanges = (await sshd.log()).match(/SSH2_MSG_NEWKEYS received/g);
      assert((exchanges?.length ?? 0) >= 5, `${exchanges?.length}`);
    },
  );
}
