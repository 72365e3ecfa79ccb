// Keys as people have them: whatever `ssh` reads is read, and what cannot be
// read is named, never called a wrong passphrase.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { KeyCache } from "../../../../transport/ssh2/auth/key_cache.ts";
import {
  KeyError,
  readIdentity,
  textIdentity,
} from "../../../../transport/ssh2/auth/_keys.ts";
import { rejection } from "../_kit.ts";
import { keygenHint, noKeygen, tempDir } from "./_login.ts";

const PASSPHRASE = "correct horse";

function options(passphrase?: string) {
  return { passphrase, host: "h", cache: new KeyCache() };
}

/** Runs a program, and gives what it prints. */
async function run(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    stdin: "null",
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

function toolTest(name: string, fn: (dir: string) => Promise<void>): void {
  Deno.test({
    name: noKeygen ? `${name} (${keygenHint})` : name,
    ignore: noKeygen,
    async fn() {
      await using dir = await tempDir();
      await fn(dir.path);
    },
  });
}

/** The key must sign, and be the one that is meant. */
async function assertReads(path: string, passphrase?: string): Promise<void> {
  await Deno.chmod(path, 0o600);
  const text = await Deno.readTextFile(path);
  const byFile = await (await readIdentity(path)).load(options(passphrase));
  const byText = await textIdentity(text).load(options(passphrase));
  const data = Buffer.from("data");
  for (const key of [byFile, byText]) {
    assertEquals(key.verify(data, key.sign(data)), true);
  }
}

async function assertWrong(path: string): Promise<void> {
  const identity = await readIdentity(path);
  const error = await rejection(identity.load(options("wrong")));
  assertInstanceOf(error, KeyError);
  assertMatch(error.message, /: wrong passphrase$/);
}

for (
  const cipher of [
    "3des-cbc",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
  ]
) {
  toolTest(
    `a key that ssh-keygen encrypted with ${cipher} is read`,
    async (dir) => {
      const path = join(dir, "key");
      const passphrase = ["-N", PASSPHRASE, "-Z", cipher, "-a", "2"];
      await run("ssh-keygen", "-q", "-t", "ed25519", ...passphrase, "-f", path);
      await assertReads(path, PASSPHRASE);
      await assertWrong(path);
    },
  );
}

async function plainKey(dir: string): Promise<string> {
  const path = join(dir, "plain");
  const { privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  await Deno.writeTextFile(path, privateKey);
  return path;
}

for (
  const method of [
    ["-v2", "des3"],
    ["-v2", "aes128"],
    ["-v2", "aes192"],
    ["-v2", "aes256", "-v2prf", "hmacWithSHA1"],
    ["-v2", "aes256", "-v2prf", "hmacWithSHA512"],
    ["-scrypt"],
  ]
) {
  toolTest(
    `a key in PKCS8 that openssl encrypted with ${method.join(" ")} is read`,
    async (dir) => {
      const path = join(dir, "key");
      const passphrase = ["-passout", `pass:${PASSPHRASE}`];
      await run(
        "openssl",
        "pkcs8",
        "-topk8",
        ...method,
        ...passphrase,
        "-in",
        await plainKey(dir),
        "-out",
        path,
      );
      await assertReads(path, PASSPHRASE);
      if (method[0] === "-v2") await assertWrong(path);
    },
  );
}

for (const cipher of ["-des3", "-aes128", "-aes192", "-aes256"]) {
  toolTest(
    `a legacy PEM that openssl encrypted with ${cipher} is read, with line ends of either kind`,
    async (dir) => {
      const path = join(dir, "key");
      const text = await run(
        "openssl",
        "rsa",
        "-traditional",
        cipher,
        "-passout",
        `pass:${PASSPHRASE}`,
        "-in",
        await plainKey(dir),
      );
      await Deno.writeTextFile(path, text);
      await assertReads(path, PASSPHRASE);
      await assertWrong(path);
      await Deno.writeTextFile(path, text.replaceAll("\n", "\r\n"));
      await assertReads(path, PASSPHRASE);
    },
  );
}

toolTest("what stands around a key is read over, as ssh does", async (dir) => {
  const path = join(dir, "key");
  const openssh = join(dir, "openssh");
  await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", openssh);
  const keys = [
    await run("openssl", "ecparam", "-name", "prime256v1", "-genkey"),
    await Deno.readTextFile(await plainKey(dir)),
    await Deno.readTextFile(openssh),
  ];
  assertMatch(keys[0]!, /BEGIN EC PARAMETERS/);
  for (const key of keys) {
    for (
      const text of [
        key,
        `Bag of my server\n\n${key}`,
        `${key}\n-- end --\n`,
        `\uFEFF${key}`,
      ]
    ) {
      await Deno.writeTextFile(path, text);
      await assertReads(path);
    }
  }
});

for (
  const [name, text, said, hint] of [
    [
      "version 3 of PuTTY's format",
      "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\nComment: c\nKey-Derivation: Argon2id\n",
      /it is in version 3 of PuTTY's format, which cannot be read$/,
      "puttygen KEY.ppk -O private-openssh -o KEYFILE",
    ],
    [
      "the format of ssh.com",
      "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nAAAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\n",
      /it is in the format of ssh\.com, which cannot be read$/,
      "-O private-openssh",
    ],
    [
      "a cipher that nobody has",
      "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: SEED-CBC,0102030405060708\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
      /it is encrypted with SEED-CBC, which cannot be read here$/,
      "ssh-keygen -p",
    ],
    [
      "the two characters \\n for each line end",
      "-----BEGIN OPENSSH PRIVATE KEY-----\\nAAAA\\n-----END OPENSSH PRIVATE KEY-----\\n",
      /its line ends are the two characters "\\" and "n"$/,
      'text.replaceAll("\\\\n", "\\n")',
    ],
  ] as const
) {
  Deno.test(`a key with ${name} is named, whatever the passphrase`, async () => {
    for (const passphrase of [undefined, PASSPHRASE]) {
      const error = await rejection(
        textIdentity(text).load(options(passphrase)),
      );
      assertInstanceOf(error, KeyError);
      if (passphrase !== undefined || !text.includes("ENCRYPTED\nDEK")) {
        assertMatch(error.message, said);
        assert(error.hint?.includes(hint), error.hint);
      }
    }
  });
}
