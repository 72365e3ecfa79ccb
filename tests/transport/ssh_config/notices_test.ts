import { assertEquals } from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import { notHonouredKeywords } from "../../../transport/ssh_config/mod.ts";
import { MemoryConnector } from "../../../transport/testing/mod.ts";
import { Home, hostOf } from "./_home.ts";

/** What the openssh-client package of Debian 12 installs. */
const DEBIAN = `
# This is the ssh client system-wide configuration file.  See
# ssh_config(5) for more information.  This file provides defaults for
# users, and the values can be changed in per-user configuration files
# or on the command line.

Include /etc/ssh/ssh_config.d/*.conf

Host *
#   ForwardAgent no
#   ForwardX11 no
#   ForwardX11Trusted yes
#   PasswordAuthentication yes
#   Port 22
#   UserKnownHostsFile ~/.ssh/known_hosts.d/%k
    SendEnv LANG LC_*
    HashKnownHosts yes
    GSSAPIAuthentication yes
`;

/** What macOS sets: the locale in one file, the algorithms in another. */
const MACOS = `
Include crypto.conf
Host *
    SendEnv LANG LC_*
`;
const MACOS_CRYPTO = `
Host *
    Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr
    HostKeyAlgorithms ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512
    HostbasedAcceptedAlgorithms ssh-ed25519,ecdsa-sha2-nistp256
    KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256
    MACs hmac-sha2-256-etm@openssh.com,hmac-sha2-256
    PubkeyAcceptedAlgorithms ssh-ed25519,ecdsa-sha2-nistp256
    CASignatureAlgorithms ssh-ed25519,ecdsa-sha2-nistp256
`;

/** What people have in their own files, and makes no difference here. */
const USUAL = `
Host *
    AddKeysToAgent yes
    UseKeychain yes
    IgnoreUnknown UseKeychain
    ControlMaster auto
    ControlPath ~/.ssh/cm-%r@%h:%p
    ControlPersist 10m
    Compression yes
    TCPKeepAlive yes
    VisualHostKey yes
    LogLevel ERROR
    GSSAPIDelegateCredentials yes
    CheckHostIP yes
    BatchMode yes
    ConnectionAttempts 3
    IPQoS lowdelay throughput
    UpdateHostKeys yes
    NumberOfPasswordPrompts 1
    EscapeChar ~
    ForwardX11Trusted yes
    LocalCommand echo hi
    CanonicalDomains example.com
    CanonicalizeMaxDots 1
`;

/** The defaults of OpenSSH, written out, as ssh_config(5) has them. */
const DEFAULTS = `
Host *
    CanonicalizeHostname no
    ChannelTimeout none
    ClearAllForwardings no
    ForwardX11 no
    ForwardAgent no
    HostbasedAuthentication no
    KnownHostsCommand none
    NoHostAuthenticationForLocalhost no
    PermitLocalCommand no
    PKCS11Provider none
    ProxyUseFdpass no
    RekeyLimit default none
    RemoteCommand none
    RequestTTY auto
    RequiredRSASize 1024
    SecurityKeyProvider internal
    SessionType default
    StrictHostKeyChecking ask
    Tunnel no
    VerifyHostKeyDNS no
`;

const SILENT = { DEBIAN, USUAL, DEFAULTS };

for (const [name, text] of Object.entries(SILENT)) {
  Deno.test(`SshConfigResolver.resolve() has no notice for the settings of ${name}`, async () => {
    const { notices } = await hostOf(`${text}\nUser u\n`, "db1");
    assertEquals(notices, []);
  });
}

for (
  const [value, codes] of [
    ["ssh-rsa", []],
    ["+ssh-rsa", []],
    ["ssh-ed25519,rsa-sha2-512", []],
    ["-ssh-rsa*", []],
  ] as const
) {
  Deno.test(`SshConfigResolver.resolve() honours PubkeyAcceptedAlgorithms ${value}, with ${codes.length} notices`, async () => {
    await using home = await Home.with({
      config: `PubkeyAcceptedAlgorithms ${value}\n`,
    });
    const seen: string[] = [];
    const { algorithms } = await home.resolver().resolve("u@db1", {
      onNotice: ({ code }) => void seen.push(code),
    });
    assertEquals(seen, [...codes]);
    assertEquals(algorithms?.publicKey, value);
  });
}

Deno.test("SshConfigResolver.resolve() has no notice for the files of macOS", async () => {
  await using home = await Home.with({
    config: MACOS,
    "crypto.conf": MACOS_CRYPTO,
  });
  const codes: string[] = [];
  const host = await home.resolver().resolve("u@db1", {
    onNotice: ({ code }) => void codes.push(code),
  });
  assertEquals(codes, []);
  assertEquals(
    host.algorithms?.mac,
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-256",
  );
});

