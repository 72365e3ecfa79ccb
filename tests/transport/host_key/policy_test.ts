import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { DialError, HostKeyError } from "../../../transport/errors.ts";
import type { Notice } from "../../../transport/connector.ts";
import type { HostKey, ResolvedHost } from "../../../transport/host/host.ts";
import { fingerprint } from "../../../transport/host_key/check.ts";
import { prepareHostKeyCheck } from "../../../transport/host_key/policy.ts";
import { ed25519, fingerprintOf, wire } from "./_generator.ts";

const ours = shown();
const other = shown();

function shown(): HostKey {
  const text = ed25519(randomBytes(32));
  return {
    host: "ops@db1:22",
    hostname: "db1",
    port: 22,
    type: "ssh-ed25519",
    fingerprint: fingerprintOf(text),
    key: new Uint8Array(Buffer.from(text, "base64")),
  };
}

function host(options: Partial<ResolvedHost>): ResolvedHost {
  return {
    hostname: "db1",
    user: "ops",
    port: 22,
    globalKnownHostsFiles: [],
    ...options,
  };
}

/** The error of a verification, or `undefined` if the key is trusted. */
async function verdict(
  options: Partial<ResolvedHost>,
  key = ours,
  onNotice?: (notice: Notice) => void,
): Promise<HostKeyError | undefined> {
  const check = await prepareHostKeyCheck(host(options), onNotice);
  return await check.verify(key).then(
    () => undefined,
    (error) => {
      assert(error instanceof HostKeyError, String(error));
      return error;
    },
  );
}

async function withFile(
  text: string,
  body: (path: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/kh`, text);
    await body(`${dir}/kh`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function line(name: string, key: HostKey): string {
  return `${name} ${key.type} ${Buffer.from(key.key).toString("base64")}\n`;
}

Deno.test("fingerprint() is what ssh-keygen prints", async () => {
  await withFile(line("", ours), async (path) => {
    const args = ["-l", "-f", path];
    const output = await new Deno.Command("ssh-keygen", { args }).output()
      .catch(() => undefined);
    if (output === undefined) return;
    const text = new TextDecoder().decode(output.stdout);
    assertEquals(text.split(" ")[1], fingerprint(ours.key));
  });
});

Deno.test("prepareHostKeyCheck() accepts a pinned key, and no other", async () => {
  const hostKey = fingerprint(ours.key);
  assertEquals(await verdict({ hostKey }), undefined);
  const pins = [fingerprint(other.key), hostKey];
  assertEquals(await verdict({ hostKey: pins }), undefined);
  const error = await verdict({ hostKey }, other);
  assertEquals(error?.reason, "mismatch");
  assertEquals(error?.expected, [hostKey]);
  assert(error?.message.includes(other.fingerprint));
  assert(error?.message.includes(hostKey));
});

Deno.test("prepareHostKeyCheck() judges a pin by the key, not by what the adapter says", async () => {
  const forged = { ...other, fingerprint: ours.fingerprint };
  const error = await verdict({ hostKey: fingerprint(ours.key) }, forged);
  assertEquals(error?.fingerprint, other.fingerprint);
});

Deno.test("prepareHostKeyCheck() accepts by callback only what it calls true", async () => {
  assertEquals(await verdict({ hostKey: () => true }), undefined);
  assertEquals(
    await verdict({ hostKey: (key) => Promise.resolve(key === ours) }),
    undefined,
  );
  for (const answer of [false, undefined, null, 1, "yes", {}]) {
    const error = await verdict({ hostKey: () => answer as boolean });
    assertEquals(error?.reason, "refused", String(answer));
  }
});

Deno.test("prepareHostKeyCheck() gives what a callback threw as the cause", async () => {
  const cause = new Error("vault is sealed");
  const thrown = await verdict({
    hostKey: () => {
      throw cause;
    },
  });
  assertEquals(thrown?.cause, cause);
  const rejected = await verdict({ hostKey: () => Promise.reject(cause) });
  assertEquals(rejected?.cause, cause);
  assertEquals(rejected?.reason, "refused");
});

Deno.test("prepareHostKeyCheck() tells of insecure-accept-any once per host", async () => {
  const notices: Notice[] = [];
  const hostKey = "insecure-accept-any";
  const hostname = `insecure-${crypto.randomUUID()}`;
  const onNotice = (notice: Notice) => notices.push(notice);
  for (const key of [ours, other]) {
    assertEquals(
      await verdict({ hostKey, hostname }, key, onNotice),
      undefined,
    );
  }
  assertEquals(notices.map(({ code }) => code), ["insecure-host-key"]);
  assert(notices[0]?.message.includes(hostname));
});

Deno.test("prepareHostKeyCheck() refuses what is no policy", async () => {
  const bad = [
    "yes",
    "SHA256:short",
    "MD5:aa:bb",
    "",
    [],
    [fingerprint(ours.key), "no"],
    true,
    {},
  ];
  for (const hostKey of bad) {
    const error = await assertRejects(
      () => prepareHostKeyCheck(host({ hostKey: hostKey as "strict" })),
      TypeError,
      "hostKey",
    );
    assert(error.message.includes("accept-new"), error.message);
  }
});

Deno.test("prepareHostKeyCheck() says of an unknown host what to set", async () => {
  await withFile("", async (path) => {
    const error = await verdict({ knownHostsFiles: [path] });
    assertEquals(error?.reason, "unknown");
    for (
      const part of [
        `hostKey: "${ours.fingerprint}"`,
        `hostKey: "accept-new"`,
        "ssh-ed25519",
        path,
      ]
    ) assert(error?.message.includes(part), `${part}: ${error?.message}`);
  });
});

Deno.test("prepareHostKeyCheck() shows both fingerprints, file and line of a changed key", async () => {
  await withFile(`# one\n${line("db1", other)}`, async (path) => {
    for (const hostKey of ["strict", "accept-new"] as const) {
      const error = await verdict({ hostKey, knownHostsFiles: [path] });
      assertEquals(error?.reason, "mismatch");
      assertEquals(error?.location, `${path}:2`);
      assertEquals(error?.expected, [other.fingerprint]);
      for (const part of [ours.fingerprint, other.fingerprint, `${path}:2`]) {
        assert(error?.message.includes(part), error?.message);
      }
    }
  });
});

