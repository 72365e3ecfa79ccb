import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
// @ts-types="@types/ssh2"
import type {
  AuthContext,
  KeyboardAuthContext,
  PasswordAuthContext,
} from "ssh2";
import { DialError } from "../../../../transport/errors.ts";
import type { SshHost } from "../../../../transport/host/host.ts";
import { Authenticator } from "../../../../transport/ssh2/auth/authenticator.ts";
import { string, uint32 } from "../../../../transport/ssh2/_bytes.ts";
import { Ssh2Connector } from "../../../../transport/ssh2/mod.ts";
import { keyPair } from "../../../../transport/testing/server/_keys.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../../../kit/sshd.ts";
import {
  fingerprintOf,
  keygen,
  keygenHint,
  login,
  noKeygen,
  resolved,
  run,
  startAgent,
  startServer,
  tempDir,
} from "./_login.ts";
import type { LoginAnswer } from "./_login_program.ts";
import { runInChild } from "../../../kit/child.ts";

/** A test against OpenSSH's own server, agent and keys. */
function sshdTest(name: string, fn: (dir: string) => Promise<void>): void {
  const ignore = noSshd || noKeygen;
  Deno.test({
    name: ignore ? `${name} (${sshdHint})` : name,
    ignore,
    async fn() {
      await using dir = await tempDir();
      await fn(dir.path);
    },
  });
}

/** The host of an sshd, with no credential. */
function bare(sshd: Sshd): SshHost {
  const { privateKey: _, ...host } = sshd.host();
  return host;
}

async function authorize(sshd: Sshd, ...keys: string[]): Promise<void> {
  for (const key of keys) {
    const line = await Deno.readTextFile(`${key}.pub`);
    await Deno.writeTextFile(sshd.authorizedKeysPath, line, { append: true });
  }
}

async function keys(dir: string, ...names: string[]): Promise<string[]> {
  const paths = [];
  for (const name of names) paths.push(await keygen(join(dir, name)));
  return paths;
}

const refuse = (methods: string[]) => (context: { reject(m: never): void }) =>
  context.reject(methods as never);

sshdTest(
  "Authenticator tries named keys first, and the agent's other keys after them",
  async (dir) => {
    const [first = "", second = "", third = "", file = ""] = await keys(
      dir,
      "a",
      "b",
      "c",
      "file",
    );
    await using agent = await startAgent(dir);
    for (const key of [first, second, third]) await agent.add(key);
    await using sshd = await startSshd();
    await authorize(sshd, file);
    const host = {
      ...bare(sshd),
      agent: agent.path,
      identityFile: [file, third],
    };
    const print = (path: string) => fingerprintOf(path);
    const all = await login(host);
    assertEquals([all.ok, all.tried], [true, [
      `publickey c ${await print(third)}`,
      `publickey file ${await print(file)}`,
    ]]);
    await Deno.writeTextFile(sshd.authorizedKeysPath, "");
    assertEquals((await login(host)).tried, [
      ...all.tried,
      `publickey agent key ${await print(first)}`,
      `publickey agent key ${await print(second)}`,
    ]);
    await authorize(sshd, file);
    const only = await login({ ...host, identitiesOnly: true });
    assertEquals([only.ok, only.tried], [true, [
      `publickey c ${await print(third)}`,
      `publickey file ${await print(file)}`,
    ]]);
  },
);

sshdTest(
  "Authenticator logs in with an agent's key of every type",
  async (dir) => {
    await using agent = await startAgent(dir);
    await using sshd = await startSshd();
    for (
      const [type, bits] of [["ed25519"], ["rsa", 2048], ["ecdsa", 256], [
        "ecdsa",
        384,
      ], ["ecdsa", 521]] as const
    ) {
      const path = join(dir, `${type}${bits ?? ""}`);
      await keygen(path, { type, ...bits === undefined ? {} : { bits } });
      await authorize(sshd, path);
      await agent.add(path);
      // The private key lives in the agent alone.
      await Deno.remove(path);
      const host = {
        ...bare(sshd),
        agent: agent.path,
        identityFile: path,
        identitiesOnly: true,
      };
      const { ok, error } = await login(host);
      assert(ok, String(error));
    }
  },
);

