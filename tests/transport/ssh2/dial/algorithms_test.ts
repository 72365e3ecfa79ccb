import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import { connect } from "node:net";
import {
  endCiphers,
  prepareCiphers,
} from "../../../../transport/ssh2/cipher/ciphers.ts";
import { DialError, HostKeyError } from "../../../../transport/errors.ts";
import type { Algorithms } from "../../../../transport/host/host.ts";
import {
  algorithmsFor,
  defaultCiphers,
  detectRuntime,
  type OfferedAlgorithms,
  ssh2Algorithms,
} from "../../../../transport/ssh2/dial/_algorithms.ts";
import type { SshHost } from "../../../../transport/host/host.ts";
import {
  noSshd,
  sshdHint,
  type SshdOptions,
  startSshd,
} from "../../../kit/sshd.ts";
import { resolved, startServer } from "../auth/_login.ts";
import { connect as dial } from "../_kit.ts";

function lists(
  algorithms: Algorithms = {},
  known?: readonly string[],
): OfferedAlgorithms {
  return algorithmsFor(resolved({ hostname: "db1", algorithms }), known);
}

function sshdTest(
  name: string,
  options: SshdOptions,
  fn: (host: SshHost) => Promise<void>,
): void {
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    async fn() {
      await using sshd = await startSshd(options);
      await fn(sshd.host());
    },
  });
}

Deno.test("algorithmsFor() offers nothing that is known to be weak", () => {
  // SHA-1 breaks as a hash of documents, not in a MAC: `ssh` has it last, too.
  assertEquals(lists().mac.slice(-2), [
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
  ]);
  const weak =
    /(?<!hmac-)sha1|md5|cbc|arcfour|ssh-dss|^ssh-rsa$|group1-|blowfish/;
  for (const names of Object.values(lists())) {
    assert(names.length > 0);
    assertEquals(names.filter((name) => weak.test(name)), []);
  }
});

Deno.test("algorithmsFor() keeps encrypt-then-MAC first", () => {
  assertEquals(lists().mac.slice(0, 2), [
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
  ]);
});

Deno.test("defaultCiphers() has the runtime's fastest first", () => {
  assertEquals(detectRuntime(), "deno");
  assertEquals(lists().cipher[0], "chacha20-poly1305@openssh.com");
  assertEquals(defaultCiphers("node")[0], "aes128-gcm@openssh.com");
  assertEquals(defaultCiphers("bun")[0], "aes128-gcm@openssh.com");
  assertEquals(
    [...defaultCiphers("node")].sort(),
    [...defaultCiphers("deno")].sort(),
  );
});

Deno.test("algorithmsFor() understands OpenSSH's modifiers and wildcards", () => {
  const { cipher } = lists();
  assertEquals(lists({ cipher: "aes256-ctr,aes128-ctr" }).cipher, [
    "aes256-ctr",
    "aes128-ctr",
  ]);
  assertEquals(lists({ cipher: ["aes256-ctr"] }).cipher, ["aes256-ctr"]);
  assertEquals(lists({ cipher: "+aes128-cbc" }).cipher, [
    ...cipher,
    "aes128-cbc",
  ]);
  assertEquals(
    lists({ cipher: "^aes256-ctr" }).cipher,
    ["aes256-ctr", ...cipher.filter((it) => it !== "aes256-ctr")],
  );
  assertEquals(
    lists({ cipher: "-aes*-ctr,chacha20*" }).cipher,
    cipher.filter((it) => it.includes("gcm")),
  );
  assertEquals(lists({ cipher: "aes???-ctr" }).cipher, [
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
  ]);
  assertEquals(
    lists({ kex: "+diffie-hellman-group14-sha1" }).kex.at(-1),
    "diffie-hellman-group14-sha1",
  );
});

Deno.test("algorithmsFor() takes no time over a pattern of many wildcards", () => {
  const cipher = `-${"*a".repeat(40)}b,chacha20*`;
  const names = lists().cipher.filter((it) => !it.startsWith("chacha20"));
  assertEquals(lists({ cipher }).cipher, names);
});

Deno.test("algorithmsFor() leaves out what ssh2 does not have", () => {
  assertEquals(
    lists({ kex: "sntrup761x25519-sha512@openssh.com,curve25519-sha256" }).kex,
    ["curve25519-sha256"],
  );
  assertEquals(lists({ mac: "-umac*" }).mac, lists().mac);
});

Deno.test("algorithmsFor() refuses a list with nothing that ssh2 has", () => {
  for (const cipher of ["rot13,rot26", [], "-*", ""]) {
    const error = assertThrows(() => lists({ cipher }), DialError);
    assertEquals(error.phase, "config");
    assertMatch(
      error.message,
      /^Cannot connect to "ops@db1:22": algorithms\.cipher is "[^"]*", which leaves nothing that ssh2 has; it has chacha20/,
    );
  }
});

Deno.test("algorithmsFor() asks for the known host keys first", () => {
  const { hostKey: serverHostKey } = lists();
  assertEquals(lists({}, ["ecdsa-sha2-nistp384"]).hostKey.slice(0, 2), [
    "ecdsa-sha2-nistp384",
    serverHostKey[0],
  ]);
  assertEquals(lists({}, ["ssh-rsa"]).hostKey.slice(0, 3), [
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-ed25519",
  ]);
  assertFalse(
    lists({}, ["ssh-rsa", "ssh-dss"]).hostKey.includes("ssh-dss"),
  );
  assertEquals(
    lists({}, ["ssh-rsa"]).hostKey.length,
    serverHostKey.length,
  );
  // Modifiers leave the order to what is known; a list of one's own does not.
  assertEquals(
    lists({ hostKey: "+ssh-rsa" }, ["ssh-rsa"]).hostKey.slice(0, 3),
    ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"],
  );
  assertEquals(
    lists({ hostKey: "ssh-ed25519,rsa-sha2-256" }, ["ssh-rsa"]).hostKey,
    ["ssh-ed25519", "rsa-sha2-256"],
  );
});

