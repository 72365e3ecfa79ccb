/** Two callers with different credentials never share a connection. */

import {
  assertEquals,
  assertInstanceOf,
  assertNotStrictEquals,
  assertStrictEquals,
} from "@std/assert";
import { join } from "node:path";
import {
  AuthenticationError,
  DialError,
  HostKeyError,
  type SshHost,
} from "../../mod.ts";
import { EmbeddedServer } from "../../transport/testing/mod.ts";
import { startSshd } from "../kit/sshd.ts";
import {
  authorize,
  bare,
  failure,
  keygen,
  newPool,
  run,
  serverKey,
  sshdTest,
  startAgent,
} from "./_kit.ts";

sshdTest(
  "ConnectionPool has a connection of its own for every difference in a host",
  async (dir) => {
    await using sshd = await startSshd({ maxStartups: "100" });
    await using hop = await startSshd();
    await using agent = await startAgent(dir);
    const other = await keygen(join(dir, "other"), { passphrase: "horse" });
    await authorize(sshd, other);
    await agent.add(sshd.privateKeyPath);
    const known = join(dir, "known_hosts");
    const name = `[127.0.0.1]:${sshd.port}`;
    const line = `${name},web.example,${name} ${await serverKey(sshd)}\n`;
    await Deno.writeTextFile(known, line);
    await Deno.writeTextFile(`${known}2`, line);
    const base: SshHost = sshd.host({ agent: false });
    const text = await Deno.readTextFile(other);
    const accept = () => true;
    // Each of them can log in: were two to share, nobody would be told.
    const differences: Record<string, Partial<SshHost>[]> = {
      password: [{ password: "a" }, { password: "b" }, { password: () => "a" }],
      privateKey: [
        { privateKey: [base.privateKey as string, text] },
        { privateKey: text, passphrase: "horse" },
        { privateKey: text, passphrase: () => "horse" },
      ],
      passphrase: [{ passphrase: "a" }, { passphrase: "b" }],
      identityFile: [
        { identityFile: other },
        { identityFile: [sshd.privateKeyPath] },
        { identityFile: sshd.privateKeyPath },
        { identityFile: sshd.privateKeyPath, identitiesOnly: true },
      ],
      agent: [{ agent: agent.path }],
      keyboardInteractive: [
        { keyboardInteractive: () => [] },
        { keyboardInteractive: () => [] },
      ],
      authMethods: [{ authMethods: ["publickey"] }],
      hostKey: [
        {
          hostKey: [
            sshd.hostKeyFingerprint as `SHA256:${string}`,
            `SHA256:${"A".repeat(43)}`,
          ],
        },
        { hostKey: accept },
        { hostKey: () => true },
        { hostKey: "insecure-accept-any" },
        { hostKey: "strict", knownHostsFiles: [known] },
        { hostKey: "strict", knownHostsFiles: [`${known}2`] },
        {
          hostKey: "strict",
          knownHostsFiles: [],
          globalKnownHostsFiles: [known],
        },
        {
          hostKey: "strict",
          knownHostsFiles: [],
          globalKnownHostsFiles: [`${known}2`],
        },
        { hostKey: "accept-new", knownHostsFiles: [known] },
      ],
      hostKeyAlias: [
        { hostKeyAlias: "web.example" },
      ],
      algorithms: [{ algorithms: { cipher: ["aes256-ctr"] } }],
      agentForward: [{ agentForward: true, agent: agent.path }],
      env: [{ env: { SSHPOOL_X: "1" } }, { env: { SSHPOOL_X: "2" } }],
      jump: [{ jump: hop.host() }],
      bindAddress: [{ bindAddress: "127.0.0.2" }],
      addressFamily: [{ addressFamily: 4 }],
    };
    await using pool = newPool({ config: false, maxConcurrentDials: 4 });
    const hosts = [
      base,
      ...Object.values(differences).flat().map((fields) => ({
        ...base,
        ...fields,
      })),
    ];
    const connections = await Promise.all(
      hosts.map((host) => pool.getConnection(host)),
    );
    assertEquals(new Set(connections).size, hosts.length);
    await Promise.all(connections.map((it) => it.exec("true")));
    assertEquals(await sshd.acceptedConnections(), hosts.length);
    // And what does not differ is shared, whichever object says it.
    for (const [i, host] of hosts.entries()) {
      assertStrictEquals(
        await pool.getConnection({ ...host, alias: "label" }),
        connections[i],
      );
    }
  },
);

