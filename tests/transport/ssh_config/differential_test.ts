import { casesOfRun, Random, replay, seed } from "../../kit/random.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { openssh10, openssh10Hint } from "../../kit/sshd.ts";
import type { ResolvedHost } from "../../../transport/host/host.ts";
import {
  loadSshConfig,
  type SshConfig,
  SshConfigError,
  SshConfigResolver,
  type SshConfigResult,
} from "../../../transport/ssh_config/mod.ts";
import { generateConfig, type GeneratedQuery } from "./_generator.ts";

/** What `ssh -G` prints: the values of each keyword, in order. */
type Printed = ReadonlyMap<string, readonly string[]>;

const SSH = "ssh";
const hasSsh = await sshVersion() !== undefined;
const cases = casesOfRun(120);

async function sshVersion(): Promise<string | undefined> {
  try {
    const { stderr } = await new Deno.Command(SSH, { args: ["-V"] }).output();
    return new TextDecoder().decode(stderr);
  } catch {
    return undefined;
  }
}

async function askSsh(
  file: string,
  { name, user, port }: GeneratedQuery,
  program = SSH,
): Promise<Printed | string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args: [
      "-G",
      "-F",
      file,
      ...(user === undefined ? [] : ["-l", user]),
      ...(port === undefined ? [] : ["-p", String(port)]),
      name,
    ],
    stdin: "null",
  }).output();
  if (!success) return new TextDecoder().decode(stderr);
  const printed = new Map<string, string[]>();
  for (const line of new TextDecoder().decode(stdout).split("\n")) {
    const space = line.indexOf(" ");
    if (space < 0) continue;
    const key = line.slice(0, space);
    printed.set(key, [...printed.get(key) ?? [], line.slice(space + 1)]);
  }
  return printed;
}

/** Applies `+`, `-` and `^` to a default list, as OpenSSH does. */
function assemble(list: string, defaults: string): string {
  const names = list.replace(/^[-+^]/, "").split(",");
  const base = defaults.split(",");
  const unique = (all: string[]) => [...new Set(all)].join(",");
  if (list[0] === "+") return unique([...base, ...names]);
  if (list[0] === "^") return unique([...names, ...base]);
  if (list[0] === "-") return base.filter((n) => !names.includes(n)).join(",");
  return unique(names);
}

/** The seconds of a setting, where the field of the host is what they mean. */
function secondsOf(
  setting: string | undefined,
  ms: number | undefined,
): string | undefined {
  const expected = setting === undefined
    ? undefined
    : Math.min(Number(setting) * 1000, 2 ** 31 - 1);
  return ms === expected ? setting : `${ms} ms for ${setting} s`;
}

const SWITCH = { yes: "true", no: "false" } as Record<string, string>;

