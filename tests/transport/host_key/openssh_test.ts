/** known_hosts against OpenSSH itself: `ssh-keygen -F`, and `ssh` at an sshd. */

import { casesOfRun, type Random, withSeed } from "../../kit/random.ts";
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { KnownHosts } from "../../../transport/host_key/lookup.ts";
import { prepareHostKeyCheck } from "../../../transport/host_key/policy.ts";
import { HostKeyError } from "../../../transport/errors.ts";
import type { HostKey } from "../../../transport/host/host.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import {
  ed25519,
  fingerprintOf,
  generateFile,
  NAMES,
  wire,
} from "./_generator.ts";

const noKeygen = await run("ssh-keygen", ["-?"]).then(() => false, () => true);

async function run(command: string, args: string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(command, { args }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

/** The lines that `ssh-keygen -F` finds for each name, by one shell. */
async function findWithKeygen(
  path: string,
  names: readonly string[],
): Promise<number[][]> {
  const script =
    `f=$1; shift; for n; do ssh-keygen -F "$n" -f "$f"; echo ==; done`;
  const output = await run("sh", ["-c", script, "sh", path, ...names]);
  return output.split("==\n").slice(0, names.length).map((part) =>
    [...part.matchAll(/^# Host .* found: line (\d+)/gm)].map((m) =>
      Number(m[1])
    )
  );
}

Deno.test({
  name: noKeygen
    ? `KnownHosts.find() agrees with ssh-keygen -F (${sshdHint})`
    : "KnownHosts.find() agrees with ssh-keygen -F",
  ignore: noKeygen,
  fn: () =>
    withSeed(async (random) => {
      const path = await Deno.makeTempFile();
      try {
        for (let i = casesOfRun(60); i > 0; i--) await compare(random, path);
      } finally {
        await Deno.remove(path);
        await Deno.remove(`${path}.old`).catch(() => {});
      }
    }),
});

/** Half of the files go through `ssh-keygen -H`, which hashes what it can. */
async function compare(random: Random, path: string): Promise<void> {
  const keys = [
    `ssh-ed25519 ${ed25519(random.bytes(32))}`,
    `ssh-ed25519 ${ed25519(random.bytes(32))}`,
    `ssh-rsa ${wire("ssh-rsa", new Uint8Array([1, 0, 1]), modulus(random))}`,
  ];
  const { text, damaged } = generateFile(random, keys);
  await Deno.writeFile(path, Buffer.from(text, "latin1"));
  const rehashed = random.chance(0.5) && damaged.size === 0;
  if (rehashed) await run("ssh-keygen", ["-q", "-H", "-f", path]);
  const content = Buffer.from(await Deno.readFile(path)).toString("latin1");
  const theirs = await findWithKeygen(path, NAMES);
  const hosts = new KnownHosts(content);
  NAMES.forEach((name, i) => {
    const ours = hosts.find(name).map(({ line }) => line);
    const expected = theirs[i]!.filter((line) => !damaged.has(line));
    assertEquals(ours, expected, `${name} in:\n${content}`);
  });
}

function modulus(random: Random): Uint8Array {
  const bytes = random.bytes(257);
  bytes[0] = 0;
  bytes[1] = 0x80;
  return bytes;
}

Deno.test({
  name: noSshd
    ? `prepareHostKeyCheck() accepts what ssh accepts (${sshdHint})`
    : "prepareHostKeyCheck() accepts what ssh accepts",
  ignore: noSshd,
  fn: () =>
    withSeed(async (random) => {
      await using sshd = await startSshd({
        hostKeyTypes: ["ed25519", "ecdsa", "rsa"],
        maxStartups: "100",
      });
      const shown = await Promise.all(
        ["ed25519", "ecdsa", "rsa"].map((type) =>
          Deno.readTextFile(`${sshd.dir}/host_${type}.pub`)
        ),
      );
      const keys = shown.map((text) => text.split(" ").slice(0, 2).join(" "));
      const path = `${sshd.dir}/kh`;
      const globalPath = `${sshd.dir}/kh_global`;
      const outcomes = new Set<string>();
      for (let i = Math.ceil(casesOfRun(60) / 3); i > 0; i--) {
        const others = [`ssh-ed25519 ${ed25519(random.bytes(32))}`];
        const pool = [...keys, ...random.chance(0.5) ? others : []];
        await writeCase(path, random, pool, sshd.port);
        await writeCase(globalPath, random, pool, sshd.port);
        const type = random.pick(["ssh-ed25519", undefined]);
        const alias = random.chance(0.5) ? random.pick(NAMES) : undefined;
        const theirs = await dialWithSsh({
          path,
          globalPath,
          port: sshd.port,
          alias,
          type,
        });
        const ours = await judge({
          path,
          globalPath,
          port: sshd.port,
          alias,
          key: theirs.key,
        });
        outcomes.add(`${ours.trusted}`);
        // ssh chose among all that the server has: by what is known.
        const [first] = ours.algorithms;
        if (type === undefined && first !== undefined && !ours.byBareName) {
          assertEquals(theirs.type, first.replace(/^rsa-sha2-.*/, "ssh-rsa"));
        }
        const text = await Deno.readTextFile(path);
        assertEquals(
          ours.trusted,
          theirs.accepted,
          `${alias} ${theirs.output}\n${text}\n--\n${await Deno.readTextFile(
            globalPath,
          )}`,
        );
      }
      assertEquals(outcomes.size, 2, "all accepted, or all refused");
    }),
});

async function writeCase(
  path: string,
  random: Random,
  keys: readonly string[],
  port: number,
): Promise<void> {
  const { text } = generateFile(random, keys);
  const own = () => {
    const name = random.pick([
      "127.0.0.1",
      `[127.0.0.1]:${port}`,
      "127.*",
      "[127.*",
    ]);
    const marker = random.pick(["", "", "", "", "@revoked "]);
    return `\n${marker}${name} ${random.pick(keys)}\n`;
  };
  const mine = random.chance(0.5)
    ? own() + (random.chance(0.3) ? own() : "")
    : "";
  await Deno.writeFile(path, Buffer.from(text + mine, "latin1"));
}

interface Dial {
  path: string;
  globalPath: string;
  port: number;
  alias: string | undefined;
}

/** Whether ssh trusted the server, and the key that the server showed it. */
async function dialWithSsh(
  { path, globalPath, port, alias, type }: Dial & { type: string | undefined },
): Promise<{ accepted: boolean; key: string; type: string; output: string }> {
  const options = {
    BatchMode: "yes",
    PreferredAuthentications: "none",
    UserKnownHostsFile: path,
    GlobalKnownHostsFile: globalPath,
    StrictHostKeyChecking: "yes",
    LogLevel: "DEBUG1",
    ...alias === undefined ? {} : { HostKeyAlias: alias },
    ...type === undefined ? {} : { HostKeyAlgorithms: type },
  };
  const args = Object.entries(options).flatMap(([k, v]) => ["-o", `${k}=${v}`]);
  const output = await run("ssh", [
    "-F",
    "none",
    "-p",
    String(port),
    ...args,
    "127.0.0.1",
    "true",
  ]);
  const refused = output.includes("Host key verification failed");
  assert(refused !== output.includes("Permission denied"), output);
  const shown = /Server host key: (\S+) (SHA256:\S+)/.exec(output);
  assert(shown !== null, output);
  const [, keyType = "", key = ""] = shown;
  return { accepted: !refused, key, type: keyType, output };
}

interface Judgement {
  trusted: boolean;
  algorithms: readonly string[];
  /** The algorithms come from the name without the port: ssh has no such. */
  byBareName: boolean;
}

/** What our check says of the key with that fingerprint. */
async function judge(
  { path, globalPath, port, alias, key }: Dial & { key: string },
): Promise<Judgement> {
  const prepare = (hostKeyAlias: string | undefined) =>
    prepareHostKeyCheck({
      hostname: "127.0.0.1",
      user: "x",
      port,
      knownHostsFiles: [path],
      globalKnownHostsFiles: [globalPath],
      ...hostKeyAlias === undefined ? {} : { hostKeyAlias },
    });
  const check = await prepare(alias);
  const exact = await prepare(alias ?? `[127.0.0.1]:${port}`);
  const algorithms = check.hostKeyAlgorithms;
  const byBareName = exact.hostKeyAlgorithms.length === 0;
  try {
    await check.verify(await shownKey(path, key, port));
    return { trusted: true, algorithms, byBareName };
  } catch (error) {
    if (!(error instanceof HostKeyError)) throw error;
    return { trusted: false, algorithms, byBareName };
  }
}

async function shownKey(
  path: string,
  fingerprint: string,
  port: number,
): Promise<HostKey> {
  const dir = path.slice(0, path.lastIndexOf("/"));
  for (const name of ["ed25519", "ecdsa", "rsa"]) {
    const text = await Deno.readTextFile(`${dir}/host_${name}.pub`);
    const [type = "", key = ""] = text.trim().split(" ");
    if (fingerprintOf(key) !== fingerprint) continue;
    const bytes = new Uint8Array(Buffer.from(key, "base64"));
    return {
      host: `x@127.0.0.1:${port}`,
      hostname: "127.0.0.1",
      port,
      type,
      fingerprint,
      key: bytes,
    };
  }
  throw new Error(`Bug: sshd showed an unknown key ${fingerprint}`);
}
