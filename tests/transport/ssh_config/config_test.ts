import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import type { Notice } from "../../../transport/connector.ts";
import { runInChild } from "../../kit/child.ts";
import type { EnvironmentAnswer } from "./_environment_program.ts";
import { Home, hostOf } from "./_home.ts";
import {
  loadSshConfig,
  notHonouredKeywords,
  SshConfigError,
  type SshConfigOptions,
  SshConfigResolver,
} from "../../../transport/ssh_config/mod.ts";

Deno.test("SshConfigResolver.resolve() maps every honoured keyword", async () => {
  const { host, notices, home } = await hostOf(
    `
Host h
  HostName real.example
  User ops
  Port 2222
  IdentityFile ~/.ssh/id_%r
  IdentityFile /keys/%h-%n-%p
  CertificateFile ~/.ssh/%r-cert.pub
  CertificateFile /certs/%h
  IdentitiesOnly yes
  IdentityAgent /run/agent-%u
  HostKeyAlias alias
  StrictHostKeyChecking accept-new
  UserKnownHostsFile ~/kh /kh/%k
  GlobalKnownHostsFile none
  HashKnownHosts yes
  ConnectTimeout 1m30s
  ServerAliveInterval 7
  ServerAliveCountMax 2
  Ciphers +aes128-cbc
  KexAlgorithms -x*
  MACs ^hmac-sha2-512
  HostKeyAlgorithms ssh-ed25519
  ForwardAgent yes
  AddressFamily inet6
  BindAddress ::1
  PreferredAuthentications hostbased,password,publickey
  KbdInteractiveAuthentication no
  ProxyCommand nc %h %p %r %n %%
  SetEnv A=1 "B=x y"
`,
    "h",
  );
  const user = Deno.env.get("USER") ?? "root";
  assertEquals({ ...host, agent: "" }, {
    hostname: "real.example",
    alias: "h",
    user: "ops",
    port: 2222,
    identityFile: [`${home}/.ssh/id_ops`, "/keys/real.example-h-2222"],
    certificateFile: [`${home}/.ssh/ops-cert.pub`, "/certs/real.example"],
    identitiesOnly: true,
    agent: "",
    hostKeyAlias: "alias",
    hostKey: "accept-new",
    knownHostsFiles: [`${home}/kh`, "/kh/alias"],
    globalKnownHostsFiles: [],
    hashKnownHosts: true,
    dialTimeoutMs: 90_000,
    keepaliveIntervalMs: 7_000,
    keepaliveCountMax: 2,
    algorithms: {
      cipher: "+aes128-cbc",
      kex: "-x*",
      mac: "^hmac-sha2-512",
      hostKey: "ssh-ed25519",
    },
    agentForward: true,
    addressFamily: 6,
    bindAddress: "::1",
    authMethods: ["password", "publickey"],
    proxyCommand: "nc real.example 2222 ops h %%",
    env: { A: "1", B: "x y" },
  });
  assert(String(host.agent).startsWith("/run/agent-"), user);
  assertEquals(notices, []);
});

Deno.test("SshConfigResolver.resolve() leaves out what the configuration does not say", async () => {
  const { host } = await hostOf("Host other\n  Port 5\n", "ops@h");
  assertEquals(host, { hostname: "h", user: "ops", port: 22 });
});

Deno.test("SshConfigResolver.resolve() lets user and port of the string win", async () => {
  const { host } = await hostOf(
    "User x\nPort 5\nHostName 10.0.0.1",
    "ops@h:99",
  );
  assertEquals([host.user, host.port, host.hostname], ["ops", 99, "10.0.0.1"]);
});

Deno.test("SshConfigResolver.resolve() takes an object as it is, without a promise", async () => {
  await using home = await Home.with({ config: "Port 5\nBad line" });
  const host = home.resolver().resolve({ hostname: "h", user: "u" });
  assertEquals(host, { hostname: "h", user: "u", port: 22 });
});

