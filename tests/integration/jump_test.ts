/** Jump hosts: chains over several servers, and what is said when one breaks. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import {
  AuthenticationError,
  ConnectionLostError,
  DialError,
  HostKeyError,
  type SshHost,
} from "../../mod.ts";
import { EmbeddedServer } from "../../transport/testing/mod.ts";
import { type Sshd, startSshd } from "../kit/sshd.ts";
import { until } from "../kit/until.ts";
import {
  bare,
  causes,
  configured,
  failure,
  keygen,
  newPool,
  serverKey,
  ssh,
  sshdTest,
} from "./_kit.ts";

const WHERE = "echo $SSHPOOL_X ${SSH_CONNECTION##* }";

/** An sshd that says which one it is. */
function station(name: string): Promise<Sshd> {
  return startSshd({ config: [`SetEnv SSHPOOL_X=${name}`] });
}

/** ssh_config of a chain: c behind b behind a, each with its own key. */
async function chainConfig(
  dir: string,
  hosts: Record<string, Sshd>,
): Promise<string> {
  const lines: string[] = [];
  const known: string[] = [];
  let before: string | undefined;
  for (const [alias, sshd] of Object.entries(hosts)) {
    lines.push(`Host ${alias}`, `  Port ${sshd.port}`);
    lines.push(`  User ${sshd.user}`, `  IdentityFile ${sshd.privateKeyPath}`);
    if (before !== undefined) lines.push(`  ProxyJump ${before}`);
    known.push(`[127.0.0.1]:${sshd.port} ${await serverKey(sshd)}\n`);
    before = alias;
  }
  await Deno.writeTextFile(join(dir, "known_hosts"), known.join(""));
  return [
    ...lines,
    "Host *",
    "  HostName 127.0.0.1",
    "  IdentityAgent none",
    `  UserKnownHostsFile ${dir}/known_hosts`,
    "  GlobalKnownHostsFile none",
    "",
  ].join("\n");
}

sshdTest(
  "ConnectionPool.exec() goes through a ProxyJump chain of three servers, as ssh does",
  async (dir) => {
    await using a = await station("a");
    await using b = await station("b");
    await using c = await station("c");
    const text = await chainConfig(dir, { a, b, c });
    await using pool = await configured(dir, text);
    const { stdout } = await pool.exec("c", WHERE);
    assertEquals(stdout, `c ${c.port}\n`);
    for (const sshd of [a, b, c]) {
      assertEquals(await sshd.acceptedConnections(), 1);
    }
    // The chain's own hosts are served by the connections that are there.
    assertEquals((await pool.exec("b", WHERE)).stdout, `b ${b.port}\n`);
    assertEquals((await pool.exec("a", WHERE)).stdout, `a ${a.port}\n`);
    for (const sshd of [a, b, c]) {
      assertEquals(await sshd.acceptedConnections(), 1);
    }
    const theirs = await ssh(join(dir, "config"), "c", WHERE);
    assertEquals(theirs.stdout, stdout, theirs.stderr);
  },
);

sshdTest(
  "ConnectionPool.exec() goes through a chain given as an object, another user and key on each hop",
  async () => {
    await using a = await EmbeddedServer.start({ user: "alice" });
    await using b = await EmbeddedServer.start({
      user: "bob",
      password: "hop-b",
    });
    await using c = await startSshd();
    const { privateKey: _, ...byPassword } = b.host({ agent: false });
    const jump = [a.host(), { ...byPassword, password: "hop-b" }];
    await using pool = newPool({ config: false });
    const { stdout } = await pool.exec(c.host({ jump }), "echo through");
    assertEquals(stdout, "through\n");
    assertEquals([a.accepted, a.forwards, b.accepted, b.forwards], [
      1,
      1,
      1,
      1,
    ]);
    // The same, with the hop of the hop named on the hop.
    const nested = { ...byPassword, password: "hop-b", jump: a.host() };
    await pool.exec(c.host({ jump: nested }), "true");
    assertEquals([a.accepted, b.accepted], [1, 1]);
  },
);

