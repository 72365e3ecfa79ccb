import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import type { ConnectOptions } from "../../../transport/connector.ts";
import { DialError } from "../../../transport/errors.ts";
import type { SshHost } from "../../../transport/host/host.ts";
import { argumentsFor } from "../../../transport/openssh/_arguments.ts";
import {
  checkConnectorOptions,
  type OpenSshConnectorOptions,
} from "../../../transport/openssh/options.ts";
import { resolved } from "./_kit.ts";

/** The arguments for a host, and its options by name: the first one wins. */
function args(
  host: Partial<SshHost>,
  options: ConnectOptions = {},
  connector: OpenSshConnectorOptions = {},
  keyFiles: readonly string[] = [],
): { all: string[]; options: Record<string, string>; lines: string[] } {
  const all = argumentsFor(
    resolved({ hostname: "db1", ...host }),
    options,
    checkConnectorOptions(connector),
    { socket: "/s/c", keyFiles, own: { StrictHostKeyChecking: "yes" } },
  );
  const lines = all.filter((it) => it.startsWith("-o")).map((it) =>
    it.slice(2)
  );
  const found: Record<string, string> = {};
  for (const line of lines) {
    const at = line.indexOf("=");
    found[line.slice(0, at)] ??= line.slice(at + 1);
  }
  return { all, options: found, lines };
}

const fields: readonly [Partial<SshHost>, Record<string, string>][] = [
  [{ addressFamily: 6 }, { AddressFamily: "inet6" }],
  [{ bindAddress: "10.0.0.1" }, { BindAddress: '"10.0.0.1"' }],
  [{ proxyCommand: "nc '%h' %p" }, { ProxyCommand: "nc '%h' %p" }],
  [{ agentForward: true }, { ForwardAgent: "yes" }],
  [{ identityFile: "/a b%c" }, { IdentityFile: '"/a b%%c"' }],
  [{ certificateFile: "/c%d" }, { CertificateFile: '"/c%%d"' }],
  [{ identitiesOnly: true }, { IdentitiesOnly: "yes" }],
  [{ agent: false }, { IdentityAgent: "none" }],
  [{ agent: true }, { IdentityAgent: "SSH_AUTH_SOCK" }],
  [{ agent: "/a" }, { IdentityAgent: '"/a"' }],
  [{ privateKey: "k" }, { IdentityAgent: "none" }],
  [{ privateKey: "k", agent: "/a" }, { IdentityAgent: '"/a"' }],
  [{ authMethods: ["none", "password", "publickey"] }, {
    PreferredAuthentications: "password,publickey",
  }],
  [
    { algorithms: { kex: ["a", "b"], cipher: "^c", mac: "-*d", hostKey: "e" } },
    {
      KexAlgorithms: "a,b",
      Ciphers: "^c",
      MACs: "-*d",
      HostKeyAlgorithms: "e",
    },
  ],
];

for (const [host, expected] of fields) {
  Deno.test(`argumentsFor() gives ssh ${JSON.stringify(host)}`, () => {
    const { options } = args(host);
    for (const [name, value] of Object.entries(expected)) {
      assertEquals(options[name], value);
    }
  });
}

Deno.test("argumentsFor() lets ssh look up the alias, and go where the host says", () => {
  const { all, options } = args({ alias: "web-1", port: 2222, user: "me" });
  assertEquals(options.HostName, '"db1"');
  assertEquals(all.slice(-6), ["-p", "2222", "-l", "me", "--", "web-1"]);
  const without = args({});
  assertEquals(without.options.HostName, undefined);
  assertEquals(without.all.slice(-2), ["--", "db1"]);
});

Deno.test("argumentsFor() lets keys given as text come first, and then files", () => {
  const { lines } = args({ identityFile: ["/b", "/c"] }, {}, {}, ["/s/k0"]);
  assertEquals(lines.filter((it) => it.startsWith("IdentityFile")), [
    'IdentityFile="/s/k0"',
    'IdentityFile="/b"',
    'IdentityFile="/c"',
  ]);
});

Deno.test("argumentsFor() rounds times up to whole seconds", () => {
  const { options } = args(
    {},
    { timeoutMs: 1500, keepaliveIntervalMs: 200, keepaliveCountMax: 7 },
    { persistMs: 2500 },
  );
  assertEquals([
    options.ConnectTimeout,
    options.ServerAliveInterval,
    options.ServerAliveCountMax,
    options.ControlPersist,
  ], ["2", "1", "7", "3"]);
  assertEquals(
    args({}, { keepaliveIntervalMs: 0 }).options.ServerAliveInterval,
    "0",
  );
});

Deno.test("argumentsFor() lets ssh notice by itself that a connection is dead", () => {
  const { options } = args({});
  assertEquals(
    [options.ServerAliveInterval, options.ServerAliveCountMax],
    ["15", "3"],
  );
});

Deno.test("argumentsFor() gives ssh the configuration file that is asked for", () => {
  assertEquals(args({}).all.includes("-F"), false);
  assertEquals(args({}, {}, { configFile: false }).all.slice(0, 2), [
    "-F",
    "none",
  ]);
  assertEquals(args({}, {}, { configFile: "/etc/x" }).all.slice(0, 2), [
    "-F",
    "/etc/x",
  ]);
});

Deno.test("argumentsFor() puts options of the connector before those of the host, and behind what it depends on", () => {
  const { lines } = args(
    { algorithms: { cipher: "a" } },
    {},
    { options: { Ciphers: "b" } },
  );
  const at = (start: string) => lines.findIndex((it) => it.startsWith(start));
  assertEquals(at("Ciphers=b") < at("Ciphers=a"), true);
  assertEquals(at("BatchMode=yes") < at("Ciphers=b"), true);
  assertEquals(at("StrictHostKeyChecking"), 0);
});

for (
  const field of ["password", "passphrase", "keyboardInteractive"] as const
) {
  Deno.test(`argumentsFor() refuses ${field} where ssh may not ask, and says what to set`, () => {
    const host = {
      [field]: field === "keyboardInteractive" ? () => [] : "secret",
    };
    const error = assertThrows(() => args(host), DialError);
    assertEquals(error.phase, "config");
    assertEquals(error.hint?.includes("askpass: true"), true);
    assertEquals(error.message.includes("secret"), false);
    assertEquals(args(host, {}, { askpass: true }).options.BatchMode, "no");
  });
}

const unsayable: readonly Partial<SshHost>[] = [
  { identityFile: '/a"b' },
  { identityFile: "/a\\b" },
  { proxyCommand: "nc\nx" },
  { algorithms: { cipher: "a b;c" } },
  { agent: '/a"' },
];
for (const host of unsayable) {
  Deno.test(`argumentsFor() refuses ${JSON.stringify(host)}, which ssh cannot be given`, () => {
    const error = assertThrows(() => args(host));
    assertInstanceOf(error, DialError);
    assertEquals(error.phase, "config");
  });
}
