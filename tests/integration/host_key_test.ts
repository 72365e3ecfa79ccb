/** Nobody gets around the check of host keys by accident. */

import {
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { HostKeyError, type PoolEvent, type SshHost } from "../../mod.ts";
import { EmbeddedServer } from "../../transport/testing/mod.ts";
import { startSshd } from "../kit/sshd.ts";
import {
  causes,
  configured,
  failure,
  hashed,
  newPool,
  serverKey,
  sshdTest,
} from "./_kit.ts";

/** The host of a server, with no say about its key, and no known_hosts. */
function unverified(server: EmbeddedServer, dir: string): SshHost {
  const { hostKey: _, ...host } = server.host({
    knownHostsFiles: [join(dir, "known_hosts")],
    globalKnownHostsFiles: [],
  });
  return host;
}

sshdTest(
  "ConnectionPool refuses a host that nothing is known of, with the fingerprint and what to set",
  async (dir) => {
    await using server = await EmbeddedServer.start();
    await using pool = newPool({ config: false });
    const host = unverified(server, dir);
    for (const hostKey of [undefined, "strict"] as const) {
      const error = await failure(
        pool.exec(hostKey === undefined ? host : { ...host, hostKey }, "true"),
      );
      assertInstanceOf(error, HostKeyError);
      assertEquals([error.phase, error.reason], ["hostkey", "unknown"]);
      assertEquals(error.fingerprint, server.hostKeyFingerprint);
      assertStringIncludes(error.message, server.hostKeyFingerprint);
      assertStringIncludes(error.message, "known_hosts");
      assertStringIncludes(error.message, "hostKey");
    }
    assertEquals([server.accepted, server.authAttempts], [0, 0]);
  },
);

sshdTest(
  "ConnectionPool takes nothing but the exact policies",
  async (dir) => {
    await using server = await EmbeddedServer.start();
    await using pool = newPool({ config: false });
    const policies: unknown[] = [
      "",
      "any",
      "no",
      "off",
      "none",
      "ask",
      "accept-any",
      "Insecure-Accept-Any",
      "insecure-accept-any ",
      "accept_new",
      "SHA256:",
      "SHA256:*",
      "MD5:aa:bb",
      false,
      true,
      null,
      0,
      [],
      ["insecure-accept-any"],
      [server.hostKeyFingerprint, ""],
      {},
    ];
    for (const hostKey of policies) {
      const host = { ...unverified(server, dir), hostKey } as SshHost;
      const error = await failure(pool.exec(host, "true"));
      assertInstanceOf(error, TypeError, JSON.stringify(hostKey));
      assertStringIncludes(error.message, "hostKey");
    }
    assertEquals(server.connections, 0);
  },
);

sshdTest(
  "ConnectionPool takes nothing but `true` from a function for an answer",
  async (dir) => {
    await using server = await EmbeddedServer.start();
    await using pool = newPool({ config: false });
    const answers: unknown[] = [
      undefined,
      null,
      1,
      "yes",
      {},
      Promise.resolve("true"),
      false,
    ];
    for (const answer of answers) {
      const hostKey = (() => answer) as () => boolean;
      const host = { ...unverified(server, dir), hostKey };
      const error = await failure(pool.exec(host, "true"));
      assertInstanceOf(error, HostKeyError, String(answer));
    }
    const boom = { ...unverified(server, dir), hostKey: () => fail() };
    const error = await failure(pool.exec(boom, "true"));
    assertEquals(causes(error)[1]?.message, "no judge");
    assertEquals([server.accepted, server.authAttempts], [0, 0]);
  },
);

function fail(): boolean {
  throw new Error("no judge");
}

sshdTest(
  "ConnectionPool tells once that it accepts any key, and only where it does",
  async (dir) => {
    await using server = await EmbeddedServer.start();
    const events: PoolEvent[] = [];
    await using pool = newPool({
      config: false,
      observer: (event) => events.push(event),
    });
    const told = () =>
      events.flatMap((event) =>
        event.type === "notice" && event.notice.code === "insecure-host-key"
          ? [event.notice.message]
          : []
      );
    await pool.exec(server.host(), "true");
    const careful: SshHost = {
      ...unverified(server, dir),
      hostKey: "accept-new",
    };
    await pool.exec(careful, "true");
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(told(), []);
    const any: SshHost = {
      ...unverified(server, dir),
      hostKey: "insecure-accept-any",
    };
    for (let i = 0; i < 3; i++) {
      await pool.exec(any, "true");
      await pool.removeConnection(any);
    }
    assertEquals(told().length, 1);
    assertStringIncludes(told()[0] ?? "", server.hostKeyFingerprint);
    // It has learned nothing by that: the next one is checked as ever.
    await Deno.remove(join(dir, "known_hosts"));
    const error = await failure(pool.exec(unverified(server, dir), "true"));
    assertInstanceOf(error, HostKeyError);
  },
);

sshdTest(
  "ConnectionPool shows both fingerprints, the file and the line of a changed key",
  async (dir) => {
    await using sshd = await startSshd();
    await using other = await startSshd();
    const name = `[127.0.0.1]:${sshd.port}`;
    const wrong = `${name} ${await serverKey(other)}\n`;
    const file = join(dir, "known_hosts");

    const config = [
      "Host web-1",
      "HostName 127.0.0.1",
      `Port ${sshd.port}`,
      `User ${sshd.user}`,
      `IdentityFile ${sshd.privateKeyPath}`,
      "IdentityAgent none",
      `UserKnownHostsFile ${file}`,
      "GlobalKnownHostsFile none",
      "StrictHostKeyChecking accept-new",
      "",
    ].join("\n");
    await using pool = await configured(dir, config);
    for (
      const [text, reason] of [
        [`# one\n\n${wrong}`, "mismatch"],
        [`# one\n\n${await hashed(dir, wrong)}`, "mismatch"],
        [
          `${name} ${await serverKey(sshd)}\n\n@revoked * ${await serverKey(
            sshd,
          )}\n`,
          "revoked",
        ],
      ] as const
    ) {
      await Deno.writeTextFile(file, text);
      const error = await failure(pool.exec("web-1", "true"));
      assertInstanceOf(error, HostKeyError);
      assertEquals(error.reason, reason);
      assertEquals(error.fingerprint, sshd.hostKeyFingerprint);
      assertEquals(error.location, `${file}:3`);
      for (const part of [sshd.hostKeyFingerprint, `${file}:3`]) {
        assertStringIncludes(error.message, part);
      }
      if (reason === "mismatch") {
        assertEquals(error.expected, [other.hostKeyFingerprint]);
        assertStringIncludes(error.message, other.hostKeyFingerprint);
      }
      assertEquals(await Deno.readTextFile(file), text);
    }
    assertEquals(await sshd.acceptedConnections(), 0);
  },
);

sshdTest(
  "ConnectionPool refuses a server whose key has changed since the last dial",
  async (dir) => {
    await using first = await startSshd();
    const host = {
      ...first.host(),
      hostKey: "accept-new",
      knownHostsFiles: [join(dir, "known_hosts")],
      globalKnownHostsFiles: [],
    } as const;
    await using pool = newPool({ config: false });
    await pool.exec(host, "true");
    await first.stop();
    await using second = await startSshd({ port: first.port });
    const error = await failure(pool.exec(host, "true"));
    assertInstanceOf(error, HostKeyError);
    assertEquals(error.reason, "mismatch");
    assertEquals(error.fingerprint, second.hostKeyFingerprint);
    assertEquals(error.expected, [first.hostKeyFingerprint]);
  },
);