sshdTest(
  "ConnectionPool dials a hop once for five targets that are behind it",
  async () => {
    await using hop = await startSshd();
    await using target = await startSshd({ listen: "0.0.0.0" });
    await using pool = newPool({ config: false });
    const hosts = [1, 2, 3, 4, 5].map((n) =>
      target.host({ hostname: `127.0.0.${n}`, jump: hop.host() })
    );
    const results = await Promise.all(
      hosts.map((host) => pool.exec(host, "echo ${SSH_CONNECTION%% *}")),
    );
    assertEquals(results.map((it) => it.stdout), Array(5).fill("127.0.0.1\n"));
    await pool.exec(hop.host(), "true");
    assertEquals(await hop.acceptedConnections(), 1);
    assertEquals(await target.acceptedConnections(), 5);
  },
);

sshdTest(
  "ConnectionPool with maxConnections 1 does not wait for itself behind hops",
  async () => {
    await using a = await startSshd();
    await using b = await startSshd();
    await using target = await startSshd({ listen: "0.0.0.0" });
    await using pool = newPool({
      config: false,
      maxConnections: 1,
      maxConcurrentDials: 1,
      acquireTimeoutMs: 20_000,
    });
    const hosts = [1, 2, 3].map((n) =>
      target.host({ hostname: `127.0.0.${n}`, jump: [a.host(), b.host()] })
    );
    const results = await Promise.all(
      hosts.map((host) => pool.exec(host, "echo ok")),
    );
    assertEquals(results.map((it) => it.stdout), ["ok\n", "ok\n", "ok\n"]);
    assertEquals(await a.acceptedConnections(), 1);
    assertEquals(await b.acceptedConnections(), 1);
  },
);

sshdTest(
  "ConnectionPool fails what runs behind a dead hop with a cause that names it, and recovers",
  async (dir) => {
    await using a = await station("a");
    await using b = await station("b");
    await using c = await station("c");
    const text = await chainConfig(dir, { a, b, c });
    await using pool = await configured(dir, text);
    const running = await Promise.all([
      pool.spawn("c", "echo on; cat"),
      pool.spawn("c", "echo on; cat"),
    ]);
    for (const process of running) {
      const reader = process.stdout.getReader();
      await reader.read();
      reader.releaseLock();
    }
    const { promise: isOpen, resolve: onOpen } = Promise.withResolvers<void>();
    // Ends with its input, and so with its connection: nobody is left behind.
    const stdin = new ReadableStream<Uint8Array>();
    const executing = pool.exec("c", "cat", { onOpen, stdin });
    executing.catch(() => {});
    await isOpen;
    await b.kill();
    const failures = [executing, ...running.map((it) => it.status)];
    for (const promise of failures) {
      const error = await failure(promise);
      assertInstanceOf(error, ConnectionLostError);
      assertStringIncludes(error.message, `:${c.port}`);
      const chain = causes(error).slice(1).map((it) => it.message).join("\n");
      assertStringIncludes(chain, `:${b.port}`);
    }
    // While it is away the hop is what is wrong.
    const away = await failure(pool.exec("c", "true"));
    assertInstanceOf(away, DialError);
    assertEquals(away.phase, "proxy");
    assertStringIncludes(away.message, `:${b.port}`);
    await b.restart();
    assertEquals((await pool.exec("c", WHERE)).stdout, `c ${c.port}\n`);
    assertEquals(await a.acceptedConnections(), 1);
    assertEquals(await b.acceptedConnections(), 2);
  },
);

sshdTest(
  "ConnectionPool names the hop that refuses, in phase proxy and with the cause",
  async (dir) => {
    await using target = await startSshd();
    await using hop = await startSshd();
    const stranger = await keygen(join(dir, "stranger"));
    const other: SshHost = { ...hop.host(), hostKey: target.host().hostKey! };
    const cases = [
      [other, HostKeyError, "hostkey"],
      [{ ...bare(hop), identityFile: stranger }, AuthenticationError, "auth"],
      [{ ...hop.host(), port: 1 }, DialError, "tcp"],
      [{ ...hop.host(), hostname: "no-such-host.invalid" }, DialError, "dns"],
    ] as const;
    for (const [jump, type, phase] of cases) {
      await using pool = newPool({ config: false });
      const error = await failure(pool.exec(target.host({ jump }), "true"));
      assertInstanceOf(error, DialError);
      assertEquals(error.phase, "proxy");
      assertEquals(error.host, `${target.user}@127.0.0.1:${target.port}`);
      const name = `${jump.user}@${jump.hostname}:${jump.port}`;
      assertStringIncludes(error.message, `hop "${name}" failed`);
      const cause = error.cause;
      assertInstanceOf(cause, type);
      assertEquals([cause.phase, cause.host], [phase, name]);
      assertEquals(await target.acceptedConnections(), 0);
    }
  },
);