Deno.test("prepareHostKeyCheck() says how many other keys are known beside the one that it shows", async () => {
  for (
    const [count, more] of [[1, ""], [2, " and 1 more"], [3, " and 2 more"]]
  ) {
    const known = Array.from({ length: Number(count) }, shown);
    const text = known.map((key) => line("db1", key)).join("");
    await withFile(text, async (path) => {
      const error = await verdict({ knownHostsFiles: [path] });
      assert(error?.message.includes(`${path}:1${more}. `), error?.message);
    });
  }
});

Deno.test("prepareHostKeyCheck() refuses a revoked key, also if it is listed as good", async () => {
  const text = line("db1", ours) + line("@revoked *", ours);
  await withFile(text, async (path) => {
    for (const hostKey of ["strict", "accept-new"] as const) {
      const error = await verdict({ hostKey, knownHostsFiles: [path] });
      assertEquals(error?.reason, "revoked");
      assertEquals(error?.location, `${path}:2`);
    }
  });
});

Deno.test("prepareHostKeyCheck() never adds a key that is revoked for the bare name", async () => {
  const text = line("@revoked db1", ours);
  await withFile(text, async (path) => {
    const options = { port: 2222, knownHostsFiles: [path] };
    const error = await verdict({ ...options, hostKey: "accept-new" });
    assertEquals(error?.reason, "revoked");
    assertEquals(await Deno.readTextFile(path), text);
  });
});

Deno.test("prepareHostKeyCheck() takes a certificate authority for no host key", async () => {
  await withFile(line("@cert-authority db1", ours), async (path) => {
    const error = await verdict({ knownHostsFiles: [path] });
    assertEquals(error?.reason, "unknown");
    assertEquals(error?.location, `${path}:1`);
    assert(error?.message.includes("certificates are not supported"));
  });
});

Deno.test("prepareHostKeyCheck() sees a file that changed since the last dial", async () => {
  await withFile(line("db1", other), async (path) => {
    const options = { knownHostsFiles: [path] };
    const now = new Date();
    await Deno.utime(path, now, now);
    assertEquals((await verdict(options))?.reason, "mismatch");
    await Deno.writeTextFile(path, line("db1", ours)); // Same size, same tick.
    await Deno.utime(path, now, now);
    assertEquals(await verdict(options), undefined);
    await Deno.remove(path);
    assertEquals((await verdict(options))?.reason, "unknown");
  });
});

Deno.test("prepareHostKeyCheck() tells of bad lines once, with file and line", async () => {
  const text = "db1\n" + line("db2", ours) + "db1 ssh-rsa AAAA\n" +
    "junk junk junk\n".repeat(20);
  await withFile(text, async (path) => {
    const notices: Notice[] = [];
    const onNotice = (notice: Notice) => notices.push(notice);
    for (let i = 0; i < 2; i++) {
      await prepareHostKeyCheck(host({ knownHostsFiles: [path] }), onNotice);
    }
    assertEquals(notices.length, 11);
    assert(notices.every(({ code }) => code === "known-hosts-bad-line"));
    assert(notices[0]?.message.includes(`${path}:1:`));
    assert(notices[1]?.message.includes(`${path}:3:`));
    assert(notices[10]?.message.includes("12 more"));
  });
});

