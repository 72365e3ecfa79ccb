import { slowdown } from "../../kit/linear.ts";
import { casesOfRun, Random, withSeed } from "../../kit/random.ts";
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { KnownHosts } from "../../../transport/host_key/lookup.ts";
import { parseKnownHosts } from "../../../transport/host_key/parser.ts";
import {
  ed25519,
  generateFile,
  hashedName,
  NAMES,
  wire,
} from "./_generator.ts";

const KEY = `ssh-ed25519 ${ed25519(new Uint8Array(32).fill(7))}`;

function linesOf(text: string, name: string): number[] {
  return new KnownHosts(text).find(name).map(({ line }) => line);
}

function problemOf(line: string): string | undefined {
  const { bad } = parseKnownHosts(`${line}\n`);
  return bad[0]?.problem;
}

Deno.test("KnownHosts.find() finds plain names, in any case, on their lines", () => {
  const text =
    `# c\n\nDB1,10.0.0.1 ${KEY}\r\n\r\n[db1]:2222 ${KEY}\ndb1 ${KEY}`;
  assertEquals(linesOf(text, "db1"), [3, 6]);
  assertEquals(linesOf(text, "Db1"), [3, 6]);
  assertEquals(linesOf(text, "10.0.0.1"), [3]);
  assertEquals(linesOf(text, "[db1]:2222"), [5]);
  assertEquals(linesOf(text, "db"), []);
  assertEquals(parseKnownHosts(text).bad, []);
});

Deno.test("KnownHosts.find() lets a negation win wherever it stands", () => {
  assertEquals(linesOf(`*.lan,!db1.lan ${KEY}`, "db1.lan"), []);
  assertEquals(linesOf(`!db1.lan,*.lan ${KEY}`, "db1.lan"), []);
  assertEquals(linesOf(`!db1.lan,*.lan ${KEY}`, "db2.lan"), [1]);
  assertEquals(linesOf(`!db1.lan ${KEY}`, "db2.lan"), []);
  assertEquals(linesOf(`*.lan,!db1.lan ${KEY}\ndb1.lan ${KEY}`, "db1.lan"), [
    2,
  ]);
});

Deno.test("KnownHosts.find() finds hashed names", () => {
  const random = new Random(1);
  const text = `${hashedName("db1", random)} ${KEY}\n` +
    `${hashedName("[db1]:2222", random)} ${KEY}\n`;
  assertEquals(linesOf(text, "db1"), [1]);
  assertEquals(linesOf(text, "DB1"), [1]);
  assertEquals(linesOf(text, "[db1]:2222"), [2]);
  assertEquals(linesOf(text, "db2"), []);
});

Deno.test("parseKnownHosts() says what is wrong with a bad line", () => {
  const base64 = KEY.split(" ")[1]!;
  const weak = wire("ssh-rsa", new Uint8Array([3]), new Uint8Array(64).fill(9));
  const cases: Record<string, string> = {
    "db1": "the key type is missing",
    "db1 # comment": "the key type is missing",
    "@revoked": "the key type is missing",
    [`@revokd db1 ${KEY}`]: "the marker is not known",
    [`@revoked @revoked db1 ${KEY}`]: "only one marker is allowed",
    "db1 ssh-ed25519": "the key is missing",
    [`db1 ssh-foo ${base64}`]: "the key type is not known",
    [`db1 __proto__ ${base64}`]: "the key type is not known",
    [`db1 ssh-rsa ${base64}`]: "the key is cut short or too long",
    [`db1 ecdsa-sha2-nistp256 ${wire("ssh-rsa", "a", "b")}`]:
      "the key is of another type than its line says",
    [`db1 ssh-ed25519 ${base64}AAAA`]: "the key is cut short or too long",
    [`db1 ssh-ed25519 ${base64}=`]: "the key is not valid base64",
    [`db1 ssh-ed25519 ${base64.slice(0, -1)}`]: "the key is not valid base64",
    [`db1 ssh-ed25519 ${base64.replace("A", "-")}`]:
      "the key is not valid base64",
    [`db1 ssh-ed25519 ${wire("ssh-ed25519", "short")}`]:
      "the key is not 32 bytes long",
    [`db1 ssh-rsa ${weak}`]: "the RSA key has less than 1024 bits",
    [`|1|AAAA|AAAA ${KEY}`]: "the hashed host name is malformed",
    [`|1|x ${KEY}`]: "the hashed host name is malformed",
    [`|2|a|b ${KEY}`]: "the hashed host name is malformed",
    [`${"x".repeat(1023)} ${KEY}`]:
      "a host name is longer than 1022 characters",
  };
  for (const [line, problem] of Object.entries(cases)) {
    assertEquals(problemOf(line), problem, line);
  }
  assertEquals(problemOf(`${"x".repeat(1022)} ${KEY}`), undefined);
});

Deno.test("parseKnownHosts() honours @revoked also where OpenSSH trips over a tab", () => {
  const { exact } = parseKnownHosts(`@revoked\tdb1 ${KEY}\n`);
  assertEquals(exact.get("db1")?.[0]?.marker, "revoked");
});

