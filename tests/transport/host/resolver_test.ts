import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import type { HostLike, SshHost } from "../../../transport/host/host.ts";
import { PlainResolver } from "../../../transport/host/resolver.ts";

const resolver = new PlainResolver();
const resolve = (host: unknown) => resolver.resolve(host as HostLike);
const H = { hostname: "db1", user: "ops" };
const PIN = `SHA256:${"A".repeat(43)}`;

Deno.test("PlainResolver.resolve() parses a string and fills in port and user", () => {
  assertEquals(resolve("ops@db1:23"), {
    hostname: "db1",
    user: "ops",
    port: 23,
  });
  const host = resolve("db1");
  assertEquals(host.port, 22);
  assert(host.user.length > 0);
});

Deno.test("PlainResolver.resolve() gives a copy that is frozen all through", () => {
  const key = new Uint8Array([1, 2, 3]);
  const env = { A: "1" };
  const given: SshHost = {
    ...H,
    env,
    privateKey: [key, "text"],
    identityFile: ["/a"],
    algorithms: { cipher: ["x"] },
    authMethods: ["publickey"],
    hostKey: [PIN as `SHA256:${string}`],
    jump: [{ ...H, hostname: "gate", env }],
  };
  const host = resolve(given);
  key.fill(9);
  env.A = "2";
  assertEquals(host.env, { A: "1" });
  assertEquals((host.privateKey as Uint8Array[])[0], new Uint8Array([1, 2, 3]));
  assertEquals(host.jump?.[0]?.env, { A: "1" });
  const parts = [
    host,
    host.env,
    host.privateKey,
    host.identityFile,
    host.algorithms,
    host.algorithms?.cipher,
    host.authMethods,
    host.hostKey,
    host.jump,
    host.jump?.[0],
    host.jump?.[0]?.env,
  ];
  for (const [index, part] of parts.entries()) {
    assert(Object.isFrozen(part), `part ${index}`);
  }
});

Deno.test("PlainResolver.resolve() keeps functions and gives back what it made", () => {
  const password = () => "x";
  const host = resolve({ ...H, password });
  assertStrictEquals(host.password, password);
  assertStrictEquals(resolve(host), host);
  assertNotStrictEquals(resolve({ ...host }), host);
});

Deno.test("PlainResolver.resolve() takes undefined for absent", () => {
  assertEquals(resolve({ ...H, port: undefined, jump: undefined }), {
    ...H,
    port: 22,
  });
});

Deno.test("PlainResolver.resolve() flattens hops, a hop's own before it", () => {
  const host = resolve({
    ...H,
    jump: ["u@a", {
      hostname: "c",
      user: "u",
      jump: { hostname: "b", user: "u" },
    }],
  });
  assertEquals(host.jump?.map((h) => h.hostname), ["a", "b", "c"]);
  assert(host.jump?.every((h) => !("jump" in h)));
  assertEquals(resolve({ ...H, jump: "u@a" }).jump?.length, 1);
  assertEquals(resolve({ ...H, jump: [] }).jump, undefined);
});

Deno.test("PlainResolver.resolve() refuses hops that lead back", () => {
  const loop: Record<string, unknown> = { ...H };
  loop.jump = [{ hostname: "x", user: "u", jump: loop }];
  assertThrows(() => resolve(loop), TypeError, "they lead back to it");
  assertThrows(
    () => resolve({ ...H, jump: "ops@db1" }),
    TypeError,
    "through itself",
  );
  assertThrows(
    () =>
      resolve({ ...H, jump: Array.from({ length: 40 }, (_, i) => `u@h${i}`) }),
    TypeError,
    "more than 32",
  );
  let deep: SshHost = H;
  for (let at = 0; at < 5_000; at++) {
    deep = { hostname: `h${at}`, user: "u", jump: deep };
  }
  assertThrows(() => resolve(deep), TypeError, "more than 32");
});