/** What was agreed upon with a server. */
async function negotiate(
  port: number,
  algorithms: Algorithms,
  known?: string[],
) {
  await prepareCiphers();
  return await new Promise<Record<string, unknown>>((resolve, reject) => {
    const client = new ssh2.Client();
    const sock = connect({ host: "127.0.0.1", port, noDelay: true });
    let agreed: Record<string, unknown> | undefined;
    client.on("handshake", (it) => {
      agreed = it as unknown as Record<string, unknown>;
      client.end();
    });
    client.on("error", reject);
    client.on("close", () => resolve(agreed ?? {}));
    client.connect({
      sock,
      username: "ops",
      authHandler: () => {},
      algorithms: ssh2Algorithms(lists(algorithms, known)),
    });
    endCiphers((client as unknown as { _protocol: object })._protocol);
  });
}

Deno.test("algorithmsFor() names nothing by default that ssh2 refuses", async () => {
  // ssh2 throws for a name that it does not have.
  await using server = await startServer((context) => context.reject());
  const everything = { kex: "+*", cipher: "+*", mac: "+*", hostKey: "+*" };
  for (const algorithms of [{}, everything]) {
    const agreed = await negotiate(server.host.port ?? 0, algorithms);
    assertEquals(
      (agreed["cs"] as { cipher: string }).cipher,
      "chacha20-poly1305@openssh.com",
    );
  }
});

Deno.test({
  name: `algorithmsFor() is shown the host key that is known${
    noSshd ? ` (${sshdHint})` : ""
  }`,
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({
      hostKeyTypes: ["ed25519", "rsa", "ecdsa"],
    });
    const shown = async (known: string[]) =>
      (await negotiate(sshd.port, {}, known))["serverHostKey"];
    assertEquals(await shown([]), "ssh-ed25519");
    assertEquals(await shown(["ssh-rsa"]), "rsa-sha2-512");
    assertEquals(await shown(["ecdsa-sha2-nistp256"]), "ecdsa-sha2-nistp256");
  },
});

Deno.test({
  name: `algorithmsFor() offers key exchanges that work, each of them${
    noSshd ? ` (${sshdHint})` : ""
  }`,
  ignore: noSshd,
  async fn() {
    // OpenSSH 10 has no plain Diffie-Hellman unless it is asked for.
    await using sshd = await startSshd({
      config: ["KexAlgorithms +diffie-hellman-group14-sha256"],
    });
    // Group exchanges and large groups take seconds, and need no curve.
    const names = lists().kex.filter((it) => /^(curve|ecdh)|group14/.test(it));
    assert(names.length >= 5);
    for (const kex of names) {
      await using connection = await dial(sshd.host({ algorithms: { kex } }));
      assertEquals((await connection.exec("echo on")).stdout, "on\n", kex);
    }
  },
});

sshdTest(
  "a server that has no MAC but hmac-sha1 is reached, as ssh reaches it",
  {
    config: ["Ciphers aes128-ctr", "MACs hmac-sha1"],
  },
  async (host) => {
    await using connection = await dial(host);
    assertEquals((await connection.exec("echo ok")).stdout, "ok\n");
  },
);

for (
  const [what, config, offer, hint] of [
    [
      "key exchange method",
      "KexAlgorithms diffie-hellman-group14-sha1",
      "diffie-hellman-group14-sha1",
      'kex: "+diffie-hellman-group14-sha1"',
    ],
    [
      "key exchange method",
      "KexAlgorithms sntrup761x25519-sha512@openssh.com",
      "sntrup761x25519-sha512@openssh.com",
      "enable another one of algorithms.kex on the server",
    ],
    [
      "cipher",
      "Ciphers aes256-cbc,aes128-cbc",
      "aes256-cbc, aes128-cbc",
      'cipher: "+aes256-cbc,aes128-cbc"',
    ],
    [
      "MAC",
      "Ciphers aes128-ctr\nMACs hmac-md5",
      "hmac-md5",
      'mac: "+hmac-md5"',
    ],
    [
      "type of host key",
      "HostKeyAlgorithms ssh-rsa",
      "ssh-rsa",
      'hostKey: "+ssh-rsa"',
    ],
  ] as const
) {
  sshdTest(
    `a server with no ${what} in common is named with both offers: ${offer}`,
    {
      config: [config],
      hostKeyTypes: ["rsa"],
    },
    async (host) => {
      const error = await assertRejects(() => dial(host), DialError);
      assertEquals(error.phase, "kex");
      assert(
        error.message.includes(
          `: no ${what} in common: the server offers ${offer}; ` +
            "this side offers ",
        ),
        error.message,
      );
      assert(error.hint?.includes(hint), error.hint);
    },
  );
}

Deno.test({
  name: `a pinned fingerprint is found among all keys of a server${
    noSshd ? ` (${sshdHint})` : ""
  }`,
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({
      hostKeyTypes: ["ed25519", "rsa", "ecdsa"],
    });
    for (const hostKey of sshd.hostKeyFingerprints) {
      const host = sshd.host({ hostKey: hostKey as `SHA256:${string}` });
      await using connection = await dial(host);
      assertEquals((await connection.exec("echo on")).stdout, "on\n");
    }
    const stranger = `SHA256:${"A".repeat(43)}` as const;
    const error = await assertRejects(
      () => dial(sshd.host({ hostKey: stranger })),
      HostKeyError,
    );
    assertEquals(error.reason, "mismatch");
  },
});
