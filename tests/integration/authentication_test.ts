/** Each way to log in, through the pool. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import {
  AuthenticationError,
  DialError,
  type InteractiveRequest,
  type PassphraseRequest,
} from "../../mod.ts";
import { EmbeddedServer } from "../../transport/testing/mod.ts";
import { startSshd } from "../kit/sshd.ts";
import {
  authorize,
  bare,
  configured,
  failure,
  keygen,
  newPool,
  run,
  serverKey,
  sshdTest,
  startAgent,
} from "./_kit.ts";

sshdTest(
  "ConnectionPool logs in with keys of every type and format from ssh-keygen",
  async (dir) => {
    await using sshd = await startSshd();
    const makes: [string, number | undefined, string | undefined][] = [
      ["ed25519", undefined, undefined],
      ["rsa", 2048, undefined],
      ["rsa", 2048, "PEM"],
      ["ecdsa", 256, undefined],
      ["ecdsa", 384, "PEM"],
      ["ecdsa", 521, "PKCS8"],
    ];
    await using pool = newPool({ config: false });
    for (const [type, bits, format] of makes) {
      for (const passphrase of ["", "right horse"]) {
        const path = join(dir, [type, bits, format, passphrase.length].join());
        await run("ssh-keygen", [
          ...["-q", "-t", type, "-N", passphrase, "-f", path],
          ...bits === undefined ? [] : ["-b", `${bits}`],
          ...format === undefined ? [] : ["-m", format],
        ]);
        await authorize(sshd, path);
        const file = { ...bare(sshd), identityFile: path, passphrase };
        assertEquals((await pool.exec(file, "echo ok")).stdout, "ok\n");
      }
    }
  },
);

sshdTest(
  "ConnectionPool logs in with the keys of a real ssh-agent, whatever their type",
  async (dir) => {
    await using sshd = await startSshd();
    await using agent = await startAgent(dir);
    await using pool = newPool({ config: false });
    const types = [["ed25519"], ["ecdsa", 384], ["rsa", 2048]] as const;
    for (const [type, bits] of types) {
      const path = await keygen(
        join(dir, type),
        bits === undefined ? { type } : { type, bits },
      );
      await agent.add(path);
      await Deno.remove(path);
      await authorize(sshd, path);
      const host = {
        ...bare(sshd),
        agent: agent.path,
        identityFile: `${path}.pub`,
        identitiesOnly: true,
      };
      assertEquals((await pool.exec(host, "echo ok")).stdout, "ok\n");
    }
    const any = { ...bare(sshd), agent: agent.path };
    assertEquals((await pool.exec(any, "echo ok")).stdout, "ok\n");
  },
);

sshdTest(
  "ConnectionPool logs in with a certificate, from a file and from an agent",
  async (dir) => {
    await Deno.chmod(dir, 0o755);
    const ca = await keygen(join(dir, "ca"));
    await using sshd = await startSshd({
      config: [`TrustedUserCAKeys ${ca}.pub`],
    });
    const sign = async (name: string, principal: string) => {
      const path = await keygen(join(dir, name));
      await run("ssh-keygen", [
        ...["-q", "-s", ca, "-I", "test", "-n", principal, `${path}.pub`],
      ]);
      return path;
    };
    const path = await sign("mine", sshd.user);
    await using agent = await startAgent(dir);
    await agent.add(path);
    await using pool = newPool({ config: false });
    const file = { ...bare(sshd), identityFile: path };
    assertEquals((await pool.exec(file, "echo ok")).stdout, "ok\n");
    const held = { ...bare(sshd), agent: agent.path };
    assertEquals((await pool.exec(held, "echo ok")).stdout, "ok\n");
    const theirs = await sign("theirs", "somebody");
    const refused = { ...bare(sshd), identityFile: theirs };
    const error = await failure(pool.exec(refused, "true"));
    assertInstanceOf(error, AuthenticationError);
  },
);

sshdTest(
  "ConnectionPool asks for a passphrase once for twenty hosts dialled at once",
  async (dir) => {
    await using sshd = await startSshd({
      listen: "0.0.0.0",
      maxStartups: "100",
    });
    const path = await keygen(join(dir, "key"), { passphrase: "right horse" });
    await authorize(sshd, path);
    const key = (await serverKey(sshd)).trim();
    await Deno.writeTextFile(
      join(dir, "known_hosts"),
      `[127.0.0.*]:${sshd.port} ${key}\n`,
    );
    const asked: PassphraseRequest[] = [];
    await using pool = await configured(
      dir,
      [
        "Host *",
        `  Port ${sshd.port}`,
        `  User ${sshd.user}`,
        `  IdentityFile ${path}`,
        "  IdentityAgent none",
        `  UserKnownHostsFile ${dir}/known_hosts`,
        "  GlobalKnownHostsFile none",
        "",
      ].join("\n"),
      {
        defaults: {
          passphrase: async (request) => {
            asked.push(request);
            await new Promise((resolve) => setTimeout(resolve, 50));
            return "right horse";
          },
        },
      },
    );
    const hosts = Array.from({ length: 20 }, (_, n) => `127.0.0.${n + 1}`);
    const results = await Promise.all(
      hosts.map((host) => pool.exec(host, "echo ${SSH_CONNECTION%% *}")),
    );
    assertEquals(results.length, 20);
    for (const { code } of results) assertEquals(code, 0);
    assertEquals(pool.size, 20);
    assertEquals(await sshd.acceptedConnections(), 20);
    assertEquals(asked.map((it) => it.key), [path]);
  },
);

sshdTest(
  "ConnectionPool keeps decrypted keys for its own dials alone",
  async (dir) => {
    await using sshd = await startSshd();
    const path = await keygen(join(dir, "key"), { passphrase: "right horse" });
    await authorize(sshd, path);
    let asked = 0;
    const passphrase = () => {
      asked++;
      return "right horse";
    };
    const host = { ...bare(sshd), identityFile: path, passphrase };
    for (const pools of [1, 2]) {
      await using pool = newPool({ config: false });
      for (let dial = 0; dial < 2; dial++) {
        await pool.exec(host, "true");
        await pool.closeAll();
      }
      assertEquals(asked, pools);
    }
  },
);

Deno.test("ConnectionPool logs in with a password, given as text and by a function", async () => {
  await using server = await EmbeddedServer.start({ password: "open sesame" });
  await using pool = newPool({ config: false });
  const { privateKey: _, ...host } = server.host();
  await pool.exec({ ...host, password: "open sesame" }, "true");
  let asked = 0;
  const password = () => {
    asked++;
    return Promise.resolve("open sesame");
  };
  const lazy = { ...host, password };
  await Promise.all([pool.exec(lazy, "true"), pool.exec(lazy, "true")]);
  assertEquals([server.accepted, asked], [2, 1]);
  const error = await failure(
    pool.exec({ ...host, password: "open barley" }, "true"),
  );
  assertInstanceOf(error, AuthenticationError);
  assertEquals(error.tried.at(-1), "password");
});

Deno.test("ConnectionPool logs in with a key and then a one-time password", async () => {
  await using server = await EmbeddedServer.start({
    requireMethods: ["publickey", "keyboard-interactive"],
    keyboardInteractive: {
      questions: [{ prompt: "Code: ", answer: "123456" }],
    },
  });
  await using pool = newPool({ config: false });
  const asked: InteractiveRequest[] = [];
  const host = server.host({
    keyboardInteractive: (request) => {
      asked.push(request);
      return request.prompts.map(() => "123456");
    },
  });
  const calls = [1, 2, 3, 4, 5].map(() => pool.exec(host, "true"));
  await Promise.all(calls);
  assertEquals([server.accepted, asked.length], [1, 1]);
  assertEquals(asked[0]?.prompts.map((it) => it.prompt), ["Code: "]);
  assertEquals(asked[0]?.host, `ops@127.0.0.1:${server.port}`);
  const wrong = server.host({ keyboardInteractive: () => ["654321"] });
  const error = await failure(pool.exec(wrong, "true"));
  assertInstanceOf(error, AuthenticationError);
  // One factor alone opens nothing.
  const keyAlone = await failure(pool.exec(server.host(), "true"));
  assertInstanceOf(keyAlone, AuthenticationError);
  assertStringIncludes(keyAlone.message, "keyboard-interactive");
});

sshdTest(
  "ConnectionPool logs in to an sshd that wants a key and then another",
  async (dir) => {
    await using sshd = await startSshd({
      config: ["AuthenticationMethods publickey,publickey"],
    });
    const second = await keygen(join(dir, "second"));
    await authorize(sshd, second);
    await using pool = newPool({ config: false });
    const both = {
      ...bare(sshd),
      identityFile: [sshd.privateKeyPath, second],
    };
    assertEquals((await pool.exec(both, "echo ok")).stdout, "ok\n");
    const one = { ...bare(sshd), identityFile: sshd.privateKeyPath };
    assertInstanceOf(
      await failure(pool.exec(one, "true")),
      AuthenticationError,
    );
  },
);

sshdTest(
  "ConnectionPool makes no login at all when no credential that was given can be used",
  async (dir) => {
    await using sshd = await startSshd();
    const path = await keygen(join(dir, "key"), { passphrase: "right horse" });
    await authorize(sshd, path);
    await using pool = newPool({ config: false });
    const cases = {
      "there is no such file": { identityFile: join(dir, "absent") },
      "no passphrase": { identityFile: path },
      "no such agent": { agent: join(dir, "absent") },
    };
    for (const [what, fields] of Object.entries(cases)) {
      const error = await failure(
        pool.exec({ ...bare(sshd), ...fields }, "true"),
      );
      assertInstanceOf(error, DialError, what);
      assert(["config", "auth"].includes(error.phase), `${what}: ${error}`);
      assertStringIncludes(error.message, dir);
    }
    assertEquals(await sshd.acceptedConnections(), 0);
  },
);

sshdTest(
  "ConnectionPool remembers a refusal, and tries again when the time is over",
  async (dir) => {
    await using sshd = await startSshd();
    const path = await keygen(join(dir, "key"));
    await using pool = newPool({
      config: false,
      backoff: { refusedMs: 400 },
    });
    const host = { ...bare(sshd), identityFile: path };
    const first = await failure(pool.exec(host, "true"));
    assertInstanceOf(first, AuthenticationError);
    const dials = pool.stats().counters.dials;
    assertEquals(await failure(pool.exec(host, "true")), first);
    assertEquals(pool.stats().counters.dials, dials);
    await authorize(sshd, path);
    await new Promise((resolve) => setTimeout(resolve, 450));
    assertEquals((await pool.exec(host, "echo ok")).stdout, "ok\n");
  },
);
