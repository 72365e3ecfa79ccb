import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { ConnectionPool } from "../../../../mod.ts";
import type { Connection } from "../../../../transport/connector.ts";
import { ConnectionLostError } from "../../../../transport/errors.ts";
import type { ResolvedHost, SshHost } from "../../../../transport/host/host.ts";
import { Dial } from "../../../../transport/ssh2/dial/dial.ts";
import type { RekeyLimits } from "../../../../transport/ssh2/dial/_rekey.ts";
import { EmbeddedServer } from "../../../../transport/testing/mod.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../../../kit/sshd.ts";
import { until } from "../../../kit/until.ts";
import { connect, rejection, resolved } from "../_kit.ts";
import { otherHostKey, sendRaw, startRawServer } from "../_raw_server.ts";
import { string, uint32 } from "../../../../transport/ssh2/_bytes.ts";

const IGNORE = 2;
const DEBUG = 4;
const CHANNEL_DATA = 94;

const CIPHERS: Record<string, SshHost["algorithms"] & object> = {
  "aes128-gcm": { cipher: "aes128-gcm@openssh.com" },
  "aes256-ctr": { cipher: "aes256-ctr", mac: "hmac-sha2-256-etm@openssh.com" },
  "chacha20-poly1305": { cipher: "chacha20-poly1305@openssh.com" },
};

function sshdTest(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    fn,
  });
}

/** Connects, and exchanges keys again after so much. */
function dial(
  host: ResolvedHost,
  soft: RekeyLimits["soft"],
  hard: RekeyLimits["hard"] = { packets: Infinity, bytes: Infinity },
): Promise<Connection> {
  return new Dial(host, {}, undefined, { rekeyLimits: { soft, hard } }).run();
}

interface Runner {
  exec(command: string): Promise<{ code: number | null; stdout: string }>;
}

/** Prints 40 KB that say which command it was, each line another. */
const print = (n: number) => `seq ${n + 1}00000 ${n + 1}05700`;
const printed = (n: number) =>
  Array.from({ length: 5701 }, (_, i) => `${(n + 1) * 100_000 + i}\n`).join("");

/** 30 commands one after the other, then 30 at once. */
async function runAll(runner: Runner): Promise<void> {
  const run = async (n: number) => {
    const { code, stdout } = await runner.exec(print(n));
    assertEquals(code, 0);
    assert(stdout === printed(n), `wrong output of command ${n}`);
  };
  for (let n = 0; n < 30; n++) await run(n);
  await Promise.all(Array.from({ length: 30 }, (_, n) => run(n)));
}

/** How many key exchanges sshd has completed, the first ones included. */
async function keyExchanges(sshd: Sshd): Promise<number> {
  return (await sshd.log()).match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;
}

for (const [cipher, algorithms] of Object.entries(CIPHERS)) {
  sshdTest(
    `Connection survives the key exchanges that sshd asks for, with ${cipher}`,
    async () => {
      await using sshd = await startSshd({
        config: ["RekeyLimit 200K", "MaxSessions 40"],
        logLevel: "DEBUG1",
      });
      // Keepalives go out meanwhile, and wait for the new keys like all else.
      await using connection = await connect(sshd.host({ algorithms }), {
        keepaliveIntervalMs: 5,
        keepaliveCountMax: 1000,
      });
      await runAll(connection);
      // 60 commands of 40 KB, at 200 KB for each set of keys.
      assert(await keyExchanges(sshd) >= 8, `${await keyExchanges(sshd)}`);
    },
  );

  sshdTest(
    `ConnectionPool survives the key exchanges that sshd asks for, with ${cipher}`,
    async () => {
      // So it asks at each packet of more than 4 KiB, or 8 with chacha20.
      await using sshd = await startSshd({
        config: ["RekeyLimit 64K"],
        logLevel: "DEBUG1",
      });
      await using pool = new ConnectionPool();
      const host = sshd.host({ algorithms });
      await runAll({ exec: (command) => pool.exec(host, command) });
      // Its packets have up to 32 KiB of the 2.4 MB.
      assert(await keyExchanges(sshd) >= 30, `${await keyExchanges(sshd)}`);
    },
  );

  sshdTest(
    `Connection exchanges keys itself when much was carried, with ${cipher}`,
    async () => {
      await using sshd = await startSshd({
        config: ["MaxSessions 40"],
        logLevel: "DEBUG1",
      });
      const host = resolved(sshd.host({ algorithms }));
      await using connection = await dial(host, {
        packets: 500,
        bytes: 200_000,
      });
      await runAll(connection);
      // Much in the other direction as well.
      const { stdout } = await connection.exec("wc -c", {
        stdin: new Uint8Array(3_000_000),
      });
      assertEquals(stdout.trim(), "3000000");
      const exchanges = await keyExchanges(sshd);
      // 5.4 MB at 200 KB for each set of keys, or more in flight meanwhile.
      assert(exchanges >= 6 && exchanges <= 30, `${exchanges}`);
    },
  );
}

