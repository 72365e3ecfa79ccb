/**
 * A large ssh_config: reading it, and asking it for one host.
 *
 * Each answer is checked once before it is timed.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { indexOf } from "../transport/ssh_config/_index.ts";
import { parseFile } from "../transport/ssh_config/_parser.ts";
import {
  loadSshConfig,
  SshConfigResolver,
} from "../transport/ssh_config/mod.ts";
import { reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";

reportOf(import.meta, "a large ssh_config");

/**
 * Returns a configuration with that many hosts, a few patterns, and defaults.
 */
function configOf(hosts: number): string {
  const blocks = Array.from({ length: hosts }, (_, n) => `
Host host-${n}
  HostName 10.${n >> 16 & 255}.${n >> 8 & 255}.${n & 255}
  User user-${n % 7}
  Port ${1024 + n % 50_000}
  IdentityFile ~/.ssh/id_${n % 3}
`);
  return `${blocks.join("")}
Host host-*9 !host-*99
  ServerAliveInterval 30
Match originalhost host-5*
  Ciphers aes256-gcm@openssh.com
Host *
  ConnectTimeout 10
  StrictHostKeyChecking accept-new
`;
}

const small = configOf(1_000);
const large = configOf(10_000);
assertEquals(parseFile(large, "config").blocks.length, 10_004);

const dir = await Deno.makeTempDir({ prefix: "sshpool-bench-" });
const path = `${dir}/config`;
await Deno.writeTextFile(path, large);
const options = { files: [path], home: "/home/u" };
const config = await loadSshConfig(options);
const resolver = new SshConfigResolver({ ...options, recheckMs: 2 ** 31 - 1 });
const first = await resolver.resolve("host-9999");
await Deno.remove(dir, { recursive: true });

assertEquals(config.compute("host-9999").host.hostname, "10.0.39.15");
assertEquals(first, resolver.resolve("host-9999"));

const common = { n: size(100, 3), warmup: size(10, 1), open: () => ({}) };

scenario({
  ...common,
  name: "parse 1,000 hosts",
  bytes: small.length,
  run: () => void parseFile(small, "config"),
});

scenario({
  ...common,
  name: "parse 10,000 hosts",
  bytes: large.length,
  run: () => void parseFile(large, "config"),
});

scenario({
  ...common,
  name: "parse and index 10,000 hosts",
  bytes: large.length,
  run: () => void indexOf(parseFile(large, "config")),
});

const BATCH = 200;
const lookUp = {
  ...common,
  group: "look up one of 10,000 hosts",
  batch: BATCH,
};
let next = 0;

scenario({
  ...lookUp,
  name: "resolve, asked before",
  baseline: true,
  run() {
    for (let i = 0; i < BATCH; i++) resolver.resolve("host-9999");
  },
});

scenario({
  ...lookUp,
  name: "compute, asked before",
  run() {
    for (let i = 0; i < BATCH; i++) config.compute("host-9999");
  },
});

scenario({
  ...lookUp,
  name: "compute, not asked before",
  run() {
    for (let i = 0; i < BATCH; i++) {
      // A port that was not asked for before: the answer is computed anew.
      const port = 1 + (++next >> 13) % 65_535;
      config.compute(`host-${next % 10_000}`, { port });
    }
  },
});
