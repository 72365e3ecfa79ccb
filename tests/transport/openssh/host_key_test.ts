import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import { join } from "node:path";
import { DialError, HostKeyError } from "../../../transport/errors.ts";
import type { HostKey, SshHost } from "../../../transport/host/host.ts";
import { FaultProxy } from "../../kit/fault_proxy.ts";
import type { Sshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import { hostKeyPlan } from "../../../transport/openssh/_host_key.ts";
import { rejection, resolved, type Site, sshdTest } from "./_kit.ts";

const OTHER = `SHA256:${"A".repeat(43)}` as const;

async function refusal(
  { connect }: Site,
  host: SshHost,
): Promise<HostKeyError> {
  const error = await rejection(connect(host));
  assertInstanceOf(error, HostKeyError);
  return error;
}

/** The public key of the server, as a line of known_hosts without its names. */
async function publicKey(sshd: Sshd, type = "ed25519"): Promise<string> {
  const text = await Deno.readTextFile(join(sshd.dir, `host_${type}.pub`));
  return text.split(" ").slice(0, 2).join(" ");
}

/** A host whose known_hosts file is a new one, with these lines. */
async function knownTo(
  sshd: Sshd,
  lines: string,
  hostKey: "strict" | "accept-new" = "strict",
): Promise<{ host: SshHost; file: string }> {
  const file = join(sshd.dir, "known hosts");
  await Deno.writeTextFile(file, lines);
  const host = sshd.host({
    hostKey,
    knownHostsFiles: [file],
    globalKnownHostsFiles: [],
  });
  return { host, file };
}

sshdTest(
  "strict trusts a key of known_hosts, by the name that hostKeyAlias says",
  async ({ connect }, sshd) => {
    const key = await publicKey(sshd);
    const at = `[127.0.0.1]:${sshd.port}`;
    const { host } = await knownTo(sshd, `${at} ${key}\n`);
    await using connection = await connect(host);
    assertEquals((await connection.exec("true")).code, 0);
    const { host: aliased } = await knownTo(sshd, `web-1 ${key}\n`);
    await using second = await connect({ ...aliased, hostKeyAlias: "web-1" });
    assertEquals((await second.exec("true")).code, 0);
  },
);

sshdTest(
  "strict refuses an unknown key with its fingerprint",
  async (site, sshd) => {
    const { host } = await knownTo(sshd, "");
    const error = await refusal(site, host);
    assertEquals([error.reason, error.fingerprint], [
      "unknown",
      sshd.hostKeyFingerprint,
    ]);
  },
);

for (const policy of ["strict", "accept-new"] as const) {
  sshdTest(
    `${policy} refuses a changed key with its place, and a revoked one`,
    async (site, sshd) => {
      await using other = await (await import("../../kit/sshd.ts")).startSshd();
      const at = `[127.0.0.1]:${sshd.port}`;
      const line = `${at} ${await publicKey(other)}\n`;
      const changed = await knownTo(sshd, `# a comment\n${line}`, policy);
      const error = await refusal(site, changed.host);
      assertEquals([error.reason, error.fingerprint, error.location], [
        "mismatch",
        sshd.hostKeyFingerprint,
        `${changed.file}:2`,
      ]);
      const revoked = await knownTo(
        sshd,
        `@revoked ${at} ${await publicKey(sshd)}\n`,
        policy,
      );
      assertEquals((await refusal(site, revoked.host)).reason, "revoked");
    },
  );
}

sshdTest(
  "accept-new stores an unknown key, hashed if asked for, and gives one notice",
  async ({ connect, notices }, sshd) => {
    const { host, file } = await knownTo(sshd, "", "accept-new");
    const hashed = { ...host, hashKnownHosts: true };
    for (let i = 0; i < 2; i++) {
      await using connection = await connect(hashed);
      assertEquals((await connection.exec("true")).code, 0);
    }
    assertMatch(await Deno.readTextFile(file), /^\|1\|\S+ ssh-ed25519 \S+\n$/);
    assertEquals(notices.map(({ code }) => code), ["host-key-accepted"]);
    assertMatch(
      notices[0]!.message,
      new RegExp(RegExp.escape(sshd.hostKeyFingerprint)),
    );
  },
);

sshdTest(
  "accept-new without a file to add to is refused",
  async ({ connect }, sshd) => {
    const error = await rejection(
      connect(sshd.host({ hostKey: "accept-new", knownHostsFiles: [] })),
    );
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "config");
  },
);

