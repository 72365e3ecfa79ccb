import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { deadline } from "@std/async";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import type { SshHost } from "../../../../transport/host/host.ts";
import type { Passphrase } from "../../../../transport/host/host.ts";
import { KeyCache } from "../../../../transport/ssh2/auth/key_cache.ts";
import {
  KeyError,
  readIdentity,
  textIdentity,
} from "../../../../transport/ssh2/auth/_keys.ts";
import { string, uint32 } from "../../../../transport/ssh2/_bytes.ts";
import { keyPair } from "../../../../transport/testing/server/_keys.ts";
import { noSshd, sshdHint, startSshd } from "../../../kit/sshd.ts";
import {
  fingerprintOf,
  keygen,
  keygenHint,
  login,
  noKeygen,
  tempDir,
} from "./_login.ts";

const noOpenSsh = noSshd || noKeygen;

/** What a key needs in order to be loaded. */
function options(passphrase?: Passphrase, cache = new KeyCache()) {
  return { passphrase, host: "h", cache };
}

const KINDS: { type: string; bits?: number }[] = [
  { type: "ed25519" },
  { type: "rsa", bits: 2048 },
  { type: "ecdsa", bits: 256 },
  { type: "ecdsa", bits: 384 },
  { type: "ecdsa", bits: 521 },
];

Deno.test({
  name:
    `Authenticator logs in with keys of every type and format of ssh-keygen${
      noOpenSsh ? ` (${sshdHint})` : ""
    }`,
  ignore: noOpenSsh,
  async fn(t) {
    await using sshd = await startSshd();
    await using dir = await tempDir();
    for (const kind of KINDS) {
      for (const format of ["RFC4716", "PEM", "PKCS8"]) {
        // ssh-keygen writes Ed25519 in its own format, whatever it is told.
        if (kind.type === "ed25519" && format !== "RFC4716") continue;
        for (const passphrase of ["", "correct horse"]) {
          const name = [kind.type, kind.bits, format, passphrase && "encrypted"]
            .filter(Boolean).join("-");
          await t.step(name, async () => {
            const path = join(dir.path, name);
            await keygen(path, { ...kind, format, passphrase });
            const line = await Deno.readTextFile(`${path}.pub`);
            await Deno.writeTextFile(sshd.authorizedKeysPath, line, {
              append: true,
            });
            const { privateKey: _, ...base } = sshd.host();
            const secret = passphrase === "" ? {} : { passphrase };
            const file: SshHost = {
              ...base,
              identityFile: path,
              agent: false,
              ...secret,
            };
            const expected = `publickey ${name} ${await fingerprintOf(path)}`;
            const byFile = await login(file);
            assert(byFile.ok, String(byFile.error));
            assertEquals(byFile.tried, [expected]);
            // Without the .pub the fingerprint has to come from the key itself.
            await Deno.remove(`${path}.pub`);
            const alone = await login(file);
            assertEquals([alone.ok, alone.tried], [true, [expected]]);
            const text = await Deno.readTextFile(path);
            const byText = await login({
              ...base,
              privateKey: text,
              ...secret,
            });
            assert(byText.ok, String(byText.error));
            const byBytes = await login({
              ...base,
              privateKey: new TextEncoder().encode(text),
              ...secret,
            });
            assert(byBytes.ok, String(byBytes.error));
          });
        }
      }
    }
  },
});

Deno.test("textIdentity() reads Ed25519 in PKCS8, encrypted or not", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "jwk" }).x ?? "";
  for (const passphrase of [undefined, "correct horse"]) {
    const pem = privateKey.export({
      type: "pkcs8",
      format: "pem",
      ...passphrase === undefined ? {} : { cipher: "aes-256-cbc", passphrase },
    }).toString();
    const key = await textIdentity(pem).load(options(passphrase));
    assertEquals(key.type, "ssh-ed25519");
    assertEquals(key.getPublicSSH().subarray(-32).toString("base64url"), raw);
    const data = new TextEncoder().encode("data");
    assertEquals(key.verify(data as never, key.sign(data as never)), true);
  }
});

Deno.test("textIdentity() says what is wrong and never shows the passphrase", async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({
    type: "pkcs8",
    format: "pem",
    cipher: "aes-256-cbc",
    passphrase: "right",
  }).toString();
  const cases: [string, string | undefined, RegExp][] = [
    [pem, "wr0ng", /^Cannot decrypt the key "privateKey": wrong passphrase$/],
    [
      pem,
      undefined,
      /^Cannot decrypt the key "privateKey": no passphrase was given$/,
    ],
    ["nonsense", undefined, /^Cannot use the key "privateKey": /],
    ["", undefined, /^Cannot use the key "privateKey": /],
    [pem.slice(0, 90), "x", /^Cannot (use|decrypt) the key "privateKey": /],
    [
      "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n",
      undefined,
      /^Cannot use the key "privateKey": /,
    ],
  ];
  for (const [text, passphrase, expected] of cases) {
    const error = await assertRejects(
      () => textIdentity(text).load(options(passphrase)),
      KeyError,
    );
    assertMatch(error.message, expected);
    assert(!Deno.inspect(error).includes("wr0ng"));
  }
});

