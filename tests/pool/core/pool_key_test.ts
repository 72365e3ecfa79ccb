import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { poolKey } from "../../../pool/core/pool_key.ts";
import type { ResolvedHost, SshHost } from "../../../transport/host/host.ts";
import { PlainResolver } from "../../../transport/host/resolver.ts";
import { flush, Kit } from "../_kit.ts";

const base: SshHost = { hostname: "db1", user: "ops" };
const PIN_A = `SHA256:${"A".repeat(43)}` as const;
const PIN_B = `SHA256:${"B".repeat(43)}` as const;

/** Two different values for every field of a host. */
const variants: {
  [K in keyof Required<SshHost>]: [
    NonNullable<SshHost[K]>,
    NonNullable<SshHost[K]>,
  ];
} = {
  hostname: ["db2", "db3"],
  port: [2222, 2223],
  user: ["root", "admin"],
  alias: ["a", "b"],
  password: ["right", "wrong"],
  privateKey: ["key a", "key b"],
  identityFile: ["/a", "/b"],
  certificateFile: ["~/.ssh/a-cert.pub", "~/.ssh/b-cert.pub"],
  passphrase: ["right", "wrong"],
  agent: ["/a.sock", false],
  identitiesOnly: [true, false],
  keyboardInteractive: [() => ["a"], () => ["a"]],
  authMethods: [["publickey", "password"], ["password", "publickey"]],
  hostKey: [PIN_A, "insecure-accept-any"],
  knownHostsFiles: [["/a"], ["/b"]],
  globalKnownHostsFiles: [["/a"], ["/b"]],
  hostKeyAlias: ["a", "b"],
  hashKnownHosts: [true, false],
  algorithms: [{ cipher: ["aes128-ctr"] }, { mac: ["aes128-ctr"] }],
  agentForward: [true, false],
  env: [{ A: "1" }, { A: "2" }],
  jump: ["ops@gate1", "ops@gate2"],
  proxyCommand: ["nc a", "nc b"],
  addressFamily: [4, 6],
  bindAddress: ["10.0.0.1", "10.0.0.2"],
  transport: ["openssh", "ssh2"],
  dialTimeoutMs: [1_000, 2_000],
  keepaliveIntervalMs: [1_000, 2_000],
  keepaliveCountMax: [1, 2],
};

for (const [field, [one, two]] of Object.entries(variants)) {
  if (field === "alias") continue;
  Deno.test(`ConnectionPool never shares a connection between hosts that differ in ${field}`, async () => {
    await using kit = new Kit();
    const a = await kit.pool.getConnection({ ...base, [field]: one });
    const b = await kit.pool.getConnection({ ...base, [field]: two });
    const without = await kit.pool.getConnection(base);
    assertEquals(new Set([a, b, without]).size, 3);
    // And the same again is the same connection, by another object.
    const again = await kit.pool.getConnection({ ...base, [field]: one });
    assertStrictEquals(again, a);
  });
}

/** The keys of hosts, resolved as the pool does it. */
function keys(...hosts: SshHost[]): string[] {
  const resolver = new PlainResolver();
  return hosts.map((host) => poolKey(resolver.resolve(host) as ResolvedHost));
}

function assertAllDiffer(...hosts: SshHost[]): void {
  assertEquals(new Set(keys(...hosts)).size, hosts.length);
}

Deno.test("poolKey() tells aliases apart where a proxyCommand may contain them, also that of a hop", () => {
  const proxied = { ...base, proxyCommand: "nc %n 22" };
  assertAllDiffer(
    { ...proxied, alias: "box-a" },
    { ...proxied, alias: "box-b" },
    proxied,
  );
  const hop = { hostname: "gate", user: "ops", proxyCommand: "nc %n 22" };
  assertAllDiffer(
    { ...base, jump: { ...hop, alias: "gate-a" } },
    { ...base, jump: { ...hop, alias: "gate-b" } },
  );
});

