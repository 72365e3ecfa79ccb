/** `pool.exec("web-1", ...)` means what `ssh web-1` means. */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { pooledMap } from "@std/async";
import { join } from "node:path";
import {
  AuthenticationError,
  DialError,
  type HostDefaults,
  HostKeyError,
} from "../../mod.ts";
import { type Sshd, startSshd } from "../_sshd.ts";
import {
  authorize,
  configured,
  failure,
  hashed,
  keygen,
  newPool,
  publicKey,
  RELAY,
  serverKey,
  ssh,
  sshdTest,
  startAgent,
} from "./_kit.ts";

/** What there is on the machine. */
interface World {
  readonly dir: string;
  readonly sshd: Sshd;
  readonly port: number;
  /** Name of the server in known_hosts. */
  readonly name: string;
  /** Its keys, as known_hosts has them. */
  readonly ed25519: string;
  readonly ecdsa: string;
  /** The key of another server. */
  readonly other: string;
  /** Paths of private keys. */
  readonly good: string;
  readonly encrypted: string;
  readonly stranger: string;
  readonly absent: string;
  readonly held: string;
  /** Sockets of agents. */
  readonly agent: string;
  readonly crowded: string;
}

/** One set-up of a user. */
interface Setup {
  readonly name: string;
  /** Lines before everything, for "Host web-1". First value wins. */
  readonly host?: (w: World) => string[];
  /** Further text of the configuration, in front. */
  readonly front?: (w: World) => string;
  readonly knownHosts?: (w: World) => string | Promise<string>;
  readonly globalKnownHosts?: (w: World) => string;
  readonly target?: string;
  /** Leave out the good key file after those of `host`. */
  readonly noGoodKey?: true;
  readonly passphrase?: string;
  readonly expect: "accepted" | "host key" | "authentication" | "dial";
}

const known = ({ name, ed25519 }: World) => `${name} ${ed25519}\n`;
const SAY =
  'echo "$(id -un) [$SSHPOOL_X] ${SSH_CONNECTION%% *} ${SSH_CONNECTION##* }"';