sshdTest(
  "Authenticator does not decrypt a key that the agent holds",
  async (dir) => {
    const [key = ""] = await keys(dir, "id");
    await using agent = await startAgent(dir);
    await agent.add(key);
    await run("ssh-keygen", ["-q", "-p", "-P", "", "-N", "secret", "-f", key]);
    await using sshd = await startSshd();
    await authorize(sshd, key);
    let asked = 0;
    const { ok } = await login({
      ...bare(sshd),
      agent: agent.path,
      identityFile: key,
      passphrase: () => `${++asked}`,
    });
    assertEquals([ok, asked], [true, 0]);
  },
);

sshdTest(
  "Authenticator logs in with a certificate, by the agent and by the file",
  async (dir) => {
    await using sshd = await startSshd({
      config: [`TrustedUserCAKeys ${join(dir, "ca.pub")}`],
    });
    await Deno.chmod(dir, 0o755);
    const ca = await keygen(join(dir, "ca"));
    await using agent = await startAgent(dir);
    for (
      const [type, bits] of [["ed25519"], ["rsa", 2048], ["ecdsa", 256], [
        "ecdsa",
        521,
      ]] as const
    ) {
      const path = join(dir, `${type}${bits ?? ""}`);
      await keygen(path, { type, ...bits === undefined ? {} : { bits } });
      await run("ssh-keygen", [
        "-q",
        "-s",
        ca,
        "-I",
        "test",
        "-n",
        sshd.user,
        `${path}.pub`,
      ]);
      const label = `publickey ${type}${
        bits ?? ""
      } certificate ${await fingerprintOf(path)}`;
      const file = { ...bare(sshd), agent: false, identityFile: path };
      const byFile = await login(file);
      assert(byFile.ok, String(byFile.error));
      assertEquals(byFile.tried, [label]);
      await agent.add(path);
      const byAgent = await login({ ...file, agent: agent.path });
      assert(byAgent.ok, String(byAgent.error));
      assertEquals(byAgent.tried, [label]);
    }
    // The certificate is found in the agent with no file to name it.
    const named = await login({ ...bare(sshd), agent: agent.path });
    assert(named.ok, String(named.error));
  },
);

sshdTest(
  "Authenticator goes on to a second factor after an agent's key",
  async (dir) => {
    const [one = "", two = ""] = await keys(dir, "one", "two");
    await using agent = await startAgent(dir);
    for (const key of [one, two]) await agent.add(key);
    await using sshd = await startSshd({
      config: ["AuthenticationMethods publickey,publickey"],
    });
    await authorize(sshd, one, two);
    const host = { ...bare(sshd), agent: agent.path };
    const both = await login(host);
    assert(both.ok, String(both.error));
    assertEquals(both.tried.length, 2);
    const half = await login({
      ...host,
      identityFile: one,
      identitiesOnly: true,
    });
    assertFalse(half.ok);
    assertMatch(
      half.error.message,
      /: the server accepted publickey \(one SHA256:\S+\) but wants more; it offers publickey$/,
    );
  },
);

sshdTest("Authenticator makes no more than six attempts", async (dir) => {
  const all = await keys(dir, ...Array.from({ length: 8 }, (_, i) => `k${i}`));
  await using sshd = await startSshd();
  const { ok, tried, error } = await login({
    ...bare(sshd),
    agent: false,
    identityFile: all,
  });
  assertEquals([ok, tried.length], [false, 6]);
  assertStringIncludes(
    error.message,
    "2 more keys were not tried, the limit is 6 attempts",
  );
});

sshdTest(
  "Authenticator says when the server allows no more attempts",
  async (dir) => {
    const all = await keys(dir, "a", "b", "c");
    await using sshd = await startSshd({ config: ["MaxAuthTries 2"] });
    const { error } = await login({
      ...bare(sshd),
      agent: false,
      identityFile: all,
    });
    assertEquals(error.tried.length, 2);
    assertMatch(
      error.message,
      /refused publickey \(a SHA256:\S+\), publickey \(b SHA256:\S+\); the server allows no more attempts; it offers publickey$/,
    );
  },
);