Deno.test("SshConfigResolver.resolve() looks up strings among an object's hops", async () => {
  await using home = await Home.with({
    config: "Host gate\n HostName 10.0.0.9\n User g\n",
  });
  const host = await home.resolver().resolve({
    hostname: "h",
    user: "u",
    jump: "gate:23",
  });
  assertEquals(host.jump, [{
    hostname: "10.0.0.9",
    alias: "gate",
    user: "g",
    port: 23,
  }]);
});

Deno.test("SshConfigResolver.resolve() puts the hops of the first hop before it", async () => {
  const config = `
Host target
  ProxyJump gate,inner
Host gate
  ProxyJump outer
Host inner
  ProxyJump never
Host *
  User u
`;
  const { host } = await hostOf(config, "target");
  assertEquals(host.jump?.map((h) => h.hostname), ["outer", "gate", "inner"]);
});

Deno.test("SshConfigResolver.resolve() expands tokens in ProxyJump", async () => {
  const { host } = await hostOf("Host h\nProxyJump %r@j-%h:8\nUser u\nPort 7");
  assertEquals(host.jump, [{ hostname: "j-h", user: "u", port: 8 }]);
});

Deno.test("SshConfigResolver.resolve() takes %j from the host of the last hop alone", async () => {
  const text = "Host h\nIdentityFile /k/%j\nProxyJump ";
  for (
    const [hops, name] of [
      ["a,u@gate:2222", "gate"],
      ["u@[::1]:2222", "::1"],
      ["none", ""],
    ]
  ) {
    const { host } = await hostOf(text + hops, "u@h");
    assertEquals(host.identityFile, [`/k/${name}`]);
  }
});

Deno.test("SshConfigResolver.resolve() refuses a jump that leads back", async () => {
  await using home = await Home.with({
    config: "Host a\nProxyJump b\nHost b\nProxyJump a\nHost *\nUser u\n",
  });
  await assertRejects(
    async () => await home.resolver().resolve("a"),
    TypeError,
    "lead back to it",
  );
  await home.write("config", "ProxyJump gate\nUser u");
  await assertRejects(
    async () => await home.resolver().resolve("gate"),
    TypeError,
    "lead back",
  );
});

Deno.test("SshConfigResolver.resolve() gives the same object, at once, until a file changes", async () => {
  await using home = await Home.with({
    config: "Include extra*\n",
    extra: "Port 5",
  });
  const cached = home.resolver({ recheckMs: 60_000 } as SshConfigOptions);
  const first = await cached.resolve("u@h");
  assertStrictEquals(cached.resolve("u@h"), first);

  const resolver = home.resolver();
  const before = await resolver.resolve("u@h");
  assertStrictEquals(await resolver.resolve("u@h"), before);
  await home.write("extra", "Port 66");
  assertEquals((await resolver.resolve("u@h")).port, 66);
  await home.write("extra-0", "Port 7");
  await Deno.remove(home.file("extra"));
  assertEquals((await resolver.resolve("u@h")).port, 7);
  await home.write("config", "Port x");
  await assertRejects(
    async () => await resolver.resolve("u@h"),
    SshConfigError,
    "config:1: Port",
  );
  await home.write("config", "Port 8");
  assertEquals((await resolver.resolve("u@h")).port, 8);
});

Deno.test("SshConfigResolver.resolve() reads the files once for many callers at once", async () => {
  await using home = await Home.with({ config: "User u" });
  const resolver = home.resolver();
  const hosts = await Promise.all(
    Array.from({ length: 50 }, () => resolver.resolve("h")),
  );
  assertEquals(new Set(hosts).size, 1);
});

Deno.test("SshConfigResolver.resolve() reports once what has no effect", async () => {
  await using home = await Home.with({
    config: "Host *\n  RemoteCommand top\n  ForwardX11 no\n  User u\n",
  });
  const notices: Notice[] = [];
  const options = { onNotice: (n: Notice) => void notices.push(n) };
  const resolver = home.resolver();
  await resolver.resolve("a", options);
  await resolver.resolve("b", options);
  assertEquals(notices, [{
    code: "ssh-config-remote-command",
    message: `${home.file("config")}:2: RemoteCommand is not run: commands ` +
      "are those of the program",
  }]);
});