/** What `ssh -G` would print of our answer, for the keywords that are honoured. */
function print(
  { host, settings }: SshConfigResult,
  defaults: Printed,
): Record<string, readonly string[]> {
  const set = (key: string) => settings[key]?.[0];
  const listed = (key: string, files: readonly string[] | undefined) =>
    files === undefined ? defaults.get(key)! : [files.join(" ") || "none"];
  const or = (key: string, value: string | undefined) =>
    value === undefined ? defaults.get(key) ?? [] : [value];
  const algorithms = (key: string) => {
    const list = set(key);
    return list === undefined
      ? defaults.get(key)!
      : [assemble(list, defaults.get(key)![0]!)];
  };
  const agent = set("identityagent");
  const literal = agent === undefined ||
    /^(?:none|SSH_AUTH_SOCK|\$\w+)$/.test(agent);
  const forward = set("forwardagent");
  const strict = set("stricthostkeychecking");
  const jump = settings.proxyjump?.join(",");
  const proxy = set("proxycommand");
  return {
    user: or("user", host.user),
    hostname: [host.hostname],
    port: [String(host.port)],
    identityfile: settings.identityfile ?? defaults.get("identityfile")!,
    certificatefile: settings.certificatefile ?? [],
    identitiesonly: [host.identitiesOnly ? "yes" : "no"],
    identityagent: agent === undefined
      ? []
      : [literal ? agent : String(host.agent)],
    userknownhostsfile: listed("userknownhostsfile", host.knownHostsFiles),
    globalknownhostsfile: listed(
      "globalknownhostsfile",
      host.globalKnownHostsFiles,
    ),
    hostkeyalias: host.hostKeyAlias === undefined ? [] : [host.hostKeyAlias],
    stricthostkeychecking: or(
      "stricthostkeychecking",
      SWITCH[strict!] ?? strict,
    ),
    connecttimeout: or("connecttimeout", set("connecttimeout")),
    serveraliveinterval: or(
      "serveraliveinterval",
      secondsOf(set("serveraliveinterval"), host.keepaliveIntervalMs),
    ),
    serveralivecountmax: or(
      "serveralivecountmax",
      host.keepaliveCountMax?.toString(),
    ),
    ciphers: algorithms("ciphers"),
    kexalgorithms: algorithms("kexalgorithms"),
    macs: algorithms("macs"),
    hostkeyalgorithms: algorithms("hostkeyalgorithms"),
    pubkeyacceptedalgorithms: algorithms("pubkeyacceptedalgorithms"),
    forwardagent: forward?.startsWith("/")
      ? [forward]
      : [host.agentForward ? "yes" : "no"],
    hashknownhosts: [host.hashKnownHosts ? "yes" : "no"],
    sendenv: settings.sendenv ?? [],
    setenv: settings.setenv ?? [],
    addressfamily: [
      host.addressFamily === undefined
        ? "any"
        : host.addressFamily === 4
        ? "inet"
        : "inet6",
    ],
    bindaddress: host.bindAddress === undefined ? [] : [host.bindAddress],
    preferredauthentications: or(
      "preferredauthentications",
      set("preferredauthentications"),
    ),
    pubkeyauthentication: [SWITCH[set("pubkeyauthentication") ?? "yes"]!],
    passwordauthentication: [set("passwordauthentication") ?? "yes"],
    kbdinteractiveauthentication: [
      set("kbdinteractiveauthentication") ?? "yes",
    ],
    proxyjump: jump === undefined || jump === "none" ? [] : [jump],
    proxycommand: proxy === undefined || proxy === "none" ? [] : [proxy],
  };
}

async function ourAnswer(
  config: SshConfig | Error,
  query: GeneratedQuery,
): Promise<SshConfigResult | string> {
  try {
    if (config instanceof Error) throw config;
    const { name, ...named } = query;
    return await config.compute(name, named);
  } catch (error) {
    if (error instanceof SshConfigError) return error.message;
    throw error;
  }
}

// OpenSSH prints the settings where we refuse the host as a whole.
const STRICTER = /no authentication method is left|not safe in a shell command/;

async function compare(
  file: string,
  query: GeneratedQuery,
  config: SshConfig | Error,
  defaults: Printed,
): Promise<"same" | "refused" | "stricter"> {
  const theirs = await askSsh(file, query);
  const ours = await ourAnswer(config, query);
  if (typeof ours === "string" && STRICTER.test(ours)) return "stricter";
  if (typeof theirs === "string" && theirs.includes("jumphost loop")) {
    return "refused";
  }
  if (typeof theirs === "string" || typeof ours === "string") {
    if (typeof theirs === typeof ours) return "refused";
    const text = typeof ours === "string" ? ours : theirs as string;
    throw new Error(
      `${typeof ours === "string" ? "we" : "ssh"} alone refused ${
        JSON.stringify(query)
      }: ${text}`,
    );
  }
  const expected: Record<string, readonly string[]> = {};
  const actual = print(ours, defaults);
  for (const key of Object.keys(actual)) expected[key] = theirs.get(key) ?? [];
  // It prints the socket of a later line also where an earlier one says no.
  if (expected.forwardagent?.[0]?.startsWith("/") && !ours.host.agentForward) {
    expected.forwardagent = actual.forwardagent!;
  }
  assertEquals(actual, expected, JSON.stringify(query));
  return "same";
}

/** The resolver runs commands in its own way, and has to come to the same. */
async function compareResolver(
  resolver: SshConfigResolver,
  query: GeneratedQuery,
  config: SshConfig | Error,
): Promise<void> {
  const computed = await ourAnswer(config, query);
  if (typeof computed === "string") return;
  const { host: { jump: _, ...host }, isStable } = computed;
  const { name, user, port } = query;
  const text = (user === undefined ? "" : `${user}@`) + name +
    (port === undefined ? "" : `:${port}`);
  let resolved: ResolvedHost;
  try {
    resolved = await resolver.resolve(text);
  } catch (error) {
    // The hops are looked up too, and may be refused.
    assert(error instanceof TypeError || error instanceof SshConfigError);
    return;
  }
  const { jump: _hops, ...same } = resolved;
  assertEquals(same, { ...host, user: resolved.user, port: resolved.port });
  if (host.user !== undefined) assertEquals(resolved.user, host.user);
  assertEquals(resolved.port, host.port);
  if (!isStable) assert(!resolver.isStable(text));
}