Deno.test("PlainResolver.resolve() refuses a proxyCommand behind a hop", () => {
  assertThrows(
    () => resolve({ ...H, jump: "u@a", proxyCommand: "nc" }),
    TypeError,
    "must be one of them",
  );
  assertThrows(
    () =>
      resolve({
        ...H,
        jump: ["u@a", { hostname: "b", user: "u", proxyCommand: "nc" }],
      }),
    TypeError,
    "must be one of them",
  );
  assertEquals(
    resolve({ ...H, jump: { hostname: "b", user: "u", proxyCommand: "nc" } })
      .jump?.length,
    1,
  );
});

const BAD: readonly (readonly [Record<string, unknown>, string])[] = [
  [{ port: "22" }, 'port is "22", must be an integer from 1 to 65535'],
  [{ port: 0 }, "port is 0, must be"],
  [{ port: 65536 }, "port is 65536, must be"],
  [{ port: 1.5 }, "port is 1.5"],
  [{ port: NaN }, "port is NaN"],
  [{ hostname: "" }, 'hostname is "", must be'],
  [{ hostname: "[::1]" }, 'hostname is "[::1]"'],
  [{ hostname: "db1:22" }, 'hostname is "db1:22"'],
  [{ hostname: "-x" }, 'hostname is "-x"'],
  [{ hostname: "a b" }, 'hostname is "a b"'],
  [{ hostname: "ops@db1" }, 'hostname is "ops@db1"'],
  [{ user: "" }, 'user is ""'],
  [{ user: "-x" }, 'user is "-x"'],
  [{ user: "a\nb" }, "user is"],
  [{ user: "a\ud800" }, "user is"],
  [{ alias: "a\udcff" }, "alias is"],
  [{ password: 1 }, "password is a number, must be a string or a function"],
  [{ privateKey: "" }, "privateKey is an empty string"],
  [
    { privateKey: [] },
    "privateKey is an array, must be a key as string or Uint8Array, or an array",
  ],
  [{ privateKey: [1] }, "privateKey is an array"],
  [{ identityFile: [1] }, "identityFile is an array"],
  [{ passphrase: {} }, "passphrase is an object"],
  [{ agent: 1 }, "agent is 1"],
  [{ agent: "" }, 'agent is ""'],
  [{ identitiesOnly: "yes" }, 'identitiesOnly is "yes", must be true or false'],
  [
    { keyboardInteractive: "x" },
    "keyboardInteractive is a string, must be a function",
  ],
  [
    { authMethods: [] },
    "authMethods is an array, must be an array of none, publickey, password",
  ],
  [{ authMethods: ["hostbased"] }, "must be an array of none, publickey"],
  [{ hostKey: "any" }, 'hostKey is "any", must be "strict"'],
  [{ hostKey: "SHA256:short" }, 'hostKey is "SHA256:short"'],
  [{ hostKey: [] }, "hostKey is an array"],
  [
    { knownHostsFiles: "/x" },
    'knownHostsFiles is "/x", must be an array of paths',
  ],
  [{ hashKnownHosts: 1 }, "hashKnownHosts is 1"],
  [
    { algorithms: { ciphers: "x" } },
    'there is no field "algorithms.ciphers", did you mean "cipher"?',
  ],
  [{ algorithms: { cipher: [] } }, "algorithms.cipher is an array, must be"],
  [{ algorithms: "x" }, "algorithms is a string, must be an object with kex"],
  [{ agentForward: null }, "agentForward is null"],
  [{ env: { "A=B": "x" } }, "env is an object"],
  [{ env: { A: 1 } }, "env is an object"],
  [{ env: { A: "\ud800" } }, "env is an object"],
  [{ env: { "A\ud800": "x" } }, "env is an object"],
  [{ password: "x\udce9" }, "password is a string"],
  [{ proxyCommand: "nc \ud800" }, "proxyCommand is a string"],
  [{ env: ["A"] }, "env is an array"],
  [{ jump: 1 }, "jump is a number, must be a host, or an array of hosts"],
  [{ proxyCommand: "" }, "proxyCommand is an empty string"],
  [{ addressFamily: "4" }, 'addressFamily is "4", must be 4 or 6'],
  [{ bindAddress: "" }, 'bindAddress is ""'],
  [{ dialTimeoutMs: 0 }, "dialTimeoutMs is 0"],
  [{ dialTimeoutMs: Infinity }, "dialTimeoutMs is Infinity"],
  [{ keepaliveIntervalMs: -1 }, "keepaliveIntervalMs is -1"],
  [{ keepaliveCountMax: 1.5 }, "keepaliveCountMax is 1.5"],
  [
    { hostName: "x" },
    'there is no field "hostName", did you mean "hostname"?',
  ],
  [{ username: "x" }, 'there is no field "username", did you mean "user"?'],
  [{ host: "x" }, 'there is no field "host", did you mean "hostname"?'],
  [{ readyTimeout: 1 }, 'did you mean "dialTimeoutMs"?'],
  [{ identity_file: "x" }, 'did you mean "identityFile"?'],
  [{ __proto__: null, toString: 1 }, 'there is no field "toString"'],
  [{ pasword: "x" }, 'there is no field "pasword", did you mean "password"?'],
  [{ wat: 1 }, 'there is no field "wat"'],
];