const setups: Setup[] = [
  { name: "a known host", expect: "accepted" },
  { name: "no known_hosts line", knownHosts: () => "", expect: "host key" },
  {
    name: "no known_hosts file",
    host: ({ dir }) => [`UserKnownHostsFile ${dir}/none-such`],
    expect: "host key",
  },
  {
    name: "an unknown host and accept-new",
    host: () => ["StrictHostKeyChecking accept-new"],
    knownHosts: () => "",
    expect: "accepted",
  },
  {
    name: "a changed key",
    knownHosts: ({ name, other }) => `${name} ${other}\n`,
    expect: "host key",
  },
  {
    name: "a changed key and accept-new",
    host: () => ["StrictHostKeyChecking accept-new"],
    knownHosts: ({ name, other }) => `${name} ${other}\n`,
    expect: "host key",
  },
  {
    name: "two keys, the second of which is right",
    knownHosts: (w) => `${w.name} ${w.other}\n${known(w)}`,
    expect: "accepted",
  },
  {
    name: "a revoked key",
    knownHosts: (w) => `${known(w)}@revoked * ${w.ed25519}\n`,
    expect: "host key",
  },
  {
    name: "a key that is known as a certificate authority's alone",
    knownHosts: (w) => `@cert-authority ${w.name} ${w.ed25519}\n`,
    expect: "host key",
  },
  {
    name: "hashed names",
    knownHosts: (w) => hashed(w.dir, `${known(w)}[::1]:22 ${w.other}\n`),
    expect: "accepted",
  },
  {
    name: "hashed names and a changed key",
    knownHosts: (w) => hashed(w.dir, `${w.name} ${w.other}\n`),
    expect: "host key",
  },
  {
    name: "a key known for another port",
    knownHosts: ({ ed25519 }) => `[127.0.0.1]:1 ${ed25519}\n`,
    expect: "host key",
  },
  {
    name: "a key known for the address without a port",
    knownHosts: ({ ed25519 }) => `127.0.0.1 ${ed25519}\n`,
    expect: "accepted",
  },
  {
    name: "a wildcard",
    knownHosts: ({ port, ed25519 }) => `[127.0.*.?]:${port} ${ed25519}\n`,
    expect: "accepted",
  },
  {
    name: "a wildcard with an exception",
    knownHosts: ({ name, port, ed25519 }) =>
      `[127.*]:${port},!${name} ${ed25519}\n`,
    expect: "host key",
  },
  {
    name: "comments, CRLF, empty and broken lines",
    knownHosts: (w) => `# mine\r\n\r\nnonsense\r\n\t${known(w).trim()} me\r\n`,
    expect: "accepted",
  },
  {
    name: "only the server's second key known",
    knownHosts: ({ name, ecdsa }) => `${name} ${ecdsa}\n`,
    expect: "accepted",
  },
  {
    name: "only the server's second key known, and only the first asked for",
    host: () => ["HostKeyAlgorithms ssh-ed25519"],
    knownHosts: ({ name, ecdsa }) => `${name} ${ecdsa}\n`,
    expect: "host key",
  },
  {
    name: "a HostKeyAlias",
    host: () => ["HostKeyAlias web.example"],
    knownHosts: ({ ed25519 }) => `web.example ${ed25519}\n`,
    expect: "accepted",
  },
  {
    name: "a HostKeyAlias, and only the address known",
    host: () => ["HostKeyAlias web.example"],
    expect: "host key",
  },
  {
    name: "a known_hosts file of the system",
    knownHosts: () => "",
    globalKnownHosts: known,
    expect: "accepted",
  },
  {
    name: "a key revoked by the system",
    globalKnownHosts: ({ ed25519 }) => `@revoked * ${ed25519}\n`,
    expect: "host key",
  },
  {
    name: "Include, Match, negation, tokens and a default after them",
    front: (w) =>
      [
        `Include ${w.dir}/inc/*.conf`,
        "Host * !web-1",
        "  User nobody",
        "Match originalhost web-1 user root,*-test",
        "  SetEnv SSHPOOL_X=matched",
        "Match host 127.0.0.1",
        "  BindAddress 127.0.0.3",
        "",
      ].join("\n"),
    expect: "accepted",
  },
  {
    name: "SetEnv and BindAddress",
    host: () => ["SetEnv SSHPOOL_X=two", "BindAddress 127.0.0.2"],
    expect: "accepted",
  },
  {
    name: "a user who is not let in",
    host: () => ["User nobody"],
    expect: "authentication",
  },
  {
    name: "a user named by the caller",
    target: "nobody@web-1",
    expect: "authentication",
  },
  {
    name: "a key that is not let in",
    host: ({ stranger }) => [`IdentityFile ${stranger}`],
    expect: "accepted", // the good one is added by the block after it
  },
  {
    name: "a missing key file before a good one",
    host: ({ absent }) => [`IdentityFile ${absent}`],
    expect: "accepted",
  },
  {
    name: "an encrypted key with its passphrase",
    host: ({ encrypted }) => [`IdentityFile ${encrypted}`],
    noGoodKey: true,
    passphrase: "right horse",
    expect: "accepted",
  },
  {
    name: "an encrypted key with another passphrase",
    host: ({ encrypted }) => [`IdentityFile ${encrypted}`],
    noGoodKey: true,
    passphrase: "wrong horse",
    expect: "authentication",
  },
  {
    name: "only a missing key file",
    host: ({ absent }) => [`IdentityFile ${absent}`],
    noGoodKey: true,
    expect: "dial", // nobody is asked: there is nothing to offer
  },
  {
    name: "an agent, and no key file",
    host: ({ agent, absent }) => [
      `IdentityAgent ${agent}`,
      `IdentityFile ${absent}`,
    ],
    noGoodKey: true,
    expect: "accepted",
  },
  {
    name: "an agent whose key no IdentityFile names, and IdentitiesOnly",
    host: ({ agent, stranger }) => [
      `IdentityAgent ${agent}`,
      `IdentityFile ${stranger}`,
      "IdentitiesOnly yes",
    ],
    noGoodKey: true,
    expect: "authentication",
  },
  {
    name: "an agent whose key a public IdentityFile names, and IdentitiesOnly",
    host: ({ agent, held }) => [
      `IdentityAgent ${agent}`,
      `IdentityFile ${held}.pub`,
      "IdentitiesOnly yes",
    ],
    noGoodKey: true,
    expect: "accepted",
  },
  {
    name: "an agent of more keys than the server lets anyone try",
    host: ({ crowded }) => [`IdentityAgent ${crowded}`],
    expect: "authentication",
  },
  {
    name: "an agent of too many keys, and IdentitiesOnly",
    host: ({ crowded }) => [`IdentityAgent ${crowded}`, "IdentitiesOnly yes"],
    expect: "accepted",
  },
  {
    name: "no agent at the socket",
    host: ({ dir }) => [`IdentityAgent ${dir}/no-agent`],
    expect: "accepted",
  },
  {
    name: "public keys switched off",
    host: () => ["PubkeyAuthentication no"],
    expect: "authentication",
  },
  {
    name: "a cipher that the server does not have",
    host: () => ["Ciphers aes128-cbc"],
    expect: "dial",
  },
  {
    name: "a port where nobody listens",
    host: () => ["Port 1"],
    expect: "dial",
  },
  {
    name: "IPv6 alone for an IPv4 address",
    host: () => ["AddressFamily inet6"],
    expect: "dial",
  },
  {
    name: "a ProxyCommand with tokens",
    host: () => [`ProxyCommand ${RELAY}`],
    expect: "accepted",
  },
];