Deno.test({
  name: `readIdentity() asks for a passphrase once, however many want the key${
    noKeygen ? ` (${keygenHint})` : ""
  }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const path = await keygen(join(dir.path, "id"), { passphrase: "right" });
    const gate = Promise.withResolvers<string>();
    const asked: unknown[] = [];
    const passphrase = (request: unknown) => {
      asked.push(request);
      return gate.promise;
    };
    const cache = new KeyCache();
    const load = async () =>
      (await readIdentity(path)).load({
        ...options(passphrase, cache),
        host: "ops@db1:22",
      });
    const both = Promise.all([load(), load()]);
    gate.resolve("right");
    await both;
    await load();
    assertEquals(asked, [{ key: path, host: "ops@db1:22" }]);
    // A changed file is another key.
    await Deno.remove(path);
    await keygen(path, { passphrase: "right" });
    await load();
    assertEquals(asked.length, 2);
    // Another connector, with a cache of its own, finds nothing of it.
    await (await readIdentity(path)).load(options(passphrase));
    assertEquals(asked.length, 3);
  },
});

Deno.test({
  name: `readIdentity() does not let a wrong passphrase in after a right one${
    noKeygen ? ` (${keygenHint})` : ""
  }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const path = await keygen(join(dir.path, "id"), { passphrase: "right" });
    const cache = new KeyCache();
    const load = async (passphrase?: string) =>
      (await readIdentity(path)).load(options(passphrase, cache));
    await load("right");
    await assertRejects(() => load("wrong"), KeyError, "wrong passphrase");
    await assertRejects(() => load(), KeyError, "no passphrase");
  },
});

Deno.test({
  name: `readIdentity() asks again after a wrong passphrase${
    noKeygen ? ` (${keygenHint})` : ""
  }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const path = await keygen(join(dir.path, "id"), { passphrase: "right" });
    const answers = ["wrong", "right"];
    const cache = new KeyCache();
    const ask = () => answers.shift() ?? "";
    const load = async () =>
      (await readIdentity(path)).load(options(ask, cache));
    await assertRejects(load, KeyError, "wrong passphrase");
    await load();
  },
});

Deno.test({
  name: "readIdentity() leaves the mode of a file to its owner, as ssh does",
  // Only root can give a file away.
  ignore: Deno.build.os === "windows" || Deno.uid() !== 0,
  async fn() {
    await using dir = await tempDir();
    const path = join(dir.path, "id");
    await Deno.writeTextFile(path, keyPair("of another").privateKey);
    await Deno.chmod(path, 0o644);
    const load = async () => await (await readIdentity(path)).load(options());
    await assertRejects(load, KeyError, "its mode is 0644");
    await Deno.chown(path, 65_534, null);
    await load();
  },
});

Deno.test("readIdentity() names a file that is missing, or no key", async () => {
  await using dir = await tempDir();
  const missing = join(dir.path, "none");
  await assertRejects(
    () => readIdentity(missing),
    KeyError,
    `Cannot read the key ${JSON.stringify(missing)}: there is no such file`,
  );
  const other = join(dir.path, "other");
  await Deno.writeTextFile(other, "hello\n");
  await assertRejects(() => readIdentity(other), KeyError, "it is no key file");
});

for (const suffix of ["", ".pub", "-cert.pub"]) {
  Deno.test({
    name: `readIdentity() waits for no writer of a FIFO, as X${suffix}`,
    ignore: Deno.build.os === "windows",
    async fn() {
      await using dir = await tempDir();
      const path = join(dir.path, "X");
      if (suffix !== "") {
        await Deno.writeTextFile(path, keyPair("X").privateKey, {
          mode: 0o600,
        });
      }
      const fifo = path + suffix;
      await new Deno.Command("mkfifo", { args: [fifo] }).output();
      // Whoever reads it waits for this one, which writes nothing.
      using _writer = await Deno.open(fifo, { read: true, write: true });
      const identity = deadline(readIdentity(path), 10_000);
      if (suffix !== "") await (await identity).load(options());
      else await assertRejects(() => identity, KeyError, "it is a FIFO");
    },
  });
}

for (const suffix of ["", "-cert.pub"]) {
  Deno.test(`readIdentity() reads no file of more than 256 KB, as X${suffix}`, async () => {
    await using dir = await tempDir();
    const path = join(dir.path, "X");
    const { privateKey, publicKey } = keyPair("X");
    await Deno.writeTextFile(path, privateKey, { mode: 0o600 });
    const { blob, certificate } = await readIdentity(path);
    assertEquals(certificate, undefined);
    const text = suffix === "" ? privateKey : publicKey;
    const large = text + "\n".repeat(256 * 1024);
    await Deno.writeTextFile(path + suffix, large, { mode: 0o600 });
    if (suffix !== "") {
      const found = await readIdentity(path);
      assertEquals([found.blob, found.certificate], [blob, undefined]);
    } else {
      await assertRejects(
        () => readIdentity(path),
        KeyError,
        `it has ${large.length} bytes, must have at most 262144`,
      );
    }
  });
}

Deno.test({
  name:
    `readIdentity() gives a typed error or a right key, whatever a file holds${
      noKeygen ? ` (${keygenHint})` : ""
    }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const texts: string[] = [];
    for (
      const [type, format] of [["ed25519", "RFC4716"], ["ecdsa", "PEM"], [
        "ecdsa",
        "PKCS8",
      ], ["rsa", "PEM"]] as const
    ) {
      const path = await keygen(join(dir.path, `${type}-${format}`), {
        type,
        format,
      });
      texts.push(await Deno.readTextFile(path));
    }
    const path = join(dir.path, "mutant");
    let seed = 1;
    const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
    let refused = 0;
    for (let i = 0; i < 400; i++) {
      const text = texts[i % texts.length] ?? "";
      const at = random(text.length);
      const mutants = [
        text.slice(0, at),
        text.slice(0, at) + "AAA/" + text.slice(at + 4),
        text.slice(0, at) + "\n\n" + text.slice(at),
        text.slice(0, at) + text.slice(at + 1 + random(80)),
      ];
      await Deno.writeTextFile(path, mutants[random(4)] ?? "", { mode: 0o600 });
      try {
        const identity = await readIdentity(path);
        const key = await identity.load(options());
        if (identity.blob !== undefined) {
          assertEquals(identity.blob, key.getPublicSSH());
        }
      } catch (error) {
        assertInstanceOf(error, KeyError);
        refused++;
      }
    }
    assert(refused > 100, `${refused} of 400 were refused`);
  },
});