Deno.test("parseKnownHosts() survives what no editor would write", () => {
  const corpus = [
    "",
    "\n",
    "\0",
    "\r",
    "\r\n\r\n",
    "\ufeff",
    "@",
    "@ ",
    "|",
    "||||",
    "!",
    "!,!",
    ",",
    ",,, " + KEY,
    "* *",
    "\x7fELF\x02\x01\x01\0\0\0",
    `db1\0 ${KEY}`,
    `db1 ${KEY}\0`,
    "[]:22 " + KEY,
    "[ " + KEY,
    "a ".repeat(10_000),
    "@revoked ".repeat(1_000),
    "db1 ssh-ed25519 ////////////////////",
    "db1 ssh-ed25519 " + "A".repeat(1_000_000),
    "x,".repeat(200_000) + "x " + KEY,
    "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    "constructor " + KEY + "\n__proto__ " + KEY,
  ];
  for (const text of corpus) {
    const hosts = new KnownHosts(text);
    for (const name of [...NAMES, "", "constructor", "toString", "é"]) {
      hosts.find(name);
    }
  }
  assertEquals(linesOf(`db1 ${KEY}\0 rest`, "db1"), [1]);
});

Deno.test("parseKnownHosts() never trusts a mutated line for what it did not say", () =>
  withSeed((random) => {
    const keys = [KEY, `ssh-ed25519 ${ed25519(random.bytes(32))}`];
    for (let i = casesOfRun(500); i > 0; i--) {
      const { text } = generateFile(random, keys);
      const mutated = mutate(text, random);
      const hosts = new KnownHosts(mutated);
      const lines = mutated.split("\n");
      for (const name of NAMES) {
        for (const { line, type, key } of hosts.find(name)) {
          const source = lines[line - 1] ?? "";
          assert(source.includes(type) && source.includes(key), source);
          const blob = Buffer.from(key, "base64");
          assertEquals(blob.readUInt32BE(0), type.length, source);
        }
      }
      for (const { line, problem } of hosts.bad) {
        assert(line >= 1 && line <= lines.length && problem !== "");
      }
    }
  }));

function mutate(text: string, random: Random): string {
  const bytes = Buffer.from(text, "latin1");
  for (let n = 1 + random.below(6); n > 0 && bytes.length > 0; n--) {
    const at = random.below(bytes.length);
    const special = Buffer.from("\n\r\t\0 ,!*?|@#[]:=A\xff", "latin1");
    bytes[at] = random.chance(0.5)
      ? special[random.below(special.length)]!
      : random.below(256);
  }
  const mutated = bytes.toString("latin1");
  const cut = random.below(mutated.length + 1);
  if (random.chance(0.2)) return mutated.slice(0, cut);
  return random.chance(0.2) ? mutated.slice(cut) + mutated : mutated;
}

Deno.test("parseKnownHosts() takes linear time", () => {
  const shapes: Record<string, (n: number) => string> = {
    lines: (n) => `db1 ${KEY}\n`.repeat(n),
    patterns: (n) => `*.a?,!b* ${KEY}\n`.repeat(n),
    names: (n) => Array.from({ length: n }, (_, i) => `h${i}`) + ` ${KEY}\n`,
    blanks: (n) => " \t".repeat(n * 20),
    "one key": (n) => `db1 ssh-ed25519 ${"AAAA".repeat(n * 10)}`,
    commas: (n) => ",".repeat(n * 20) + ` ${KEY}`,
    markers: (n) => "@revoked ".repeat(n * 5),
  };
  for (const [shape, make] of Object.entries(shapes)) {
    const ratio = slowdown(
      (text) => void new KnownHosts(text).find("db1"),
      [make(2_000), make(20_000)],
      10,
    );
    assert(ratio < 3, `${shape}: ten times the input took ${10 * ratio} times`);
  }
});

Deno.test("KnownHosts.find() compares the whole hash of a name", () => {
  const salt = Buffer.alloc(20, 7);
  const digest = createHmac("sha1", salt).update("db1").digest();
  const line = (hash: Buffer) =>
    `|1|${salt.toString("base64")}|${hash.toString("base64")} ${KEY}\n`;
  assertEquals(linesOf(line(digest), "db1"), [1]);
  for (let at = 0; at < digest.length; at++) {
    const other = Buffer.from(digest);
    other[at]! ^= 1;
    assertEquals(linesOf(line(other), "db1"), [], `byte ${at}`);
  }
});

Deno.test("parseKnownHosts() tells of a hashed name that OpenSSH does not know", () => {
  const good = Buffer.alloc(20, 7).toString("base64");
  const short = Buffer.alloc(19, 7).toString("base64");
  const names = [
    `|2|${good}|${good}`,
    `|1|${short}|${good}`,
    `|1|${good}|${short}`,
    `|1|${good}|${good.slice(0, -1)}`,
    `|1|${good}|${good}|`,
    `|1|${good}`,
  ];
  for (const name of names) {
    const { bad, hashed } = parseKnownHosts(`${name} ${KEY}\n`);
    assertEquals(bad, [{
      line: 1,
      problem: "the hashed host name is malformed",
    }], name);
    assertEquals(hashed, []);
  }
});
