/** `pool.exec("web-1", ...)` means what `ssh web-1` means. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { pooledMap } from "@std/async";
import { join } from "node:path";
import {
  AuthenticationError,
  DialError,
  type HostDefaults,
  HostKeyError,
} from "../../mod.ts";
import { type Sshd, startSshd } from "../kit/sshd.ts";
import {
  authorize,
  causes,
  configured,
  failure,
  keygen,
  newPool,
  publicKey,
  run,
  serverKey,
  ssh,
  sshdTest,
  startAgent,
} from "./_kit.ts";
import { known, type Setup, setups, type World } from "./_setups.ts";

const SAY =
  'echo "$(id -un) [$SSHPOOL_X] ${SSH_CONNECTION%% *} ${SSH_CONNECTION##* }"';

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

sshdTest(
  "ConnectionPool.exec() tries an IdentityFile before the many keys of an agent, where ssh gives up",
  async (dir) => {
    await using sshd = await startSshd();
    await using agent = await startAgent(dir);
    for (let i = 0; i < 8; i++) {
      await agent.add(await keygen(join(dir, `${i}`)));
    }
    const known = join(dir, "known_hosts");
    await Deno.writeTextFile(
      known,
      `[127.0.0.1]:${sshd.port} ${await serverKey(sshd)}\n`,
    );
    await using pool = await configured(
      dir,
      [
        "Host web-1",
        "  HostName 127.0.0.1",
        `  Port ${sshd.port}`,
        `  User ${sshd.user}`,
        `  UserKnownHostsFile ${known}`,
        `  IdentityAgent ${agent.path}`,
        `  IdentityFile ${sshd.privateKeyPath}`,
        "",
      ].join("\n"),
    );
    assertEquals((await pool.exec("web-1", "echo ok")).stdout, "ok\n");
    const theirs = await ssh(join(dir, "config"), "web-1", "echo ok");
    assertStringIncludes(theirs.stderr, "Too many authentication failures");
  },
);

sshdTest(
  "ConnectionPool.exec() logs in with the CertificateFile of ssh_config, as ssh does",
  async (dir) => {
    await Deno.chmod(dir, 0o755);
    const ca = await keygen(join(dir, "ca"));
    await using sshd = await startSshd({
      config: [`TrustedUserCAKeys ${ca}.pub`],
    });
    const key = await keygen(join(dir, "key"));
    await run("ssh-keygen", [
      ...["-q", "-s", ca, "-I", "test", "-n", sshd.user, `${key}.pub`],
    ]);
    // Not where it would be found without being named.
    await Deno.rename(`${key}-cert.pub`, join(dir, "ops-certificate"));
    const known = join(dir, "known_hosts");
    await Deno.writeTextFile(
      known,
      `[127.0.0.1]:${sshd.port} ${await serverKey(sshd)}\n`,
    );
    const lines = [
      "Host web-1 web-2",
      "  HostName 127.0.0.1",
      `  Port ${sshd.port}`,
      `  User ${sshd.user}`,
      `  UserKnownHostsFile ${known}`,
      `  IdentityFile ${key}`,
      "  IdentityAgent none",
      "Host web-1",
      `  CertificateFile ${dir}/ops-certificate`,
      "",
    ];
    await using pool = await configured(dir, lines.join("\n"));
    assertEquals((await pool.exec("web-1", "echo ok")).stdout, "ok\n");
    const refused = await failure(pool.exec("web-2", "true"));
    assertInstanceOf(refused, AuthenticationError);
    const file = join(dir, "config");
    assert((await ssh(file, "web-1", "true")).ok);
    assert(!(await ssh(file, "web-2", "true")).ok);
  },
);

sshdTest(
  "ConnectionPool.exec() hints at the Host entries that are like a mistyped alias",
  async (dir) => {
    await using pool = await configured(
      dir,
      [
        "Host web-1 web-2 *.internal !web-3",
        "  HostName 127.0.0.1",
        "Host bare-1",
        "  User ops",
        "Host through",
        "  ProxyJump wbe-2",
        "",
      ].join("\n"),
      { defaults: { password: "x" } },
    );
    const file = `${dir}/config`;
    const hints: Record<string, string> = {
      "wbe-1": `no Host entry "wbe-1" in ${file}, did you mean "web-1"?`,
      "ops@web1:2222":
        `no Host entry "web1" in ${file}, did you mean "web-1" or "web-2"?`,
      "nothing-like-it": `no Host entry "nothing-like-it" in ${file}`,
      "bare-1": "check its HostName in ssh_config",
    };
    for (const [host, hint] of Object.entries(hints)) {
      const error = await failure(pool.exec(host, "true"));
      assertInstanceOf(error, DialError);
      assertEquals([error.phase, error.hint], ["dns", hint], host);
    }
    // Of a hop the error of the dial is the cause.
    const [, hop] = causes(await failure(pool.exec("through", "true")));
    assertInstanceOf(hop, DialError);
    assertStringIncludes(hop.hint ?? "", 'no Host entry "wbe-2"');
    const full = await failure(pool.exec("no-such.invalid", "true"));
    assertInstanceOf(full, DialError);
    assertEquals(full.hint, undefined);
  },
);
