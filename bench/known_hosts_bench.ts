/**
 * A known_hosts file of 10 MB (1 MB in a short run): parsed once, then looked up.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import { assertEquals } from "@std/assert";
import { KnownHosts } from "../transport/host_key/lookup.ts";
import { reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";

reportOf(import.meta, "a large known_hosts file");

const SIZE_BYTES = size(10_000_000, 1_000_000);
const FILE = `${SIZE_BYTES / 1e6} MB`;

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

for (const [name, text] of Object.entries({ plainText, hashedText })) {
  const kind = name === "plainText" ? "plain" : "hashed";
  scenario({
    name: `${kind} names`,
    group: `parse ${FILE}`,
    baseline: kind === "plain",
    n: size(20, 2),
    bytes: text.length,
    open: () => text,
    run: (text) => void new KnownHosts(text),
  });
}

const BATCH = 100;
let next = 0;

scenario({
  name: `look up a plain name for the first time, ${FILE}`,
  n: size(200, 20),
  warmup: 5,
  batch: BATCH,
  open: () => ({ plain }),
  run({ plain }) {
    for (let i = 0; i < BATCH; i++) {
      plain.find(`host${next++ % 50_000}.example.com`);
    }
  },
});

scenario({
  name: `look up a hashed name again, ${FILE}`,
  n: size(200, 20),
  warmup: 5,
  batch: 10_000,
  open: () => ({ hashed }),
  run({ hashed }) {
    for (let i = 0; i < 10_000; i++) hashed.find("host500.example.com");
  },
});

// Each hash of the file is computed: with so many lines that takes its time.
scenario({
  name: `look up a hashed name for the first time, ${FILE}`,
  n: size(3, 1),
  warmup: 0,
  open: () => ({ hashed }),
  run: ({ hashed }) => void hashed.find(`host${next++}.example.com`),
});