Deno.test({
  name: `Authenticator leaves room for the password behind many keys${
    noKeygen ? ` (${keygenHint})` : ""
  }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const all = await keys(
      dir.path,
      ...Array.from({ length: 8 }, (_, i) => `k${i}`),
    );
    await using server = await startServer((context) =>
      context.method === "password" && context.password === "right"
        ? context.accept()
        : context.reject(["publickey", "password"])
    );
    const host = {
      ...server.host,
      identityFile: all,
      agent: false,
      password: "right",
    };
    const { ok, tried } = await login(host);
    assertEquals([ok, tried.length, tried.at(-1)], [true, 6, "password"]);
  },
});

Deno.test("Authenticator reports whom the server refused, and no secret", async () => {
  await using server = await startServer(refuse(["publickey", "password"]));
  const { ok, error } = await login({ ...server.host, password: "s3cret" });
  const { port } = server.host;
  assertFalse(ok);
  assertEquals(
    error.message,
    `Cannot authenticate as "ops" on "ops@127.0.0.1:${port}": the server refused password; it offers publickey, password`,
  );
  assertEquals([error.code, error.phase], ["SSH_AUTHENTICATION", "auth"]);
  assertEquals(
    error.hint,
    "the server also offers publickey: set identityFile, privateKey or agent",
  );
  assertEquals([error.tried, error.offered], [["password"], [
    "publickey",
    "password",
  ]]);
  assertFalse(Deno.inspect(error).includes("s3cret"));
  // A password is sent once, after "none" has asked in which way.
  assertEquals(server.methods, ["none", "password"]);
});

for (const method of ["password", "keyboard-interactive"] as const) {
  Deno.test(`a connector asks a host once how it takes a password, where that is ${method}`, async () => {
    const answering = (context: AuthContext) =>
      context.method === "keyboard-interactive"
        ? context.prompt(
          [{ prompt: "Password: ", echo: false }],
          () => context.accept(),
        )
        : context.accept();
    let offered: typeof method = method;
    await using server = await startServer((context) =>
      context.method === offered
        ? answering(context)
        : context.reject([offered])
    );
    const connector = new Ssh2Connector();
    const host = resolved({
      ...server.host,
      password: "right",
      hostKey: "insecure-accept-any",
    });
    const methods = async () => {
      await (await connector.connect(host)).close();
      return server.methods.splice(0);
    };
    assertEquals(await methods(), ["none", method]);
    assertEquals(await methods(), [method]);
    // It has changed: what is remembered costs one attempt, and no more.
    const other = method === "password" ? "keyboard-interactive" : "password";
    offered = other as typeof method;
    assertEquals(await methods(), [method, other]);
    assertEquals(await methods(), [other]);
  });
}

Deno.test("a connector tries a key before the password, although it knows that the host takes one", async () => {
  let takesKeys = false;
  await using server = await startServer((context) =>
    context.method === (takesKeys ? "publickey" : "password")
      ? context.accept()
      : context.reject(["publickey", "password"])
  );
  const connector = new Ssh2Connector();
  const host = resolved({
    ...server.host,
    privateKey: keyPair("before a password").privateKey,
    password: "right",
    hostKey: "insecure-accept-any",
  });
  const methods = async () => {
    await (await connector.connect(host)).close();
    return server.methods.splice(0);
  };
  assertEquals(await methods(), ["publickey", "password"]);
  takesKeys = true;
  assertEquals(await methods(), ["publickey"]);
});

Deno.test("a connector remembers how a host takes a first password, and not what it wants after it", async () => {
  await using server = await startServer((context) =>
    context.method === "password"
      ? context.reject(["keyboard-interactive"], true)
      : context.reject([
        server.methods.at(-2) === "password"
          ? "keyboard-interactive"
          : "password",
      ])
  );
  const connector = new Ssh2Connector();
  const host = resolved({
    ...server.host,
    authMethods: ["keyboard-interactive", "password"],
    keyboardInteractive: () => [],
    password: "right",
    hostKey: "insecure-accept-any",
  });
  const methods = async () => {
    await connector.connect(host).catch(() => {});
    return server.methods.splice(0);
  };
  assertEquals(await methods(), ["keyboard-interactive", "password"]);
  for (let i = 0; i < 2; i++) {
    assertEquals(await methods(), ["password", "keyboard-interactive"]);
  }
});

Deno.test("Authenticator does not try what the server does not offer", async () => {
  await using server = await startServer((context) =>
    context.method === "keyboard-interactive"
      ? context.accept()
      : context.reject(["keyboard-interactive"])
  );
  const { ok, tried } = await login({
    ...server.host,
    authMethods: ["none", "password", "keyboard-interactive"],
    keyboardInteractive: () => [],
    password: "unused",
  });
  assertEquals([ok, tried], [true, ["none", "keyboard-interactive"]]);
});

/**
 * The home directory comes from the user database. Without the permission to
 * read that, it comes from HOME, which a test can set.
 */
const OWN_HOME: readonly string[] = ["env", "net", "read", "run", "write"]
  .map((name) => `--allow-${name}`);

/** Logs in to each host in a process with another HOME and SSH_AUTH_SOCK. */
function logins(
  env: { HOME: string; SSH_AUTH_SOCK?: string },
  hosts: readonly SshHost[],
  permissions: readonly string[] = OWN_HOME,
): Promise<LoginAnswer[]> {
  const program = new URL("./_login_program.ts", import.meta.url);
  return runInChild(program, hosts, {
    env: { SSH_AUTH_SOCK: undefined, ...env },
    permissions,
  });
}

Deno.test('Authenticator tries "none" where there is nothing else', async () => {
  await using dir = await tempDir();
  await using server = await startServer((context) => context.accept());
  const [it] = await logins({ HOME: dir.path }, [server.host]);
  assertEquals([it?.ok, it?.tried], [true, ["none"]]);
});

Deno.test("Authenticator hints at what to set where no key was found", async () => {
  await using dir = await tempDir();
  await using server = await startServer(refuse(["publickey"]));
  const { host } = server;
  const hosts = [host, { ...host, agent: false }];
  const [plain, off] = await logins({ HOME: dir.path }, hosts);
  assertMatch(
    plain?.hint ?? "",
    /^no key was found \(none of ~\/\.ssh\/id_ed25519, .* can be read; SSH_AUTH_SOCK is not set, or may not be read\): set identityFile, privateKey, password or agent$/,
  );
  // Where it may not look, it does not say what there is.
  const set = { HOME: dir.path, SSH_AUTH_SOCK: join(dir.path, "agent") };
  const [blind] = await logins(set, [host], [
    "--allow-net",
    "--allow-env=PATH",
  ]);
  assertEquals(blind?.hint, plain?.hint);
  assertStringIncludes(off?.hint ?? "", "is switched off");
  const socket = join(dir.path, "no-agent");
  const env = { HOME: dir.path, SSH_AUTH_SOCK: socket };
  const [dead] = await logins(env, [host]);
  assertStringIncludes(dead?.hint ?? "", `the agent at ${socket} gave no`);
});

Deno.test({
  name:
    `Authenticator finds ~/.ssh and SSH_AUTH_SOCK only where nothing was given${
      noKeygen ? ` (${keygenHint})` : ""
    }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    await Deno.mkdir(join(dir.path, ".ssh"));
    const file = await keygen(join(dir.path, ".ssh", "id_ed25519"));
    const [held = ""] = await keys(dir.path, "held");
    await using agent = await startAgent(dir.path);
    await agent.add(held);
    await using server = await startServer(refuse(["publickey", "password"]));
    const print = await fingerprintOf(file);
    const inAgent = `publickey agent key ${await fingerprintOf(held)}`;
    const inFile = `publickey id_ed25519 ${print}`;
    const privateKey = await Deno.readTextFile(file);
    const expected: [Partial<SshHost>, string[]][] = [
      [{}, [inAgent, inFile]],
      [{ agent: false }, [inFile]],
      [{ agent: true }, [inAgent]],
      [{ password: "x" }, ["password"]],
      [{ identityFile: "~/.ssh/id_ed25519" }, [inFile, inAgent]],
      [{ privateKey }, [`publickey privateKey ${print}`]],
    ];
    const answers = await logins(
      { HOME: dir.path, SSH_AUTH_SOCK: agent.path },
      expected.map(([host]) => ({ ...server.host, ...host })),
    );
    assertEquals(
      answers.map(({ tried }) => tried),
      expected.map(([, tried]) => tried),
    );
  },
});

