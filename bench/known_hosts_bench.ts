/**
 * A known_hosts file of 10 MB: parsed once, then looked up.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import { assertEquals } from "@std/assert";
import { KnownHosts } from "../transport/known_hosts/lookup.ts";

const SIZE_BYTES = 10 * 1024 * 1024;

const plainText = build((name) => name);
const hashedText = build((name) => {
  const salt = randomBytes(20);
  const hash = createHmac("sha1", salt).update(name).digest("base64");
  return `|1|${salt.toString("base64")}|${hash}`;
});

/** Lines of ed25519 keys, each of its own host. */
function build(format: (name: string) => string): string {
  const head = Buffer.from("0000000b7373682d6564323535313900000020", "hex");
  const lines: string[] = [];
  for (let bytes = 0, i = 0; bytes < SIZE_BYTES; i++) {
    const key = Buffer.concat([head, randomBytes(32)]).toString("base64");
    const line = `${format(`host${i}.example.com`)} ssh-ed25519 ${key}\n`;
    lines.push(line);
    bytes += line.length;
  }
  return lines.join("");
}

const plain = new KnownHosts(plainText);
const hashed = new KnownHosts(hashedText);
for (const hosts of [plain, hashed]) {
  assertEquals(hosts.bad, []);
  assertEquals(hosts.find("host500.example.com")[0]?.line, 501);
  assertEquals(hosts.find("host.example.com"), []);
}

Deno.bench({
  name: "parse 10 MB of plain names",
  group: "known_hosts: parse",
  baseline: true,
  n: 10,
  fn: () => void new KnownHosts(plainText),
});

Deno.bench({
  name: "parse 10 MB of hashed names",
  group: "known_hosts: parse",
  n: 10,
  fn: () => void new KnownHosts(hashedText),
});

let next = 0;

Deno.bench({
  name: "look up a plain name for the first time",
  group: "known_hosts: lookup",
  fn: () => void plain.find(`host${next++ % 50_000}.example.com`),
});

Deno.bench({
  name: "look up a hashed name again",
  group: "known_hosts: lookup",
  baseline: true,
  fn: () => void hashed.find("host500.example.com"),
});

Deno.bench({
  name: "look up a hashed name for the first time",
  group: "known_hosts: first lookup of a hashed name",
  n: 10,
  fn: () => void hashed.find(`host${next++}.example.com`),
});