for (const [fields, message] of BAD) {
  const shown = JSON.stringify(
    fields,
    (_k, v) => typeof v === "number" ? String(v) : v,
  );
  Deno.test(`PlainResolver.resolve() refuses ${shown}`, () => {
    const error = assertThrows(
      () => resolve({ ...H, ...fields }),
      TypeError,
      message,
    );
    assert(error.message.startsWith("Cannot use the host"), error.message);
  });
}

Deno.test("PlainResolver.resolve() refuses what is neither a string nor a plain object", () => {
  for (
    const value of [
      undefined,
      null,
      1,
      true,
      [],
      () => 1,
      Symbol("x"),
      new Date(),
    ]
  ) {
    assertThrows(() => resolve(value), TypeError);
  }
  const message = "it is an object, must be a string or a plain object";
  assertThrows(() => resolve(Object.create(H)), TypeError, message);
  assertThrows(
    () => resolve({ user: "ops" }),
    TypeError,
    "hostname is missing",
  );
  assertThrows(
    () => resolve({ host: "x" }),
    TypeError,
    'did you mean "hostname"?',
  );
});

Deno.test("PlainResolver.resolve() shows no secret in a message", () => {
  const secret = "hunter2-XYZZY";
  const hosts: Record<string, unknown>[] = [
    { password: [secret] },
    { password: { value: secret } },
    { passphrase: [secret] },
    { privateKey: { key: secret } },
    { privateKey: [{ key: secret }] },
    { identityFile: `-----BEGIN\n${secret}` },
    { identityFile: ["", secret] },
    { keyboardInteractive: secret },
    { env: { "A=": secret } },
    { proxyCommand: `x\0${secret}` },
    { jump: [1, { hostname: "x", password: secret }] },
    { jump: { hostname: "x", pasword: secret } },
    { jump: `ssh://u:${secret}@gate` },
    { passwd: secret },
  ];
  for (const fields of hosts) {
    const error = assertThrows(() => resolve({ ...H, ...fields }), TypeError);
    assert(!error.message.includes(secret), error.message);
    assert(!Deno.inspect(error).includes(secret), "inspect");
  }
});

Deno.test("PlainResolver.resolve() works without permissions where the user is named, and else says to name it", async () => {
  const url =
    new URL("../../../transport/host/resolver.ts", import.meta.url).href;
  const code = `
    import { PlainResolver } from ${JSON.stringify(url)};
    console.log(JSON.stringify(new PlainResolver().resolve("ops@db1")));
    try { new PlainResolver().resolve("db1") } catch (e) { console.log(e.name, e.message) }
  `;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--quiet",
      "--no-lock",
      `data:application/typescript,${encodeURIComponent(code)}`,
    ],
    env: { NO_COLOR: "1" },
  }).output();
  const [first, second = ""] = new TextDecoder().decode(stdout).split("\n");
  assertEquals(
    first,
    '{"hostname":"db1","user":"ops","port":22}',
    new TextDecoder().decode(stderr),
  );
  assert(
    second.startsWith(
      "TypeError Cannot find the local user's name for db1: name the user",
    ),
    second,
  );
});