Deno.test("SshConfigResolver.resolve() has no notice for a stock file where the environment may not be read", async () => {
  await using home = await Home.with({ config: `${DEBIAN}\nSendEnv FOO_*\n` });
  const url = new URL("../../../transport/ssh_config/mod.ts", import.meta.url);
  const code = `
    import { SshConfigResolver } from ${JSON.stringify(url.href)};
    const files = [${JSON.stringify(home.file("config"))}];
    const resolver = new SshConfigResolver({ files, home: "/nowhere" });
    const onNotice = ({ code }) => console.log(code);
    const host = await resolver.resolve("u@db1", { onNotice });
    console.log(JSON.stringify(host.env));
  `;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--quiet",
      "--no-lock",
      "--allow-read",
      "--allow-env=LC_CTYPE",
      `data:application/typescript,${encodeURIComponent(code)}`,
    ],
    env: { NO_COLOR: "1", LC_CTYPE: "C.UTF-8", FOO_BAR: "1" },
  }).output();
  assertEquals(
    new TextDecoder().decode(stdout),
    'ssh-config-env\n{"LC_CTYPE":"C.UTF-8"}\n',
    new TextDecoder().decode(stderr),
  );
});

/** A line that changes what a program sees, and the code of its notice. */
const TOLD: readonly (readonly [string, string])[] = [
  ["BindInterface eth0", "ssh-config-network"],
  ["CanonicalizeHostname yes", "ssh-config-canonicalize"],
  ["ChannelTimeout session=5m", "ssh-config-channel-timeout"],
  ["DynamicForward 1080", "ssh-config-forward"],
  ["ForwardAgent /run/agent", "ssh-config-agent-forward"],
  ["ForwardX11 yes", "ssh-config-x11"],
  ["HostbasedAuthentication yes", "ssh-config-authentication"],
  ["KnownHostsCommand /bin/keys %H", "ssh-config-host-keys"],
  ["LocalCommand x\nPermitLocalCommand yes", "ssh-config-local-command"],
  ["LocalForward 5432 db:5432", "ssh-config-forward"],
  ["Match localnetwork 10.0.0.0/8", "ssh-config-match"],
  ["Match exec true", "ssh-config-match-exec"],
  ["NoHostAuthenticationForLocalhost yes", "ssh-config-stricter"],
  ["PKCS11Provider /usr/lib/p11.so", "ssh-config-authentication"],
  ["ProxyUseFdpass yes", "ssh-config-proxy"],
  ["RekeyLimit 1G 1h", "ssh-config-rekey"],
  ["RemoteCommand top", "ssh-config-remote-command"],
  ["RemoteForward 8080 localhost:80", "ssh-config-forward"],
  ["RequestTTY force", "ssh-config-tty"],
  ["RequiredRSASize 3072", "ssh-config-algorithms"],
  ["SecurityKeyProvider /usr/lib/sk.so", "ssh-config-authentication"],
  ["SessionType none", "ssh-config-session"],
  ["StrictHostKeyChecking no", "ssh-config-stricter"],
  ["Tunnel point-to-point", "ssh-config-forward"],
  ["VerifyHostKeyDNS yes", "ssh-config-stricter"],
];

for (const [line, code] of TOLD) {
  Deno.test(`SshConfigResolver.resolve() notices ${JSON.stringify(line)} as ${code}`, async () => {
    const { notices, home } = await hostOf(`User u\n${line}\n`, "db1");
    assertEquals(notices.map((it) => it.code), [code]);
    assertEquals(
      notices[0]?.message.startsWith(`${home}/.ssh/config:2: `),
      true,
      notices[0]?.message,
    );
  });
}

Deno.test("notHonouredKeywords has every keyword that is noticed", () => {
  const honoured = ["ForwardAgent", "Match", "StrictHostKeyChecking"];
  const names = TOLD.map(([line]) => line.split(" ")[0]!)
    .filter((name) => !honoured.includes(name));
  assertEquals(
    names.filter((name) => !notHonouredKeywords.includes(name)),
    [],
  );
});

for (const seconds of ["2147483", "2147484", "2147483647", "3550w"]) {
  Deno.test(`ConnectionPool takes ConnectTimeout ${seconds} for a long time, not for none`, async () => {
    await using home = await Home.with({
      config: `ConnectTimeout ${seconds}\nServerAliveInterval ${seconds}\n` +
        `ServerAliveCountMax 2147483647\n`,
    });
    const connector = new MemoryConnector({ dialMs: 30 });
    await using pool = new ConnectionPool({
      connector,
      resolver: home.resolver(),
    });
    await pool.exec("u@db1", ["echo", "x"]);
    assertEquals(connector.dials, 1);
    const host = await home.resolver().resolve("u@db1");
    const longest = 2_147_483_000;
    assertEquals(host.dialTimeoutMs! >= longest, true);
    assertEquals(host.keepaliveIntervalMs! >= longest, true);
    assertEquals(host.dialTimeoutMs! < 2 ** 31, true);
    assertEquals(host.keepaliveIntervalMs! < 2 ** 31, true);
  });
}

Deno.test("SshConfigResolver.resolve() takes ConnectTimeout 0 and none for the pool's own deadline", async () => {
  for (const word of ["0", "none"]) {
    const { host } = await hostOf(`ConnectTimeout ${word}\nUser u\n`);
    assertEquals(host.dialTimeoutMs, undefined);
  }
});