sshdTest(
  "RemoteProcess carries 200 MB through a dozen key exchanges",
  async () => {
    await using sshd = await startSshd({
      config: ["RekeyLimit 16M"],
      logLevel: "DEBUG1",
    });
    await using connection = await connect(sshd.host());
    await using process = await connection.spawn("head -c 200000000 /dev/zero");
    let bytes = 0;
    for await (const chunk of process.stdout) bytes += chunk.length;
    assertEquals(bytes, 200_000_000);
    assertEquals((await process.status).code, 0);
    assert(await keyExchanges(sshd) >= 12, `${await keyExchanges(sshd)}`);
  },
);

Deno.test("Connection asks the function of hostKey once, however often keys are exchanged", async () => {
  await using server = await EmbeddedServer.start();
  let asked = 0;
  const host = resolved(server.host({
    hostKey: () => {
      asked++;
      return true;
    },
  }));
  await using connection = await dial(host, { packets: 20, bytes: Infinity });
  for (let n = 0; n < 30; n++) {
    assertEquals((await connection.exec(`echo ${n}`)).stdout, `${n}\n`);
  }
  assertEquals(asked, 1);
});

Deno.test("Connection ends when the server shows another host key at a later key exchange", async () => {
  await using server = await startRawServer(({ channel }) => {
    channel.exit(0);
    channel.end();
  });
  await using connection = await connect(server.host);
  await connection.exec("true");
  server.protocol().rekey();
  await connection.exec("true");
  server.protocol()._hostKeys = otherHostKey();
  server.protocol().rekey();
  const reason = await connection.closed;
  assert(reason.kind === "lost" && /another host key/.test(reason.message));
  const error = await rejection(connection.exec("true"));
  assertInstanceOf(error, ConnectionLostError);
  assertMatch(error.message, /the server showed another host key/);
});

Deno.test("Connection takes what a server sends beside a later key exchange, as ssh does", async () => {
  await using server = await startRawServer(({ id, protocol }) => {
    let current = protocol._kex;
    // In the turn in which the server's exchange begins, behind its KEXINIT.
    Object.defineProperty(protocol, "_kex", {
      configurable: true,
      get: () => current,
      set(exchange: unknown) {
        current = exchange;
        sendRaw(protocol, [IGNORE, ...string("padding")]);
        sendRaw(protocol, [DEBUG, 0, ...string("debug"), ...string("")]);
        const data = [CHANNEL_DATA, ...uint32(id), ...string("meanwhile, ")];
        sendRaw(protocol, data);
      },
    });
    protocol.rekey();
    protocol.channelData(id, Buffer.from("and afterwards"));
    protocol.exitStatus(id, 0);
    protocol.channelClose(id);
  });
  await using connection = await connect(server.host);
  const { stdout, code } = await connection.exec("anything");
  assertEquals([stdout, code], ["meanwhile, and afterwards", 0]);
});

Deno.test("Connection ends when the server goes on without new keys", async () => {
  await using server = await startRawServer(({ channel, protocol }) => {
    const { _decipher } = protocol;
    const onPayload = _decipher._onPayload;
    // It never hears of our KEXINIT.
    _decipher._onPayload = (payload) =>
      payload[0] === 20 ? undefined : onPayload(payload);
    for (let n = 0; n < 1000; n++) channel.write(new Uint8Array(1000));
  });
  await using connection = await dial(resolved(server.host), {
    packets: 100,
    bytes: Infinity,
  }, { packets: 300, bytes: Infinity });
  const error = await rejection(connection.exec("true"));
  assertInstanceOf(error, ConnectionLostError);
  assertMatch(error.message, /did not answer to a new key exchange/);
});

sshdTest(
  "Connection counts anew after each key exchange, and reaches no limit however long it lives",
  async () => {
    await using sshd = await startSshd({ logLevel: "DEBUG1" });
    await using connection = await dial(
      resolved(sshd.host()),
      { packets: 60, bytes: Infinity },
      { packets: 200, bytes: Infinity },
    );
    for (let n = 0; n < 100; n++) {
      assertEquals((await connection.exec(`echo ${n}`)).stdout, `${n}\n`);
    }
    assert(await keyExchanges(sshd) >= 5, `${await keyExchanges(sshd)}`);
  },
);

for (const sent of [0, 1_000_000]) {
  Deno.test(`Connection ends when a server that has sent ${sent} bytes asks for new keys again and again`, async () => {
    await using server = await startRawServer(({ channel }) => {
      channel.write(new Uint8Array(sent));
      channel.exit(0);
      channel.end();
    });
    await using connection = await connect(server.host);
    if (sent > 0) await connection.exec("true");
    const protocol = server.protocol();
    const startedAt = performance.now();
    let exchanges = 0;
    for (; exchanges < 500 && !connection.isClosed; exchanges++) {
      protocol.rekey();
      await until(() => protocol._kexinit === undefined || connection.isClosed);
    }
    // One for each half of a second is not too many; its own bytes earn none,
    // and those before it no more than all that may be at once.
    const earned = (performance.now() - startedAt) / 500;
    assert(exchanges >= 19 && connection.isClosed, `${exchanges}`);
    assert(exchanges <= 21 + earned, `${exchanges} of 20 and ${earned}`);
    const reason = await connection.closed;
    assert(reason.kind === "lost", reason.kind);
    assertMatch(reason.message, /asks for new keys again and again/);
  });
}