Deno.test("ConnectionPool refuses a wrong password after a right one, and lets the right one go on", async () => {
  await using server = await EmbeddedServer.start({ password: "right" });
  await using pool = newPool({ config: false });
  const { privateKey: _, ...host } = server.host({ password: "right" });
  await pool.exec(host, "true");
  for (const password of ["wrong", "", "right ", "RIGHT"]) {
    const error = await failure(pool.exec({ ...host, password }, "true"));
    assertInstanceOf(error, DialError, password);
  }
  const none = await failure(
    pool.exec({ ...host, password: undefined as never, agent: false }, "true"),
  );
  assertInstanceOf(none, DialError);
  await pool.exec(host, "true");
  assertEquals(server.accepted, 1);
});

Deno.test("ConnectionPool takes an object that was changed for another host", async () => {
  await using server = await EmbeddedServer.start({ password: "right" });
  await using pool = newPool({ config: false });
  const { privateKey: _, ...rest } = server.host();
  const host: { -readonly [K in keyof SshHost]: SshHost[K] } = {
    ...rest,
    password: "right",
  };
  const first = await pool.getConnection(host);
  host.password = "wrong";
  assertInstanceOf(await failure(pool.exec(host, "true")), AuthenticationError);
  assertInstanceOf(await failure(pool.acquire(host)), AuthenticationError);
  assertInstanceOf(
    await failure(pool.getConnection(host)),
    AuthenticationError,
  );
  host.password = "right";
  assertStrictEquals(await pool.getConnection(host), first);
  // A change deep inside is a change.
  const env: Record<string, string> = {};
  const deep = { ...host, env };
  const before = await pool.getConnection(deep);
  env["A"] = "1";
  assertNotStrictEquals(await pool.getConnection(deep), before);
});

Deno.test("ConnectionPool does not let a caller change the host of a dial under way", async () => {
  await using server = await EmbeddedServer.start({
    password: "right",
    delayDialsMs: 50,
  });
  await using pool = newPool({ config: false });
  const { privateKey: _, ...rest } = server.host();
  const host: { -readonly [K in keyof SshHost]: SshHost[K] } = {
    ...rest,
    password: "wrong",
  };
  const call = failure(pool.exec(host, "true"));
  host.password = "right";
  assertInstanceOf(await call, AuthenticationError);
});

sshdTest(
  "ConnectionPool refuses a wrong passphrase after a right one, for a file and for text",
  async (dir) => {
    await using sshd = await startSshd();
    const path = await keygen(join(dir, "key"), { passphrase: "right" });
    await authorize(sshd, path);
    await using pool = newPool({ config: false });
    const privateKey = await Deno.readTextFile(path);
    for (const key of [{ identityFile: path }, { privateKey }]) {
      const host = { ...bare(sshd), ...key };
      for (const passphrase of ["right", () => "right"]) {
        await pool.exec({ ...host, passphrase }, "true");
      }
      const before = await sshd.acceptedConnections();
      for (const passphrase of ["wrong", "", () => "wrong", undefined]) {
        const fields = passphrase === undefined ? {} : { passphrase };
        const error = await failure(pool.exec({ ...host, ...fields }, "true"));
        assertInstanceOf(error, DialError);
      }
      assertEquals(await sshd.acceptedConnections(), before);
    }
    // Also in another pool, and after the connections have gone.
    await pool.closeAll();
    await using other = newPool({ config: false });
    const wrong = { ...bare(sshd), identityFile: path, passphrase: "wrong" };
    for (const it of [pool, other]) {
      assertInstanceOf(await failure(it.exec(wrong, "true")), DialError);
    }
  },
);

sshdTest(
  "ConnectionPool does not log in with a key file that was replaced by another",
  async (dir) => {
    await using sshd = await startSshd();
    const path = await keygen(join(dir, "key"), { passphrase: "right" });
    await authorize(sshd, path);
    await using pool = newPool({ config: false });
    const host = { ...bare(sshd), identityFile: path, passphrase: "right" };
    await pool.exec(host, "true");
    await Deno.remove(path);
    await Deno.remove(`${path}.pub`);
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "right", "-f", path]);
    await pool.removeConnection(host);
    const error = await failure(pool.exec(host, "true"));
    assertInstanceOf(error, AuthenticationError);
  },
);

sshdTest(
  "ConnectionPool holds each host to its own policy for the host key",
  async () => {
    await using sshd = await startSshd();
    await using pool = newPool({ config: false });
    const wrong = `SHA256:${"A".repeat(43)}` as const;
    await pool.exec(sshd.host({ hostKey: "insecure-accept-any" }), "true");
    for (const hostKey of [wrong, [wrong], () => false] as const) {
      const error = await failure(pool.exec(sshd.host({ hostKey }), "true"));
      assertInstanceOf(error, HostKeyError);
      assertEquals(error.fingerprint, sshd.hostKeyFingerprint);
    }
    assertEquals(pool.size, 1);
  },
);