Deno.test({
  name:
    `Authenticator takes ~ from the user database and not from HOME, as ssh and known_hosts do${
      noKeygen ? ` (${keygenHint})` : ""
    }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    await Deno.mkdir(join(dir.path, ".ssh"));
    const key = await keygen(join(dir.path, ".ssh", "id_ed25519"));
    const print = await fingerprintOf(key);
    await using server = await startServer(refuse(["publickey"]));
    const { homedir } = userInfo();
    const absent = `~/${crypto.randomUUID()}`;
    const [byDefault, named] = await logins({ HOME: dir.path }, [
      server.host,
      { ...server.host, identityFile: absent },
    ], ["--allow-all"]);
    assertEquals(byDefault?.cause, "");
    assertFalse(byDefault?.tried.join().includes(print));
    assertStringIncludes(named?.cause ?? "", `${homedir}${absent.slice(1)}`);
  },
});

/** A server that wants a key, and then an answer to each question. */
function twoFactors(questions: string[], expected: string[]) {
  let keySeen = false;
  return startServer((context) => {
    if (context.method === "publickey") {
      if (context.signature === undefined) return context.accept();
      keySeen = true;
      return context.reject(["keyboard-interactive"], true);
    }
    if (context.method !== "keyboard-interactive" || !keySeen) {
      return context.reject(["publickey"]);
    }
    const prompts = questions.map((prompt) => ({ prompt, echo: false }));
    (context as KeyboardAuthContext).prompt(
      prompts,
      "Title",
      "Read this",
      (answers) => {
        if (JSON.stringify(answers) === JSON.stringify(expected)) {
          context.accept();
        } else context.reject(["keyboard-interactive"]);
      },
    );
  });
}

Deno.test({
  name: `Authenticator answers questions after a key${
    noKeygen ? ` (${keygenHint})` : ""
  }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const [key = ""] = await keys(dir.path, "id");
    await using agent = await startAgent(dir.path);
    await agent.add(key);
    for (const useAgent of [agent.path, false]) {
      await using server = await twoFactors(["Code: ", "PIN: "], [
        "123456",
        "42",
      ]);
      const seen: unknown[] = [];
      const { ok, tried, error } = await login({
        ...server.host,
        identityFile: key,
        agent: useAgent,
        keyboardInteractive: (request) => {
          seen.push(request);
          return ["123456", "42"];
        },
      });
      assert(ok, String(error));
      assertEquals(tried.map((it) => it.split(" ")[0]), [
        "publickey",
        "keyboard-interactive",
      ]);
      assertEquals(seen, [{
        name: "Title",
        instructions: "Read this",
        prompts: [{ prompt: "Code: ", echo: false }, {
          prompt: "PIN: ",
          echo: false,
        }],
        host: `ops@127.0.0.1:${server.host.port}`,
      }]);
    }
  },
});