sshdTest(
  "a fingerprint decides alone: known_hosts is neither read nor written",
  async (site, sshd) => {
    const key = await publicKey(sshd);
    const { host, file } = await knownTo(
      sshd,
      `[127.0.0.1]:${sshd.port} ${key}\n`,
    );
    const error = await refusal(site, { ...host, hostKey: [OTHER] });
    assertEquals([error.reason, error.fingerprint, error.expected], [
      "mismatch",
      sshd.hostKeyFingerprint,
      [OTHER],
    ]);
    // Nor are the files of the whole system.
    const configFile = join(sshd.dir, "ssh_config");
    await Deno.writeTextFile(
      configFile,
      `GlobalKnownHostsFile "${file}"\nUserKnownHostsFile "${file}"\n`,
    );
    const {
      hostKey: _,
      knownHostsFiles: _1,
      globalKnownHostsFiles: _2,
      ...bare
    } = host;
    const still = await rejection(
      site.connect({ ...bare, hostKey: [OTHER] }, {}, { configFile }),
    );
    assertInstanceOf(still, HostKeyError);
    await Deno.writeTextFile(file, "");
    // With the padding that some tools print.
    const pins = [OTHER, `${sshd.hostKeyFingerprint}=` as `SHA256:${string}`];
    await using connection = await site.connect({ ...host, hostKey: pins });
    assertEquals((await connection.exec("true")).code, 0);
    assertEquals(await Deno.readTextFile(file), "");
    assertEquals(site.notices, []);
  },
);

sshdTest("a function decides alone, and gets the key", async (site, sshd) => {
  const seen: HostKey[] = [];
  const hostKey = (key: HostKey) => {
    seen.push(key);
    return Promise.resolve(seen.length === 1);
  };
  await using connection = await site.connect(sshd.host({ hostKey }));
  assertEquals((await connection.exec("true")).code, 0);
  const [key] = seen;
  assertEquals([key?.type, key?.fingerprint, key?.hostname, key?.port], [
    "ssh-ed25519",
    sshd.hostKeyFingerprint,
    "127.0.0.1",
    sshd.port,
  ]);
  const error = await refusal(site, sshd.host({ hostKey }));
  assertEquals([error.reason, error.fingerprint], [
    "refused",
    sshd.hostKeyFingerprint,
  ]);
  assertEquals(seen.length, 2);
});

sshdTest(
  "a function that throws, or gives something else than true, refuses",
  async (site, sshd) => {
    const cause = new Error("secret");
    const throws = await refusal(
      site,
      sshd.host({
        hostKey: () => {
          throw cause;
        },
      }),
    );
    assertEquals(throws.cause, cause);
    assertEquals(throws.message.includes("secret"), false);
    const truthy = (() => "yes") as unknown as () => boolean;
    assertMatch(
      (await refusal(site, sshd.host({ hostKey: truthy }))).message,
      /gave "yes"/,
    );
  },
);

sshdTest(
  "a function that never answers is left at the deadline",
  async ({ connect }, sshd) => {
    let isAsked = false;
    const hostKey = () => {
      isAsked = true;
      return new Promise<boolean>(() => {});
    };
    let error: unknown;
    // On a busy machine it may not be asked before the first deadline.
    for (let timeoutMs = 1500; !isAsked; timeoutMs *= 4) {
      error = await rejection(connect(sshd.host({ hostKey }), { timeoutMs }));
      assertInstanceOf(error, DialError);
      assertEquals(error.phase, "timeout");
      assert(timeoutMs < 60_000, "It is never asked");
    }
    assertInstanceOf(error, DialError);
    assertMatch(error.message, /while verifying the host key/);
  },
);

sshdTest(
  "insecure-accept-any accepts any key and says so once",
  async ({ connect, notices }, sshd) => {
    for (let i = 0; i < 2; i++) {
      await using connection = await connect(
        sshd.host({ hostKey: "insecure-accept-any" }),
      );
      assertEquals((await connection.exec("true")).code, 0);
    }
    assertEquals(notices.map(({ code }) => code), ["insecure-host-key"]);
    assertMatch(
      notices[0]!.message,
      new RegExp(RegExp.escape(sshd.hostKeyFingerprint)),
    );
  },
);

for (const isTrusted of [true, false]) {
  sshdTest(
    `a server that hangs up while a function judges its key fails ${
      isTrusted ? "behind" : "with"
    } phase hostkey if it says ${isTrusted}`,
    async ({ connect }, sshd) => {
      await using proxy = await FaultProxy.start(sshd.port);
      const hostKey = async () => {
        for (const link of proxy.links) link.reset();
        await until(() => proxy.links.every((link) => link.isClosed));
        return isTrusted;
      };
      const error = await rejection(
        connect(sshd.host({ port: proxy.port, hostKey })),
      );
      assertInstanceOf(error, DialError);
      // What ends the key exchange may have come with the key.
      const phases = isTrusted ? ["kex", "auth"] : ["hostkey"];
      assert(phases.includes(error.phase), error.phase);
      assertEquals(error instanceof HostKeyError, !isTrusted);
    },
  );
}

Deno.test("what a config file says has no other key trusted than the option hostKey says, and stores none", async () => {
  for (const hostKey of [OTHER, () => true]) {
    const host = resolved({ hostname: "db1", hostKey });
    const { options } = await hostKeyPlan(host, {
      command: "ask",
      onNotice: undefined,
    });
    const { KnownHostsCommand, ...others } = options;
    assert(KnownHostsCommand !== undefined);
    assertEquals(others, {
      NoHostAuthenticationForLocalhost: "no",
      UserKnownHostsFile: "/dev/null",
      GlobalKnownHostsFile: "/dev/null",
      StrictHostKeyChecking: "yes",
      VerifyHostKeyDNS: "no",
      UpdateHostKeys: "no",
      CheckHostIP: "no",
    });
  }
});