Deno.test("SshConfigResolver.resolve() takes StrictHostKeyChecking no as accept-new, and says so", async () => {
  const { host, notices } = await hostOf("StrictHostKeyChecking no\nUser u");
  assertEquals(host.hostKey, "accept-new");
  assertEquals(notices.map((n) => n.code), ["ssh-config-stricter"]);
});

Deno.test("SshConfigResolver.resolve() takes ask and yes as strict", async () => {
  for (const word of ["ask", "yes", "true"]) {
    const { host } = await hostOf(`StrictHostKeyChecking ${word}\nUser u`);
    assertEquals(host.hostKey, "strict");
  }
});

Deno.test("SshConfigResolver.resolve() forwards no agent where a socket is named", async () => {
  const { host, notices } = await hostOf("ForwardAgent /a/sock\nUser u");
  assertEquals(host.agentForward, undefined);
  assertEquals(notices.map((n) => n.code), ["ssh-config-agent-forward"]);
});

Deno.test("SshConfigResolver.resolve() switches the agent off for IdentityAgent none", async () => {
  const { host } = await hostOf("IdentityAgent none\nUser u");
  assertEquals(host.agent, false);
});

/** What configurations make of a host, in a process with these variables. */
function answersWith(
  env: Readonly<Record<string, string | undefined>>,
  texts: readonly string[],
): Promise<EnvironmentAnswer[]> {
  const program = new URL("./_environment_program.ts", import.meta.url);
  return runInChild(program, texts, { env });
}

Deno.test("SshConfigResolver.resolve() reads IdentityAgent out of a variable", async () => {
  const texts = [
    "IdentityAgent $SSHPOOL_TEST_AGENT",
    "IdentityAgent ${SSHPOOL_TEST_AGENT}",
    "IdentityAgent ${SSHPOOL_TEST_AGENT}/y",
  ];
  const set = await answersWith({ SSHPOOL_TEST_AGENT: "/run/x" }, texts);
  assertEquals(set.map(({ agent }) => agent), ["/run/x", "/run/x", "/run/x/y"]);
  const unset = await answersWith({ SSHPOOL_TEST_AGENT: undefined }, texts);
  assertEquals(unset[0]?.agent, false);
  assertStringIncludes(unset[1]?.error ?? "", "is not set");
});

Deno.test("SshConfigResolver.resolve() sends variables that SendEnv names, minus those it takes back", async () => {
  const [all, less] = await answersWith(
    { SSHPOOL_T_A: "1", SSHPOOL_T_B: "2" },
    [
      "SendEnv SSHPOOL_T_*\nSetEnv SSHPOOL_T_B=3",
      "SendEnv SSHPOOL_T_A SSHPOOL_T_B\nSendEnv -*_A",
    ],
  );
  assertEquals(all?.env, { SSHPOOL_T_A: "1", SSHPOOL_T_B: "3" });
  assertEquals(less?.env, { SSHPOOL_T_B: "2" });
});

Deno.test("SshConfigResolver.resolve() refuses what would be less safe than ssh", async () => {
  const refused: [string, string, string][] = [
    ["RevokedHostKeys /x", "h", "RevokedHostKeys cannot be honoured"],
    ["RefuseConnection gone", "h", "RefuseConnection: gone"],
    ["ProxyCommand nc %r", "a;b@h", "not safe in a shell command"],
    ["HostName $(x)\nProxyCommand nc %h", "h", "not safe in a shell command"],
    ["ProxyCommand nc %h\nHostName -oX", "h", "not safe in a shell command"],
    ["HostName a/b", "h", "hostname"],
    [
      "PreferredAuthentications hostbased",
      "h",
      "no authentication method is left",
    ],
    [
      "PubkeyAuthentication no\nPasswordAuthentication no\nKbdInteractiveAuthentication no",
      "h",
      "no authentication method is left",
    ],
    ["UserKnownHostsFile ~nobody-here/x", "h", "another user's home"],
  ];
  for (const [config, name, message] of refused) {
    const error = await assertRejects(
      () => hostOf(config, name),
      SshConfigError,
      message,
    );
    assertEquals(error.phase, "config");
  }
});