sshdTest(
  "ConnectionPool names the second hop when that one refuses",
  async (dir) => {
    await using a = await startSshd();
    await using b = await startSshd();
    await using c = await startSshd();
    const stranger = await keygen(join(dir, "stranger"));
    const second = { ...bare(b), identityFile: stranger };
    await using pool = newPool({ config: false });
    const host = c.host({ jump: [a.host(), second] });
    const error = await failure(pool.exec(host, "true"));
    assertInstanceOf(error, DialError);
    assertMatch(error.message, new RegExp(`hop "[^"]*:${b.port}" failed`));
    assertInstanceOf(error.cause, AuthenticationError);
    assert(!error.message.includes(`:${a.port}`), error.message);
  },
);

sshdTest(
  "ConnectionPool says so when a hop cannot reach the target, and when the target refuses",
  async (dir) => {
    await using hop = await startSshd();
    await using target = await startSshd();
    await using pool = newPool({ config: false });
    const away = target.host({ port: 1, jump: hop.host() });
    const unreachable = await failure(pool.exec(away, "true"));
    assertInstanceOf(unreachable, DialError);
    assertEquals(unreachable.phase, "proxy");
    assertStringIncludes(unreachable.message, `:${hop.port}`);
    // What the target says itself is its own and not the hop's.
    const stranger = await keygen(join(dir, "stranger"));
    const refused = await failure(pool.exec({
      ...bare(target),
      identityFile: stranger,
      jump: hop.host(),
    }, "true"));
    assertInstanceOf(refused, AuthenticationError);
    const wrong = target.host({
      hostKey: hop.host().hostKey!,
      jump: hop.host(),
    });
    assertInstanceOf(await failure(pool.exec(wrong, "true")), HostKeyError);
    assertEquals(await hop.acceptedConnections(), 1);
  },
);

sshdTest(
  "ConnectionPool keeps a hop that carries a target, and lets it go after it",
  async () => {
    await using hop = await startSshd();
    await using target = await startSshd();
    await using pool = newPool({ config: false, idleTimeoutMs: 100 });
    const host = target.host({ jump: hop.host() });
    const process = await pool.spawn(host, "sleep 0.5; echo done");
    await until(() => pool.stats().busy === 2);
    const { stdout } = await process.output();
    assertEquals(new TextDecoder().decode(stdout), "done\n");
    await until(() => pool.size === 0);
    assertEquals(await hop.acceptedConnections(), 1);
  },
);

sshdTest(
  "ConnectionPool has a connection of its own for each chain to a target",
  async () => {
    await using a = await startSshd();
    await using b = await startSshd();
    await using target = await startSshd();
    await using pool = newPool({ config: false });
    const chains = [undefined, a.host(), b.host(), [a.host(), b.host()], [
      b.host(),
      a.host(),
    ]];
    const seen = new Set();
    for (const jump of chains) {
      const host = target.host(jump === undefined ? {} : { jump });
      const connection = await pool.getConnection(host);
      await connection.exec("true");
      seen.add(connection);
    }
    assertEquals(seen.size, chains.length);
    assertEquals(await target.acceptedConnections(), chains.length);
    assertNotEquals(pool.size, 1);
  },
);

sshdTest(
  "ConnectionPool finds a pinned host key of another type behind a hop, too",
  async () => {
    await using hop = await startSshd();
    await using target = await startSshd({ hostKeyTypes: ["ed25519", "rsa"] });
    await using pool = newPool();
    const [, rsa] = target.hostKeyFingerprints as `SHA256:${string}`[];
    const host = target.host({ jump: hop.host(), hostKey: rsa! });
    assertEquals((await pool.exec(host, "echo on")).stdout, "on\n");
    assertEquals(
      (await pool.getConnection(host)).algorithms?.hostKey,
      "rsa-sha2-512",
    );
    const wrong = {
      ...host,
      hostKey: hop.hostKeyFingerprint as `SHA256:${string}`,
    };
    assertInstanceOf(await failure(pool.exec(wrong, "true")), HostKeyError);
  },
);