function asking(
  prompt: string,
  expected: string,
  methods = ["keyboard-interactive"],
) {
  const answers: string[][] = [];
  const server = startServer((context) => {
    if (context.method !== "keyboard-interactive") {
      return context.reject(methods as never);
    }
    (context as KeyboardAuthContext).prompt(
      [{ prompt, echo: false }],
      (given) => {
        answers.push(given);
        if (given[0] === expected) context.accept();
        else context.reject(methods as never);
      },
    );
  });
  return { server, answers };
}

Deno.test("Authenticator answers a question for the password with the password", async () => {
  const { server: starting, answers } = asking("Password: ", "right");
  await using server = await starting;
  const { ok, tried } = await login({ ...server.host, password: "right" });
  // "none" asks what it offers: a password that it does not take is a failure.
  assertEquals([ok, answers, tried, server.methods], [
    true,
    [["right"]],
    ["keyboard-interactive"],
    ["none", "keyboard-interactive"],
  ]);
});

Deno.test("Authenticator gives the password to no other question", async () => {
  for (const prompt of ["Verification code: ", "New password: "]) {
    const { server: starting, answers } = asking(prompt, "right");
    await using server = await starting;
    const { ok } = await login({ ...server.host, password: "right" });
    assertEquals([ok, answers], [false, [[""]]]);
  }
});

Deno.test("Authenticator sends a wrong password once where the server takes passwords", async () => {
  const { server: starting, answers } = asking("Password: ", "right", [
    "keyboard-interactive",
    "password",
  ]);
  await using server = await starting;
  const { tried } = await login({ ...server.host, password: "wrong" });
  assertEquals([tried, answers], [["password"], []]);
});