Deno.test("SshConfigResolver.resolve() runs Match exec only where it is allowed", async () => {
  const config =
    'Match exec "test %h = h"\n  Port 5\nMatch !exec "true"\n  User no\nMatch all\nUser u\n';
  const off = await hostOf(config);
  assertEquals([off.host.port, off.host.user], [22, "u"]);
  assertEquals(off.notices.map((n) => n.code), [
    "ssh-config-match-exec",
    "ssh-config-match-exec",
  ]);
  const on = await hostOf(config, "h", { allowMatchExec: true });
  assertEquals([on.host.port, on.host.user, on.notices.length], [5, "u", 0]);
});

Deno.test("SshConfigResolver.resolve() honours Tag and Match tagged", async () => {
  const { host } = await hostOf(
    "Host h\nTag prod\nMatch tagged pro*\nPort 5\nMatch !tagged prod\nPort 6",
  );
  assertEquals(host.port, 5);
});

Deno.test("new SshConfigResolver() refuses options that do not fit", () => {
  assertThrows(
    () => new SshConfigResolver({ recheckMs: -1 }),
    RangeError,
    "recheckMs is -1",
  );
  assertThrows(
    () => new SshConfigResolver({ files: "x" as unknown as [] }),
    TypeError,
    'files is "x", must be an array of paths',
  );
});

Deno.test("SshConfig.hosts() lists concrete hosts, in order, each once", async () => {
  await using home = await Home.with({
    config: "Host b *.x !b2 b2\nHost a b\nInclude more\nMatch host m\nHost ?q",
    more: "Host z a\n",
  });
  assertEquals((await loadSshConfig(home.options())).hosts(), ["b", "a", "z"]);
});

Deno.test("SshConfig.compute() computes the answer to a question once", async () => {
  await using home = await Home.with({ config: "Port 5" });
  const config = await loadSshConfig(home.options());
  assertStrictEquals(config.compute("h"), config.compute("h"));
  assertEquals(config.compute("h", { port: 6 }).host.port, 6);
  assert(Object.isFrozen(config.compute("h").host));
});

Deno.test("loadSshConfig() reads the default files of a home, if there are any", async () => {
  await using home = await Home.with({});
  await loadSshConfig({ home: home.path });
  await home.write("config", "Host only-here\nInclude conf.d/*");
  await home.write("conf.d/1", "Host included-here");
  const hosts = (await loadSshConfig({ home: home.path })).hosts();
  assertEquals(hosts.slice(0, 2), ["only-here", "included-here"]);
});

Deno.test("loadSshConfig() refuses a user's file that others can write to", async () => {
  await using home = await Home.with({ config: "User u", more: "Port 5" });
  await Deno.chmod(home.file("config"), 0o660);
  const error = await assertRejects(
    () => loadSshConfig({ home: home.path }),
    SshConfigError,
    "others can write",
  );
  assertEquals(error.file, home.file("config"));
  await home.write("config", "Include more");
  await Deno.chmod(home.file("more"), 0o606);
  await assertRejects(
    () => loadSshConfig(home.options()),
    SshConfigError,
    "others can write",
  );
});

Deno.test({
  name: "loadSshConfig() refuses an included file of another user",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using home = await Home.with({
      config: "Include more",
      more: "Port 5",
    });
    await Deno.chown(home.file("more"), 65534, null);
    const error = await assertRejects(
      () => loadSshConfig(home.options()),
      SshConfigError,
      "belongs to another user",
    );
    assertEquals(error.file, home.file("more"));
  },
});

Deno.test("loadSshConfig() includes a file whose name begins with a dot only where the pattern does", async () => {
  await using home = await Home.with({
    config: "Include conf.d/* conf.d/.c*",
    "conf.d/a": "Host in-a",
    "conf.d/.b": "Host in-b",
    "conf.d/.c": "Host in-c",
  });
  const hosts = (await loadSshConfig(home.options())).hosts();
  assertEquals(hosts, ["in-a", "in-c"]);
});