Deno.test("ConnectionPool does not share a hop between targets that give it different credentials", async () => {
  await using hop = await EmbeddedServer.start({ password: "right" });
  await using target = await EmbeddedServer.start();
  await using pool = newPool({ config: false });
  const { privateKey: _, ...gate } = hop.host();
  const through = (password: string) =>
    target.host({ jump: { ...gate, password } });
  await pool.exec(through("right"), "true");
  const error = await failure(pool.exec(through("wrong"), "true"));
  assertInstanceOf(error, DialError);
  assertInstanceOf(error.cause, AuthenticationError);
  assertEquals(target.accepted, 1);
});

sshdTest(
  "ConnectionPool tells keys given as bytes apart by their content",
  async (dir) => {
    await using sshd = await startSshd();
    const [mine, theirs] = [
      await Deno.readFile(await keygen(join(dir, "a"))),
      await Deno.readFile(await keygen(join(dir, "b"))),
    ];
    await authorize(sshd, join(dir, "a"));
    assertEquals(mine.length, theirs.length);
    await using pool = newPool({ config: false });
    for (const list of [(key: Uint8Array) => key, (key: Uint8Array) => [key]]) {
      const host = (key: Uint8Array): SshHost => ({
        ...bare(sshd),
        privateKey: list(key),
      });
      const first = await pool.getConnection(host(mine));
      assertInstanceOf(
        await failure(pool.exec(host(theirs), "true")),
        AuthenticationError,
      );
      // Equal bytes in another array are the same key.
      assertStrictEquals(await pool.getConnection(host(mine.slice())), first);
      // An array that is changed in place is another key.
      const bytes = mine.slice();
      const changing = host(bytes);
      assertStrictEquals(await pool.getConnection(changing), first);
      bytes.set(theirs);
      assertInstanceOf(
        await failure(pool.exec(changing, "true")),
        AuthenticationError,
      );
    }
  },
);

Deno.test("ConnectionPool takes a host whose password was deleted for another host", async () => {
  await using server = await EmbeddedServer.start({ password: "right" });
  await using pool = newPool({ config: false });
  const { privateKey: _, ...rest } = server.host({ agent: false });
  const host: { -readonly [K in keyof SshHost]: SshHost[K] } = {
    ...rest,
    password: "right",
    // With no credential at all the files of ~/.ssh would be tried.
    keyboardInteractive: () => [],
  };
  await pool.exec(host, "true");
  delete host.password;
  for (const call of [pool.exec(host, "true"), pool.getConnection(host)]) {
    assertInstanceOf(await failure(call), DialError);
  }
  assertInstanceOf(await failure(pool.acquire(host)), DialError);
  assertEquals(server.accepted, 1);
});

sshdTest(
  "ConnectionPool tells pins apart that begin with the same twenty characters",
  async () => {
    await using sshd = await startSshd();
    await using pool = newPool({ config: false });
    await pool.exec(sshd.host(), "true");
    const right = sshd.hostKeyFingerprint;
    const near = `${right.slice(0, 27)}${"A".repeat(23)}` as `SHA256:${string}`;
    assertEquals(near.length, right.length);
    for (const hostKey of [near, [near]]) {
      const error = await failure(pool.exec(sshd.host({ hostKey }), "true"));
      assertInstanceOf(error, HostKeyError);
    }
    assertEquals(await sshd.acceptedConnections(), 1);
  },
);

sshdTest(
  "ConnectionPool refuses a server of which only a key of another type is known",
  async (dir) => {
    await using sshd = await startSshd();
    await using other = await startSshd({ hostKeyTypes: ["ecdsa"] });
    const known = join(dir, "known_hosts");
    const line = `[127.0.0.1]:${sshd.port} ${await serverKey(
      other,
      "ecdsa",
    )}\n`;
    await Deno.writeTextFile(known, line);
    await using pool = newPool({ config: false });
    for (const hostKey of ["strict", "accept-new"] as const) {
      const host = sshd.host({ hostKey, knownHostsFiles: [known] });
      const error = await failure(pool.exec(host, "true"));
      assertInstanceOf(error, DialError);
      assertEquals(await Deno.readTextFile(known), line);
    }
    assertEquals(await sshd.acceptedConnections(), 0);
  },
);