async function runCase(
  caseSeed: number,
  root: string,
  defaults: Printed,
): Promise<Awaited<ReturnType<typeof compare>>[]> {
  const dir = `${root}/${caseSeed}`;
  await Deno.mkdir(dir);
  const { files, queries } = generateConfig(new Random(caseSeed), dir);
  for (const [path, text] of files) {
    await Deno.writeTextFile(path, text, { mode: 0o600 });
  }
  const file = `${dir}/config`;
  try {
    const options = { files: [file], allowMatchExec: true };
    const config = await loadSshConfig(options)
      .catch((error) => error as Error);
    const resolver = new SshConfigResolver(options);
    const outcomes: Awaited<ReturnType<typeof compare>>[] = [];
    for (const query of queries) {
      outcomes.push(await compare(file, query, config, defaults));
      await compareResolver(resolver, query, config);
    }
    await Deno.remove(dir, { recursive: true });
    return outcomes;
  } catch (error) {
    const text = [...files].map(([p, t]) => `--- ${p}\n${t}`).join("\n");
    throw new Error(
      `${replay(caseSeed, true)} replays this\n${text}`,
      { cause: error },
    );
  }
}

Deno.test({
  name: "SshConfig.compute() agrees with ssh -G on generated configurations",
  ignore: !hasSsh,
  fn: async () => {
    const root = await Deno.makeTempDir({ prefix: "sshpool-config-" });
    try {
      await Deno.writeTextFile(`${root}/empty`, "");
      const defaults = await askSsh(`${root}/empty`, { name: "none" });
      if (typeof defaults === "string") throw new Error(defaults);
      const counts = { same: 0, refused: 0, stricter: 0 };
      let next = 0;
      const worker = async () => {
        while (next < cases) {
          for (const o of await runCase(seed + next++, root, defaults)) {
            counts[o]++;
          }
        }
      };
      const workers = [worker(), worker(), worker()].map((done) =>
        done.finally(() => next = cases)
      );
      // All of them first: the directory is removed below.
      await Promise.allSettled(workers);
      await Promise.all(workers);
      // A generator that makes nothing but broken files would prove nothing.
      if (cases >= 100) {
        assertEquals(
          counts.same > counts.refused,
          true,
          JSON.stringify(counts),
        );
      }
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
});

Deno.test({
  name: "loadSshConfig() refuses what ssh -G refuses, and nothing else",
  ignore: !hasSsh,
  fn: async (t) => {
    const root = await Deno.makeTempDir({ prefix: "sshpool-config-" });
    try {
      const file = `${root}/config`;
      for (const [text, good] of CORPUS) {
        await t.step(JSON.stringify(text.slice(0, 50)), async () => {
          await Deno.writeTextFile(file, text);
          const theirs = await askSsh(file, { name: "h" });
          assertEquals(typeof theirs !== "string", good, "ssh -G");
          const ours = async () =>
            (await loadSshConfig({ files: [file] })).compute("h");
          if (good) await ours();
          else {
            const error = await assertRejects(ours, SshConfigError);
            assertEquals(error.file, file);
            assertEquals(typeof error.line, "number");
          }
        });
      }
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
});

/** Lines, and whether OpenSSH takes them. */
const CORPUS: readonly (readonly [string, boolean])[] = [
  ["", true],
  ["\n\n   \n# x\n", true],
  ["User", false],
  ["User ", false],
  ["User=", false],
  ["User = =x", true],
  ["User ==x", true],
  ["User a b", false],
  ["User a # b", true],
  ["User a#b", true],
  ['User "a b"', true],
  ["User 'a b'", true],
  ["User a\\ b", true],
  ['User "a', false],
  ["User 'a", false],
  ['"User" a', true],
  ['"User a', true],
  ['User ""', false],
  ["Port 0", false],
  ["Port 65536", false],
  ["Port x", false],
  ["Port -1", false],
  ["Port 22 23", false],
  ["Nonsense yes", false],
  ["IgnoreUnknown Non*\nNonsense yes", true],
  ["Nonsense yes\nIgnoreUnknown Non*", false],
  ["Host x\nIgnoreUnknown Non*\nHost *\nNonsense yes", false],
  ["Host x\nNonsense yes", false],
  ["Host x\nPort x", false],
  ["Host", false],
  ['Host ""', false],
  ["Host # nobody", true],
  ["Match", false],
  ["Match all x", false],
  ["Match all host x", false],
  ["Match host x all", true],
  ["Match host x user y all", false],
  ["Match host", false],
  ["Match host # x", false],
  ["Match wat x", false],
  ["Match wat", false],
  ["Match # x", false],
  ["Match final", true],
  ["IdentitiesOnly maybe", false],
  ["IdentitiesOnly YES", true],
  ["StrictHostKeyChecking perhaps", false],
  ["AddressFamily inet5", false],
  ["ConnectTimeout 1x", false],
  ["ConnectTimeout -1", false],
  ["ConnectTimeout 99999999999", false],
  ["ConnectTimeout 1h1h", true],
  ["ServerAliveCountMax x", false],
  ["ServerAliveCountMax 99999999999", false],
  ["UserKnownHostsFile none /x", false],
  ["UserKnownHostsFile /x none", false],
  ["UserKnownHostsFile # x", true],
  ["UserKnownHostsFile /%q", false],
  ["IdentityAgent ${", false],
  ["SendEnv A=B", false],
  ["SetEnv A", false],
  ["ProxyJump ,", false],
  ["ProxyJump a,,b", false],
  ["ProxyJump a:0", false],
  ["ProxyJump a:x", false],
  ["ProxyJump @a", false],
  ["ProxyJump ssh://u@a:22", true],
  ["ProxyJump ssh://u@a:22/path", false],
  ["ProxyCommand", false],
  ['ProxyCommand a "b', false],
  ["HostName %q", false],
  ["HostName %", false],
  ["Include", false],
  ['Include ""', false],
  ["Include /nowhere/at/all", true],
  ["Include /nowhere/*", true],
  ["User a\0 b", true],
  ["User a\f", true],
  ["\ufeffUser a", false],
  ["Us\u00e9r a", false],
];

/** What a value becomes for ssh, and here, in a configuration with these lines. */
async function expandedBy(
  program: string,
  lines: string,
  text: string,
): Promise<[unknown, unknown]> {
  const file = await Deno.makeTempFile({ prefix: "sshpool-config-" });
  try {
    await Deno.writeTextFile(
      file,
      `${lines}\nControlPath "${text}"\nIdentityFile "${text}"\n`,
    );
    const query = { name: "web-1", user: "ops", port: 2222 };
    const theirs = await askSsh(file, query, program);
    if (typeof theirs === "string") throw new Error(theirs);
    const config = await loadSshConfig({ files: [file] });
    const { host } = config.compute("web-1", { user: "ops", port: 2222 });
    return [theirs.get("controlpath"), host.identityFile];
  } finally {
    await Deno.remove(file);
  }
}

Deno.test({
  name: "SshConfig.compute() expands tokens to what ssh expands them to",
  ignore: !hasSsh,
  fn: async () => {
    const lines = "HostName 10.0.0.7\nHostKeyAlias Web";
    const all = "/%h/%n/%p/%r/%u/%k/%i/%l/%L/%C%%";
    const [theirs, ours] = await expandedBy(SSH, lines, all);
    assertEquals(ours, theirs);
  },
});

Deno.test({
  name:
    "SshConfig.compute() takes %j, and its part of %C, from the host of the last hop" +
    (openssh10 === undefined ? ` (${openssh10Hint})` : ""),
  ignore: openssh10 === undefined,
  fn: async () => {
    for (
      const hops of [
        "gate",
        "a,ops@gate:2222",
        "ssh://ops@gate:2222",
        "ops@[::1]:2222",
        "none",
      ]
    ) {
      const [theirs, ours] = await expandedBy(
        `${openssh10}/usr/bin/ssh`,
        `ProxyJump ${hops}`,
        "/%j/%C",
      );
      assertEquals(ours, theirs, hops);
    }
  },
});