for (
  const [keyword, field] of [
    ["IdentityFile", "identityFile"],
    ["CertificateFile", "certificateFile"],
  ] as const
) {
  Deno.test(`SshConfig.compute() takes 100 of ${keyword}, as ssh does, and not one more`, async () => {
    const files = (count: number) =>
      Array.from({ length: count }, (_, i) => `${keyword} /k/${i}`).join("\n");
    const { host } = await hostOf(files(100), "u@h");
    assertEquals(host[field]?.length, 100);
    await assertRejects(
      () => hostOf(files(101), "u@h"),
      SshConfigError,
      `config:101: more than 100 ${keyword}s`,
    );
  });
}

Deno.test("loadSshConfig() reads no file of more than 16 MB", async () => {
  await using home = await Home.with({ config: "Host a\n" });
  const path = home.file("config");
  await Deno.truncate(path, 16 * 1024 * 1024 + 1);
  await assertRejects(
    () => loadSshConfig({ files: [path] }),
    SshConfigError,
    "it has 16777217 bytes, must have at most 16777216",
  );
});

Deno.test("loadSshConfig() refuses a file that was named and is not there", async () => {
  const error = await assertRejects(
    () => loadSshConfig({ files: ["/nowhere/config"] }),
    SshConfigError,
    "ENOENT",
  );
  assertEquals(error.file, "/nowhere/config");
});

Deno.test("loadSshConfig() refuses includes that lead back or go too deep", async () => {
  await using home = await Home.with({ config: "Include config" });
  await assertRejects(
    () => loadSshConfig(home.options()),
    SshConfigError,
    "leads back",
  );
  await home.write("config", "Include a");
  await home.write("a", "Include b");
  await home.write("b", "Include a");
  await assertRejects(
    () => loadSshConfig(home.options()),
    SshConfigError,
    "leads back",
  );
  await home.write("config", "Include d0");
  for (let at = 0; at < 17; at++) {
    await home.write(`d${at}`, `Include d${at + 1}`);
  }
  await home.write("d17", "Port 5");
  await assertRejects(
    () => loadSshConfig(home.options()),
    SshConfigError,
    "deeper than 16",
  );
  await home.write("d15", "Port 6");
  assertEquals((await loadSshConfig(home.options())).compute("h").host.port, 6);
});

Deno.test("loadSshConfig() survives includes that double at each level", async () => {
  await using home = await Home.with({ config: "Include d0 d0" });
  for (let at = 0; at < 15; at++) {
    await home.write(`d${at}`, `Include d${at + 1} d${at + 1} d${at + 1}`);
  }
  await home.write("d15", "Port 5");
  const config = await loadSshConfig(home.options());
  assertThrows(() => config.compute("h"), SshConfigError, "too many files");
});

Deno.test("loadSshConfig() says which permission is missing", async () => {
  const code = `
    import { loadSshConfig } from ${
    JSON.stringify(
      new URL("../../../transport/ssh_config/mod.ts", import.meta.url).href,
    )
  };
    try { await loadSshConfig({ home: "/nowhere" }) } catch (e) { console.log(e.name, e.message) }
    try { await loadSshConfig() } catch (e) { console.log(e.name, e.message) }
  `;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--quiet",
      "--no-lock",
      `data:application/typescript,${encodeURIComponent(code)}`,
    ],
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH")!,
      DENO_DIR: Deno.env.get("DENO_DIR") ?? "",
      NO_COLOR: "1",
    },
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert(
    text.includes(
      "SshConfigError /nowhere/.ssh/config: Cannot read /nowhere/.ssh/config: grant --allow-read=/nowhere/.ssh/config, or set config: false",
    ),
    text,
  );
  assert(text.includes("the home directory is not known"), text);
});

Deno.test("notHonouredKeywords lists no keyword that is honoured", () => {
  assert(notHonouredKeywords.includes("ControlPath"));
  assert(!notHonouredKeywords.includes("ProxyJump"));
  assertEquals(new Set(notHonouredKeywords).size, notHonouredKeywords.length);
});
