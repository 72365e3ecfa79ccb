/** Which signatures a key may make: `algorithms.publicKey` of a host. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertThrows,
} from "@std/assert";
import { join } from "node:path";
import { SshConfigResolver } from "../../../../mod.ts";
import {
  AuthenticationError,
  DialError,
} from "../../../../transport/errors.ts";
import type { Notice } from "../../../../transport/connector.ts";
import type { SshHost } from "../../../../transport/host/host.ts";
import { KeyError } from "../../../../transport/ssh2/auth/_keys.ts";
import { Signatures } from "../../../../transport/ssh2/auth/_signatures.ts";
import { Ssh2Connector } from "../../../../transport/ssh2/mod.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../../../kit/sshd.ts";
import { connect, rejection } from "../_kit.ts";
import { keygen, startAgent, tempDir } from "./_login.ts";

/** An sshd that takes RSA keys with SHA-1 alone, and such a key. */
function sha1Test(
  name: string,
  fn: (sshd: Sshd, key: string, dir: string) => Promise<void>,
): void {
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    async fn() {
      await using sshd = await startSshd({
        config: ["PubkeyAcceptedAlgorithms ssh-rsa"],
        logLevel: "DEBUG2",
      });
      await using dir = await tempDir();
      const key = await keygen(join(dir.path, "old"), { type: "rsa" });
      const line = await Deno.readTextFile(`${key}.pub`);
      await Deno.writeTextFile(sshd.authorizedKeysPath, line, { append: true });
      await fn(sshd, key, dir.path);
    },
  });
}

/** The host, with this key in the place of its own. */
function withKey(sshd: Sshd, fields: Partial<SshHost>): SshHost {
  const { privateKey: _, ...host } = sshd.host();
  return { ...host, ...fields };
}

sha1Test(
  "a server that takes RSA keys with SHA-1 alone is logged in to where the host asks for ssh-rsa, with a file and with an agent",
  async (sshd, key, dir) => {
    const file = withKey(sshd, { identityFile: key, agent: false });
    const refused = await rejection(connect(file));
    assertInstanceOf(refused, AuthenticationError);

    const algorithms = { publicKey: "ssh-rsa" };
    await using connection = await connect({ ...file, algorithms });
    assertEquals((await connection.exec("echo on")).stdout, "on\n");

    await using agent = await startAgent(dir);
    await agent.add(key);
    const held = withKey(sshd, { agent: agent.path, algorithms });
    await using second = await connect(held);
    assertEquals((await second.exec("echo on")).stdout, "on\n");
    const log = await sshd.log();
    assertEquals(log.match(/^Accepted publickey/gm)?.length, 2);
    assertEquals(log.includes("pkalg rsa-sha2-"), true, "the refused one");
  },
);

sha1Test(
  "PubkeyAcceptedAlgorithms of ssh_config is honoured",
  async (sshd, key, dir) => {
    const config = join(dir, "config");
    await Deno.writeTextFile(
      config,
      `Host old
  HostName 127.0.0.1
  Port ${sshd.port}
  User ${sshd.user}
  IdentityFile ${key}
  IdentityAgent none
  PubkeyAcceptedAlgorithms ssh-rsa
  StrictHostKeyChecking accept-new
  UserKnownHostsFile ${dir}/known_hosts
`,
    );
    const resolver = new SshConfigResolver({ files: [config] });
    const host = await resolver.resolve("old");
    await using connection = await new Ssh2Connector().connect(host);
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
  },
);

sha1Test(
  "a key of a type that algorithms.publicKey leaves out is not shown to the server, and a notice says so",
  async (sshd, key) => {
    const notices: Notice[] = [];
    const host = withKey(sshd, {
      identityFile: key,
      agent: false,
      algorithms: { publicKey: "ssh-ed25519" },
    });
    const onNotice = (notice: Notice) => void notices.push(notice);
    const error = await rejection(connect(host, { onNotice }));
    assertInstanceOf(error, AuthenticationError);
    assertEquals(error.tried, []);
    assertMatch(
      error.message,
      /Cannot use old: it is of the type ssh-rsa, which algorithms\.publicKey \(PubkeyAcceptedAlgorithms\) leaves out/,
    );
    assertEquals(notices.map(({ code }) => code), ["credential-skipped"]);
    assert(!(await sshd.log()).includes("pkalg"));
  },
);

Deno.test("algorithms.publicKey that leaves nothing fails the dial with the phase config", async () => {
  const host = { hostname: "127.0.0.1", port: 1, password: "x" };
  const error = await rejection(
    connect({ ...host, algorithms: { publicKey: "ssh-dss" } }),
  );
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "config");
  assertMatch(
    error.message,
    /algorithms\.publicKey is "ssh-dss", which leaves/,
  );
});

Deno.test("Signatures picks what is accepted, for keys, certificates and agents", () => {
  const any = new Signatures("ssh-rsa", undefined);
  assertEquals(any.pick("rsa-sha2-256"), "rsa-sha2-256");
  assertEquals(any.hash("sha256"), "sha256");

  const both = ["rsa-sha2-512", "ssh-rsa", "rsa-sha2-512-cert-v01@openssh.com"];
  const plain = new Signatures("ssh-rsa", both);
  assertEquals(plain.pick("rsa-sha2-512"), "rsa-sha2-512");
  assertEquals(plain.pick("rsa-sha2-256"), "rsa-sha2-512");
  assertEquals(plain.hash("sha256"), "sha512");
  assertEquals(plain.pick("ssh-rsa"), "ssh-rsa");

  const old = new Signatures("ssh-rsa", ["ssh-rsa"]);
  assertEquals(old.pick("rsa-sha2-512"), "ssh-rsa");
  assertEquals(old.hash("sha512"), undefined);

  const certificate = "ssh-rsa-cert-v01@openssh.com";
  const certified = new Signatures(certificate, both);
  assertEquals(certified.pick("rsa-sha2-256"), "rsa-sha2-512");
  const none = new Signatures(certificate, ["ssh-rsa"]);
  assertThrows(() => none.check("id_rsa certificate"), KeyError, "leaves out");

  const other = new Signatures("ssh-ed25519", ["ssh-ed25519"]);
  other.check("id_ed25519");
  assertEquals(other.pick(undefined), undefined);
  assertEquals(other.hash(undefined), undefined);
});