Deno.test("Authenticator ends with the error of a keyboardInteractive function", async () => {
  const { server: starting } = asking("Code: ", "1");
  await using server = await starting;
  const cause = new Error("cancelled");
  for (
    const keyboardInteractive of [
      () => Promise.reject(cause),
      () => ["one", "two many"],
    ]
  ) {
    const { ok, error } = await login({ ...server.host, keyboardInteractive });
    assertFalse(ok);
    assertMatch(error.message, /The keyboardInteractive function failed/);
    if (keyboardInteractive.length === 0 && error.cause === cause) continue;
    assertMatch(
      error.message,
      /one string for each prompt, of which there are 1/,
    );
  }
});

Deno.test("Authenticator asks a password function when its turn comes", async () => {
  const given: string[] = [];
  await using server = await startServer((context) => {
    if (context.method !== "password") return context.reject(["password"]);
    given.push((context as PasswordAuthContext).password);
    context.accept();
  });
  const { ok } = await login({
    ...server.host,
    password: () => Promise.resolve("right"),
  });
  assertEquals([ok, given], [true, ["right"]]);
});

Deno.test("Authenticator has the error of a password function as its cause", async () => {
  await using server = await startServer(refuse(["password"]));
  const cause = new Error("vault is sealed");
  const { error, notices, tried } = await login({
    ...server.host,
    password: () => Promise.reject(cause),
  });
  assertStrictEquals(error.cause, cause);
  assertMatch(
    error.message,
    /: no credential could be offered; The password function failed; it offers password$/,
  );
  assertEquals([tried, notices.map((it) => it.code)], [[], [
    "credential-skipped",
  ]]);
});

Deno.test("Authenticator says that a password has expired", async () => {
  await using server = await startServer((context) => {
    if (context.method !== "password") return context.reject(["password"]);
    (context as PasswordAuthContext).requestChange("New one:", () => {});
  });
  const { ok, error } = await login({ ...server.host, password: "old" });
  assertFalse(ok);
  assertMatch(error.message, /The password has expired/);
});

Deno.test("Authenticator stops when aborted, whoever is being waited for", async () => {
  const never = new Promise<never>(() => {});
  const { server: starting } = asking("Code: ", "1");
  await using server = await starting;
  for (const wait of ["password", "keyboardInteractive"] as const) {
    const controller = new AbortController();
    const { ok } = await login({
      ...server.host,
      authMethods: [wait === "password" ? "password" : "keyboard-interactive"],
      [wait]: () => {
        queueMicrotask(() => controller.abort());
        return never;
      },
    }, { signal: controller.signal });
    assertFalse(ok);
  }
});

Deno.test({
  name: "Authenticator.prepare() leaves a hanging agent on abort",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using dir = await tempDir();
    const path = join(dir.path, "agent");
    const controller = new AbortController();
    const gone = Promise.withResolvers<void>();
    const mute = createServer((socket) => {
      socket.on("close", () => gone.resolve());
      socket.resume();
      controller.abort(new Error("enough"));
    });
    await new Promise<void>((resolve) => mute.listen(path, resolve));
    const host = resolved({ hostname: "h", agent: path });
    const auth = new Authenticator(host, { signal: controller.signal });
    await assertRejects(() => auth.prepare(), Error, "enough");
    auth.dispose();
    await gone.promise;
    await new Promise((resolve) => mute.close(resolve));
  },
});

/** What an agent answers that has one key. */
const ONE_KEY = Buffer.concat([
  ...[Buffer.of(12), uint32(1)],
  string(
    Buffer.concat([string("ssh-ed25519"), string(Buffer.alloc(32))]),
  ),
  string("key"),
]);

Deno.test({
  name: "Authenticator leaves an agent that waits for its owner, on abort",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using dir = await tempDir();
    const path = join(dir.path, "agent");
    const controller = new AbortController();
    const gone = Promise.withResolvers<void>();
    const agent = createServer((socket) => {
      socket.on("data", (request: Buffer) => {
        if (request[4] === 11) return socket.write(string(ONE_KEY));
        // It would wait here for as long as its owner is away.
        socket.on("close", () => gone.resolve());
        controller.abort();
      });
    });
    await new Promise<void>((resolve) => agent.listen(path, resolve));
    await using server = await startServer((context) => context.accept());
    const { signal } = controller;
    const { ok } = await login({ ...server.host, agent: path }, { signal });
    assertFalse(ok);
    await gone.promise;
    await new Promise((resolve) => agent.close(resolve));
  },
});