Deno.test("ConnectionPool tells once that hosts differ in nothing but a function", async () => {
  await using kit = new Kit();
  const host = (command = "x") => ({
    ...base,
    env: { LC_COMMAND: command },
    password: () => "p",
  });
  for (const command of ["x", "y", "x", "x", "y"]) {
    await kit.pool.exec(host(command), "true");
  }
  const same = { ...base, password: () => "q" };
  await kit.pool.exec(same, "true");
  await kit.pool.exec({ ...same }, "true");
  const notices = await kit.told("notice");
  assertEquals(
    notices.map((it) => it.type === "notice" && it.notice.code),
    ["host-functions-differ"],
  );
});

Deno.test("poolKey() ignores the alias of a host without a proxyCommand, and it alone", () => {
  const [a, b] = keys({ ...base, alias: "x" }, { ...base, alias: "y" });
  assertEquals(a, b);
  assertAllDiffer(
    { ...base, env: { alias: "x" } },
    { ...base, env: { alias: "y" } },
    base,
  );
});

Deno.test("poolKey() tells functions apart by identity", () => {
  const make = () => () => "secret";
  const [one, two] = [make(), make()];
  const same = keys({ ...base, password: one }, { ...base, password: one });
  assertEquals(same[0], same[1]);
  assertAllDiffer(
    { ...base, password: one },
    { ...base, password: two },
    { ...base, passphrase: one },
    { ...base, hostKey: () => true },
    { ...base, hostKey: () => true },
  );
});

Deno.test("poolKey() does not confuse one shape of credentials with another", () => {
  const bytes = new TextEncoder().encode("key");
  assertAllDiffer(
    { ...base, privateKey: "key" },
    { ...base, privateKey: bytes },
    { ...base, privateKey: ["key", "key2"] },
    { ...base, privateKey: ["key,key2"] },
    { ...base, identityFile: "key" },
    { ...base, password: "key" },
    { ...base, passphrase: "key" },
    { ...base, password: 'key","passphrase":"x' },
    { ...base, password: "key", passphrase: "x" },
    { ...base, hostKey: [PIN_A, PIN_B] },
    { ...base, hostKey: [PIN_B, PIN_A] },
    { ...base, hostKey: [PIN_A] },
  );
});

Deno.test("poolKey() covers every field of every hop, and their order", () => {
  const gate: SshHost = { hostname: "gate", user: "ops" };
  const gate2: SshHost = { hostname: "gate2", user: "ops" };
  assertAllDiffer(
    { ...base, jump: gate },
    { ...base, jump: { ...gate, password: "x" } },
    { ...base, jump: { ...gate, password: "y" } },
    { ...base, jump: [gate, gate2] },
    { ...base, jump: [gate2, gate] },
    { ...base, jump: { ...gate, agentForward: true } },
    base,
  );
});

Deno.test("poolKey() does not depend on the order of the fields, nor on undefined ones", () => {
  const [a, b, c] = keys(
    { hostname: "db1", user: "ops", port: 22, password: "x" },
    { password: "x", port: 22, user: "ops", hostname: "db1" },
    { ...base, password: "x", passphrase: undefined } as unknown as SshHost,
  );
  assertEquals([b, c], [a, a]);
});

Deno.test("poolKey() is the same for equal bytes in different arrays", () => {
  const [a, b] = keys(
    { ...base, privateKey: new Uint8Array([1, 2, 3]) },
    { ...base, privateKey: new Uint8Array([1, 2, 3]) },
  );
  assertEquals(a, b);
});

Deno.test("poolKey() shows the host's name and nothing of its secrets", () => {
  const [key = ""] = keys({ ...base, password: "hunter2", passphrase: "x9y" });
  assert(key.startsWith("ops@db1:22#"));
  assert(!key.includes("hunter2") && !key.includes("x9y"));
});

Deno.test("ConnectionPool does not let a caller with a wrong password in with a right one's connection", async () => {
  await using kit = new Kit({
    onDial: ({ password }) => password === "right" ? "ok" : new Error("denied"),
  });
  await kit.pool.exec({ ...base, password: "right" }, "true");
  await flush();
  const wrong = kit.pool.exec({ ...base, password: "wrong" }, "true");
  assertEquals(await wrong.then(() => "let in", () => "kept out"), "kept out");
});