sshdTest(
  `ConnectionPool and ssh accept and refuse alike in ${setups.length} set-ups`,
  async (dir) => {
    await using sshd = await startSshd({
      hostKeyTypes: ["ed25519", "ecdsa"],
      config: ["DenyUsers nobody"],
    });
    await using agent = await startAgent(dir);
    const crowd = await Deno.makeTempDir({ dir });
    await using crowded = await startAgent(crowd);
    const key = (name: string, passphrase = "") =>
      keygen(join(dir, name), { passphrase });
    for (let i = 0; i < 7; i++) await crowded.add(await key(`crowd${i}`));
    const held = await key("held");
    await agent.add(held);
    const encrypted = await key("encrypted", "right horse");
    await authorize(sshd, held, encrypted);
    await Deno.remove(held);
    await Deno.mkdir(join(dir, "inc"));
    await Deno.writeTextFile(
      join(dir, "inc", "a.conf"),
      "Host web-?\n  HostName 127.0.0.1\n",
    );
    const world: World = {
      dir,
      sshd,
      port: sshd.port,
      name: `[127.0.0.1]:${sshd.port}`,
      ed25519: await serverKey(sshd),
      ecdsa: await serverKey(sshd, "ecdsa"),
      other: await publicKey(await key("other")),
      good: sshd.privateKeyPath,
      encrypted,
      stranger: await key("stranger"),
      absent: join(dir, "absent"),
      held,
      agent: agent.path,
      crowded: crowded.path,
    };
    const wrong: string[] = [];
    const numbered = setups.map((setup, index) => ({ setup, index }));
    for await (
      const problem of pooledMap(
        4,
        numbered,
        ({ setup, index }) => compare(world, setup, index),
      )
    ) {
      if (problem !== undefined) wrong.push(problem);
    }
    assertEquals(wrong, []);
  },
);

/** Asks both; gives what they do not agree about. */
async function compare(
  world: World,
  setup: Setup,
  index: number,
): Promise<string | undefined> {
  const dir = join(world.dir, `${index}`);
  await Deno.mkdir(dir);
  const reset = () => writeFiles(world, setup, dir);
  const file = await reset();
  const target = setup.target ?? "web-1";
  const theirs = await ssh(file, target, SAY, setup.passphrase);
  // What ssh wrote with accept-new must not help us.
  await reset();
  const defaults: HostDefaults = setup.passphrase === undefined
    ? {}
    : { passphrase: setup.passphrase };
  await using pool = newPool({ config: { files: [file] }, defaults });
  let ours = "";
  let stdout = "";
  try {
    ({ stdout } = await pool.exec(target, SAY));
    ours = "accepted";
  } catch (error) {
    ours = error instanceof HostKeyError
      ? "host key"
      : error instanceof AuthenticationError
      ? "authentication"
      : error instanceof DialError
      ? "dial"
      : String(error);
    if (ours !== setup.expect) ours += ` (${error})`;
  }
  const agreed = theirs.ok === (ours === "accepted") &&
    ours === setup.expect && stdout === theirs.stdout;
  return agreed
    ? undefined
    : `${setup.name}: ${
      JSON.stringify({ expected: setup.expect, ours, stdout, theirs })
    }`;
}