Deno.test("textIdentity() refuses what would take for ever", async () => {
  const forged = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    string("aes256-ctr"),
    string("bcrypt"),
    string(Buffer.concat([string("salt"), uint32(0xffffffff)])),
    uint32(1),
    string(Buffer.concat([string("ssh-ed25519"), string(Buffer.alloc(32))])),
    string(Buffer.alloc(64)),
  ]).toString("base64");
  const text =
    `-----BEGIN OPENSSH PRIVATE KEY-----\n${forged}\n-----END OPENSSH PRIVATE KEY-----`;
  await assertRejects(
    () => textIdentity(text).load(options("secret")),
    KeyError,
    "its passphrase takes 4294967295 rounds, the limit is 1000",
  );
  const started = performance.now();
  const lines = `-----BEGIN RSA PRIVATE KEY-----${"\n".repeat(200_000)}`;
  await assertRejects(() => textIdentity(lines).load(options()), KeyError);
  // A quadratic parser takes minutes.
  assert(performance.now() - started < 5_000);
});

Deno.test("KeyCache holds the last hundred keys, and how the last hundred hosts take passwords", async () => {
  const cache = new KeyCache();
  const key = await textIdentity(
    generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey
      .export({ type: "pkcs1", format: "pem" }) as string,
  ).load(options());
  const loaded: string[] = [];
  const get = (name: string) =>
    cache.get(name, undefined, () => {
      loaded.push(name);
      return Promise.resolve(key);
    });
  for (let i = 0; i <= 100; i++) {
    await get(`key ${i}`);
    cache.keepMethods(`host ${i}`, ["publickey", "password"]);
  }
  loaded.length = 0;
  for (const i of [100, 1, 0]) await get(`key ${i}`);
  assertEquals(loaded, ["key 0"]);
  assertEquals(cache.methodsOf("host 0"), undefined);
  assertEquals(cache.methodsOf("host 1"), ["password"]);
  // One that takes none any more is forgotten.
  cache.keepMethods("host 1", ["publickey"]);
  assertEquals(cache.methodsOf("host 1"), undefined);
});

Deno.test({
  name: `ConnectionPool leaves no decrypted key behind when it is gone${
    noKeygen ? ` (${keygenHint})` : ""
  }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const key = await keygen(join(dir.path, "id"), { passphrase: "right" });
    // The collector can be called only where a flag allows it.
    const script = new URL("./_forgotten_keys.ts", import.meta.url);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--v8-flags=--expose-gc"],
        ...[script.href, key, "right"],
      ],
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    const { opened, left } = JSON.parse(new TextDecoder().decode(stdout));
    assert(opened > 0);
    assertEquals(left, 0);
  },
});