Deno.test("prepareHostKeyCheck() refuses a file that it cannot read, and names it", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const error = await assertRejects(
      () => prepareHostKeyCheck(host({ knownHostsFiles: [dir] })),
      DialError,
      dir,
    );
    assertEquals(error.phase, "hostkey");
    assertMatch(error.message, /the option knownHostsFiles$/);
    await assertRejects(
      () => prepareHostKeyCheck(host({ globalKnownHostsFiles: [dir] })),
      DialError,
      "the option globalKnownHostsFiles",
    );
    // It takes no room on the disk.
    const large = `${dir}/large`;
    await Deno.create(large).then((file) => file.close());
    await Deno.truncate(large, 100 * 2 ** 20 + 1);
    await assertRejects(
      () => prepareHostKeyCheck(host({ knownHostsFiles: [large] })),
      DialError,
      "it has 104857601 bytes, must have at most 104857600",
    );
    const below = `${dir}/none/known_hosts`;
    await prepareHostKeyCheck(host({ knownHostsFiles: [below] }));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test({
  name: "prepareHostKeyCheck() names the file and the permission it lacks",
  permissions: { read: false, env: true, sys: true },
  fn: async () => {
    const error = await assertRejects(
      () => prepareHostKeyCheck(host({ knownHostsFiles: ["/x/known_hosts"] })),
      DialError,
      "--allow-read=/x/known_hosts",
    );
    assertEquals(error.phase, "hostkey");
  },
});

Deno.test("prepareHostKeyCheck() orders algorithms by the known keys, as OpenSSH does", async () => {
  const modulus = new Uint8Array(257).fill(0x80, 1);
  const rsa = `ssh-rsa ${wire("ssh-rsa", new Uint8Array([3]), modulus)}`;
  const text = `db1 ${rsa}\n` + line("db1,db2,db3", ours) +
    line("@revoked db3", ours) + line("@cert-authority db4", ours);
  const expected = {
    db1: ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"],
    db2: ["ssh-ed25519"],
    db3: [],
    db4: [],
  };
  await withFile(text, async (path) => {
    for (const [hostname, algorithms] of Object.entries(expected)) {
      const check = await prepareHostKeyCheck(
        host({ hostname, knownHostsFiles: [path] }),
      );
      assertEquals(check.hostKeyAlgorithms, algorithms, hostname);
    }
  });
});

Deno.test("prepareHostKeyCheck() compares the whole of a pin", async () => {
  const right = fingerprint(ours.key);
  const digest = right.slice("SHA256:".length);
  const flip = (at: number) => {
    const letter = digest[at] === "A" ? "B" : "A";
    return `SHA256:${digest.slice(0, at)}${letter}${
      digest.slice(at + 1)
    }` as const;
  };
  // The first 20 characters are the same, or all but one anywhere.
  const tail = `SHA256:${digest.slice(0, 20)}${"A".repeat(23)}` as const;
  const near = [tail, ...Array.from(digest, (_, at) => flip(at))];
  for (const hostKey of near) {
    const error = await verdict({ hostKey });
    assertEquals(error?.reason, "mismatch", hostKey);
    assertEquals(error?.expected, [hostKey]);
  }
  assertEquals((await verdict({ hostKey: near }))?.reason, "mismatch");
  assertEquals(await verdict({ hostKey: [...near, right] }), undefined);
});

Deno.test("prepareHostKeyCheck() takes a key of a type that is not the known one's for a changed key", async () => {
  const modulus = new Uint8Array(257).fill(0x80, 1);
  const point = new Uint8Array(65).fill(4);
  const others = [
    `ssh-rsa ${wire("ssh-rsa", new Uint8Array([3]), modulus)}`,
    `ecdsa-sha2-nistp256 ${wire("ecdsa-sha2-nistp256", "nistp256", point)}`,
  ];
  for (const key of others) {
    const text = `db1 ${key}\n`;
    await withFile(text, async (path) => {
      for (const hostKey of ["strict", "accept-new"] as const) {
        const error = await verdict({ hostKey, knownHostsFiles: [path] });
        assertEquals(error?.reason, "mismatch", `${hostKey} ${key}`);
        // Nor is the new key added beside the old one.
        assertEquals(await Deno.readTextFile(path), text);
      }
    });
  }
  // The same bytes under the name of another type are another key.
  const { key } = ours;
  const forged = { ...ours, key: key.with(-1, key.at(-1)! ^ 1) };
  await withFile(line("db1", ours), async (path) => {
    const error = await verdict({ knownHostsFiles: [path] }, forged);
    assertEquals(error?.reason, "mismatch");
  });
});
