// Messages that are longer than ssh2 reads: a login banner may be, and nothing
// after the login.

import {
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import type { Connection } from "../../../../transport/connector.ts";
import {
  ConnectionLostError,
  DialError,
} from "../../../../transport/errors.ts";
import type { SshHost } from "../../../../transport/host/host.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../../../kit/sshd.ts";
import { connect, rejection } from "../_kit.ts";
import { type RawServer, sendRaw, startRawServer } from "../_raw_server.ts";

const IGNORE = 2;
const DEBUG = 4;

type Algorithms = SshHost["algorithms"] & object;

/** One of each kind that ssh2 has a decipher for, and of each order of MAC. */
const KINDS: Record<string, Algorithms> = {
  "chacha20-poly1305": { cipher: "chacha20-poly1305@openssh.com" },
  "aes128-gcm": { cipher: "aes128-gcm@openssh.com" },
  "aes256-gcm": { cipher: "aes256-gcm@openssh.com" },
  "aes128-ctr and a MAC of what is sealed": {
    cipher: "aes128-ctr",
    mac: "hmac-sha2-256-etm@openssh.com",
  },
  "aes256-ctr and a MAC of the text": {
    cipher: "aes256-ctr",
    mac: "hmac-sha2-512",
  },
  "aes192-ctr and hmac-sha1": { cipher: "aes192-ctr", mac: "hmac-sha1" },
  "aes256-cbc": { cipher: "aes256-cbc", mac: "hmac-sha2-256" },
};

/** An sshd whose banner is so long. */
function startWithBanner(bytes: number): Promise<Sshd> {
  return startSshd({
    banner: "Authorized use only.\n".repeat(bytes).slice(0, bytes),
    // New keys more than once during what is carried below.
    config: ["RekeyLimit 200K", "Ciphers +aes256-cbc"],
  });
}

const BIG = new Uint8Array(500_000).map((_, i) => i % 251);

async function carries(connection: Connection): Promise<void> {
  assertEquals((await connection.exec("echo on")).stdout, "on\n");
  const { stdout } = await connection.exec("cat", {
    stdin: BIG,
    encoding: "bytes",
  });
  assertEquals(stdout.length, BIG.length);
  assertEquals(stdout.every((byte, i) => byte === BIG[i]), true);
}

for (const bytes of [40_000, 200_000]) {
  const name =
    `Ssh2Connector.connect() passes over a login banner of ${bytes} bytes with each kind of cipher, and carries on`;
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    async fn(t) {
      await using sshd = await startWithBanner(bytes);
      for (const [kind, algorithms] of Object.entries(KINDS)) {
        await t.step(kind, async () => {
          const host = sshd.host({ algorithms });
          await using connection = await connect(host);
          await carries(connection);
        });
      }
    },
  });
}

/** A server that says something long before it grants the login. */
function startLoud(messages: readonly Uint8Array[]): Promise<RawServer> {
  return startRawServer(
    ({ channel }) => {
      channel.exit(0);
      channel.end();
    },
    (protocol) => {
      const handlers = protocol._handlers as unknown as Record<
        string,
        (...args: unknown[]) => void
      >;
      const onService = handlers["SERVICE_REQUEST"]!;
      handlers["SERVICE_REQUEST"] = (...args) => {
        for (const it of messages) sendRaw(protocol, it);
        onService(...args);
      };
    },
  );
}

function message(type: number, bytes: number): Uint8Array {
  const it = new Uint8Array(bytes);
  it[0] = type;
  return it;
}

/** ssh2's server offers no CBC unasked. */
const RAW_KINDS = Object.entries(KINDS).filter(([kind]) =>
  kind !== "aes256-cbc"
);

Deno.test("Ssh2Connector takes any long message before the login, and none after it", async (t) => {
  const long = [message(DEBUG, 34_000), message(IGNORE, 100_000)];
  for (const before of [[], long]) {
    await using server = await startLoud(before);
    for (const [kind, algorithms] of RAW_KINDS) {
      await t.step(`${before.length} before, with ${kind}`, async () => {
        const host = { ...server.host, algorithms };
        await using connection = await connect(host);
        assertEquals((await connection.exec("true")).code, 0);
        sendRaw(server.protocol(), message(IGNORE, 34_000));
        assertEquals((await connection.exec("true")).code, 0);
        sendRaw(server.protocol(), message(IGNORE, 36_000));
        const error = await rejection(connection.exec("true"));
        assertInstanceOf(error, ConnectionLostError);
        assertMatch(error.message, /Bad packet length/);
      });
    }
  }
});

Deno.test("Ssh2Connector.connect() names a message that is longer than ssh takes", async () => {
  await using server = await startLoud([message(IGNORE, 263_000)]);
  for (const [kind, algorithms] of RAW_KINDS) {
    const error = await rejection(connect({ ...server.host, algorithms }));
    assertInstanceOf(error, DialError, kind);
    assertEquals(error.phase, "auth");
    assertStringIncludes(error.message, "banner of more than 262144 bytes");
    assertStringIncludes(error.hint ?? "", "Banner of its sshd_config");
  }
});

Deno.test("Ssh2Connector keeps no more than one long message before the login", async () => {
  // So many short ones that they are not kept to be read again.
  const many = Array.from({ length: 5 }, () => message(IGNORE, 30_000));
  await using server = await startLoud([...many, message(IGNORE, 40_000)]);
  const error = await rejection(connect(server.host));
  assertInstanceOf(error, DialError);
  assertStringIncludes(error.message, "too long");
});