async function writeFiles(
  world: World,
  setup: Setup,
  dir: string,
): Promise<string> {
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(join(dir, name), text);
    return join(dir, name);
  };
  const lines = setup.host?.(world) ?? [];
  const config = [
    setup.front?.(world) ?? "",
    "Host web-1",
    ...lines,
    "HostName 127.0.0.1",
    `Port ${world.port}`,
    `User ${world.sshd.user}`,
    ...setup.noGoodKey ? [] : [`IdentityFile ${world.good}`],
    "IdentityAgent none",
    `UserKnownHostsFile ${dir}/known_hosts`,
    `GlobalKnownHostsFile ${dir}/global_known_hosts`,
    "",
  ];
  await write("known_hosts", await (setup.knownHosts ?? known)(world));
  await write("global_known_hosts", setup.globalKnownHosts?.(world) ?? "");
  return await write("config", config.join("\n"));
}

sshdTest(
  "ConnectionPool.exec() with accept-new writes a line that ssh then accepts",
  async (dir) => {
    await using sshd = await startSshd();
    const text = (policy: string) =>
      [
        "Host web-1",
        "HostName 127.0.0.1",
        `Port ${sshd.port}`,
        `User ${sshd.user}`,
        `IdentityFile ${sshd.privateKeyPath}`,
        "IdentityAgent none",
        "HashKnownHosts yes",
        `StrictHostKeyChecking ${policy}`,
        `UserKnownHostsFile ${dir}/known_hosts`,
        "GlobalKnownHostsFile none",
        "",
      ].join("\n");
    await using pool = await configured(dir, text("accept-new"));
    assertEquals((await pool.exec("web-1", "echo hi")).stdout, "hi\n");
    const written = await Deno.readTextFile(join(dir, "known_hosts"));
    assert(written.startsWith("|1|"), written);
    const file = join(dir, "strict");
    await Deno.writeTextFile(file, text("yes"));
    const { ok, stderr } = await ssh(file, "web-1", "true");
    assert(ok, stderr);
  },
);

sshdTest(
  "ConnectionPool.exec() sees a configuration that changed once its host is not in use",
  async (dir) => {
    await using first = await startSshd({ config: ["SetEnv SSHPOOL_X=first"] });
    await using other = await startSshd({ config: ["SetEnv SSHPOOL_X=other"] });
    const text = async (sshd: Sshd) => {
      const key = await serverKey(sshd);
      const line = `[127.0.0.1]:${sshd.port} ${key}\n`;
      await Deno.writeTextFile(join(dir, `kh${sshd.port}`), line);
      return [
        "Host web-1",
        "HostName 127.0.0.1",
        `Port ${sshd.port}`,
        `User ${sshd.user}`,
        `IdentityFile ${sshd.privateKeyPath}`,
        `UserKnownHostsFile ${dir}/kh${sshd.port}`,
        "GlobalKnownHostsFile none",
        "IdentityAgent none",
        "",
      ].join("\n");
    };
    const say = "echo $SSHPOOL_X";
    await using pool = await configured(dir, await text(first));
    assertEquals((await pool.exec("web-1", say)).stdout, "first\n");
    await Deno.writeTextFile(join(dir, "config"), await text(other));
    assertEquals((await pool.exec("web-1", say)).stdout, "first\n");
    await pool.removeConnection("web-1");
    assertEquals((await pool.exec("web-1", say)).stdout, "other\n");
  },
);

sshdTest(
  "ConnectionPool.exec() fails with file and line for a configuration that is broken",
  async (dir) => {
    await using pool = await configured(dir, "Host web-1\n  Port many\n");
    const error = await failure(pool.exec("web-1", "true"));
    assertInstanceOf(error, Error);
    assert(error.message.includes(`${dir}/config:2`), error.message);
  },
);