Deno.test({
  name:
    "Authenticator counts no key as refused that the agent did not sign with",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using dir = await tempDir();
    const path = join(dir.path, "agent");
    const agent = createServer((socket) => {
      socket.on(
        "data",
        (request: Buffer) =>
          socket.write(string(request[4] === 11 ? ONE_KEY : Buffer.of(5))),
      );
    });
    await new Promise<void>((resolve) => agent.listen(path, resolve));
    await using server = await startServer((context) =>
      context.method === "publickey" && context.signature === undefined
        ? context.accept()
        : context.reject(["publickey"])
    );
    const { tried, error } = await login({
      ...server.host,
      privateKey: keyPair("refused").privateKey,
      agent: path,
    });
    assertEquals(tried.map((it) => it.split(" ")[1]), ["privateKey"]);
    assertMatch(error.message, /refused publickey \(privateKey [^)]*\);/);
    assertMatch(error.message, /The agent refused/);
    await new Promise((resolve) => agent.close(resolve));
  },
});

Deno.test("Authenticator.prepare() fails if no credential that was given can be used", async () => {
  await using dir = await tempDir();
  const missing = join(dir.path, "none");
  for (
    const host of [{ identityFile: missing, agent: false }, { agent: missing }]
  ) {
    const auth = new Authenticator(resolved({ hostname: "db1", ...host }));
    const error = await assertRejects(() => auth.prepare(), DialError);
    assertEquals(error.phase, "config");
    assertMatch(
      error.message,
      /^Cannot authenticate as "ops" on "ops@db1:22": Cannot (read the key|use the agent)/,
    );
    auth.dispose();
  }
});

Deno.test({
  name:
    `Authenticator goes on where a key is missing, or its passphrase is wrong${
      noKeygen ? ` (${keygenHint})` : ""
    }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const locked = await keygen(join(dir.path, "locked"), {
      passphrase: "right",
    });
    const missing = join(dir.path, "missing");
    await using server = await startServer((context) =>
      context.method === "password" && context.password === "right"
        ? context.accept()
        : context.reject(["publickey", "password"])
    );
    const host = {
      ...server.host,
      identityFile: [missing, locked],
      passphrase: "wr0ng",
      agent: false,
    };
    const { ok, notices } = await login({ ...host, password: "right" });
    assertEquals([ok, notices], [true, [
      {
        code: "credential-skipped",
        message: `Cannot read the key ${
          JSON.stringify(missing)
        }: there is no such file`,
      },
      {
        code: "credential-skipped",
        message: `Cannot decrypt the key ${
          JSON.stringify(locked)
        }: wrong passphrase`,
      },
    ]]);
    const { error } = await login(host);
    assertStringIncludes(
      error.message,
      `Cannot decrypt the key ${JSON.stringify(locked)}: wrong passphrase`,
    );
    assertFalse(Deno.inspect(error).includes("wr0ng"));
  },
});

Deno.test({
  name:
    `Authenticator signs with its own key at once, and asks before it troubles an agent${
      noKeygen ? ` (${keygenHint})` : ""
    }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const [key = ""] = await keys(dir.path, "id");
    await using agent = await startAgent(dir.path);
    await agent.add(key);
    const signed: boolean[] = [];
    await using server = await startServer((context) => {
      if (context.method !== "publickey") return context.reject(["publickey"]);
      signed.push(context.signature !== undefined);
      context.accept();
    });
    await login({ ...server.host, identityFile: key, agent: false });
    assertEquals(signed.splice(0), [true]);
    await login({ ...server.host, identityFile: key, agent: agent.path });
    assertEquals(signed, [false, true]);
  },
});

Deno.test({
  name: `Authenticator goes on where the agent does not sign${
    noKeygen ? ` (${keygenHint})` : ""
  }`,
  ignore: noKeygen,
  async fn() {
    await using dir = await tempDir();
    const [key = ""] = await keys(dir.path, "id");
    const agent = await startAgent(dir.path);
    await agent.add(key);
    await using server = await startServer((context) => {
      if (context.method === "password") return context.accept();
      if (context.method !== "publickey") return context.reject();
      // The agent dies between the question and the signature.
      agent[Symbol.asyncDispose]().then(() => context.accept());
    });
    const { ok, tried, notices } = await login({
      ...server.host,
      agent: agent.path,
      password: "right",
    });
    assertEquals([ok, tried], [true, ["password"]]);
    assertMatch(
      notices[0]?.message ?? "",
      /^Cannot sign with the agent's key: /,
    );
  },
});
