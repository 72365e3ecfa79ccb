/** Which key is tried, against OpenSSH's own server, agent and keys. */

import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { createServer } from "node:net";
import { join } from "node:path";
import type { SshHost } from "../../../../transport/host/host.ts";
import { authorize, bare, sshdTest } from "../../../integration/_kit.ts";
import { startSshd } from "../../../kit/sshd.ts";
import { string, uint32 } from "../../../../transport/ssh2/_bytes.ts";
import { AgentClient } from "../../../../transport/ssh2/auth/_agent.ts";
import { planCredentials } from "../../../../transport/ssh2/auth/_plan.ts";
import { keyPair } from "../../../../transport/testing/server/_keys.ts";
import {
  fingerprintOf,
  keygen,
  login,
  resolved,
  run,
  startAgent,
  startServer,
} from "./_login.ts";

sshdTest(
  "Authenticator shows a named key before the eight keys of an agent",
  async (dir) => {
    await using sshd = await startSshd({ config: ["MaxAuthTries 6"] });
    await using agent = await startAgent(dir);
    for (let i = 0; i < 8; i++) {
      await agent.add(await keygen(join(dir, `${i}`)));
    }
    const named = await keygen(join(dir, "named"));
    await authorize(sshd, named);
    const host = { ...bare(sshd), agent: agent.path, identityFile: named };
    const byFile = await login(host);
    assert(byFile.ok, String(byFile.error));
    const label = `publickey named ${await fingerprintOf(named)}`;
    assertEquals(byFile.tried, [label]);
    // Also as the ninth key of the agent, named by its public half.
    await agent.add(named);
    await Deno.remove(named);
    const byAgent = await login({ ...host, identityFile: `${named}.pub` });
    assertEquals([byAgent.ok, byAgent.tried.length], [true, 1]);
    // Without a name the agent's first six are all that the server lets us try.
    const { identityFile: _, ...nameless } = host;
    assertFalse((await login(nameless)).ok);
  },
);

sshdTest(
  "Authenticator refuses a private key that others may read, as ssh does",
  async (dir) => {
    await using sshd = await startSshd();
    const path = await keygen(join(dir, "key"));
    await authorize(sshd, path);
    const host = { ...bare(sshd), identityFile: path };
    for (const mode of [0o644, 0o640, 0o620, 0o601]) {
      await Deno.chmod(path, mode);
      const { ok, error, notices } = await login(host);
      assertFalse(ok);
      const why = `Cannot use the key ${JSON.stringify(path)}: its mode is 0${
        mode.toString(8)
      }, which lets other users read it; run "chmod 600 ${path}"`;
      assertStringIncludes(error.message, why);
      assertEquals(error.hint, `run: chmod 600 ${path}`);
      assertEquals(notices.map((it) => it.message), [why]);
      assertFalse(await sshLogsIn(host, path));
    }
    for (const mode of [0o600, 0o400, 0o700]) {
      await Deno.chmod(path, mode);
      assert((await login(host)).ok);
      assert(await sshLogsIn(host, path));
    }
    // The agent's copy of such a key is used all the same, as with ssh.
    await using agent = await startAgent(dir);
    await agent.add(path);
    await Deno.chmod(path, 0o644);
    assert((await login({ ...host, agent: agent.path })).ok);
  },
);

/** Whether OpenSSH's own client logs in with the key. */
async function sshLogsIn(host: SshHost, key: string): Promise<boolean> {
  const options = [
    ...["BatchMode=yes", "StrictHostKeyChecking=no", "IdentityAgent=none"],
    ...["UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes"],
  ].flatMap((option) => ["-o", option]);
  const { success } = await new Deno.Command("ssh", {
    args: [
      ...["-F", "none", ...options, "-i", key, "-p", `${host.port}`],
      ...[`${host.user}@${host.hostname}`, "true"],
    ],
    stdin: "null",
    stderr: "null",
  }).output();
  return success;
}

sshdTest(
  "Authenticator logs in with the certificates of certificateFile",
  async (dir) => {
    await Deno.chmod(dir, 0o755);
    const ca = await keygen(join(dir, "ca"));
    await using sshd = await startSshd({
      config: [`TrustedUserCAKeys ${ca}.pub`],
    });
    await using agent = await startAgent(dir);
    const kinds = [["ed25519"], ["rsa", 2048], ["ecdsa", 256], ["ecdsa", 521]];
    for (const [type, bits] of kinds as [string, number?][]) {
      const key = await keygen(join(dir, `${type}${bits ?? ""}`), {
        type,
        ...bits === undefined ? {} : { bits },
      });
      await run("ssh-keygen", [
        ...["-q", "-s", ca, "-I", "test", "-n", sshd.user, `${key}.pub`],
      ]);
      // Not where it would be found without being named.
      const certificate = `${key}.elsewhere`;
      await Deno.rename(`${key}-cert.pub`, certificate);
      const host = {
        ...bare(sshd),
        identityFile: key,
        certificateFile: [certificate],
      };
      const label = `publickey ${type}${
        bits ?? ""
      }.elsewhere ${await fingerprintOf(
        key,
      )}`;
      const byFile = await login(host);
      assert(byFile.ok, String(byFile.error));
      assertEquals(byFile.tried, [label]);
      const { certificateFile: _, ...without } = host;
      assertFalse((await login(without)).ok);
      // The private key may live in the agent alone.
      await agent.add(key);
      const { identityFile: __, ...nameless } = host;
      const byAgent = await login({ ...nameless, agent: agent.path });
      assert(byAgent.ok, String(byAgent.error));
      assertEquals(byAgent.tried, [label]);
      const only = { ...nameless, agent: agent.path, identitiesOnly: true };
      assertEquals((await login(only)).tried, [label]);
    }
  },
);

sshdTest(
  "Authenticator finds the key of a certificate when only its passphrase shows which it is",
  async (dir) => {
    await Deno.chmod(dir, 0o755);
    const ca = await keygen(join(dir, "ca"));
    await using sshd = await startSshd({
      config: [`TrustedUserCAKeys ${ca}.pub`],
    });
    const make = async (name: string) => {
      const key = await keygen(join(dir, name), {
        type: "ecdsa",
        format: "PEM",
        passphrase: "right",
      });
      await run("ssh-keygen", [
        ...["-q", "-s", ca, "-I", "test", "-n", sshd.user, `${key}.pub`],
      ]);
      await Deno.remove(`${key}.pub`);
      await Deno.rename(`${key}-cert.pub`, `${key}.certificate`);
      return key;
    };
    const [key, other] = [await make("key"), await make("other")];
    const host = { ...bare(sshd), identityFile: key, passphrase: "right" };
    const good = await login({
      ...host,
      certificateFile: `${key}.certificate`,
    });
    assert(good.ok, String(good.error));
    const bad = await login({
      ...host,
      certificateFile: `${other}.certificate`,
    });
    assertFalse(bad.ok);
    assertStringIncludes(
      bad.error.message,
      "Cannot use other.certificate: it is for another key",
    );
    // It was not shown to the server.
    assertEquals(bad.tried, [
      `publickey key ${await fingerprintOf(`${key}.certificate`)}`,
    ]);
  },
);

sshdTest(
  "Authenticator names a certificate that it cannot use, and goes on",
  async (dir) => {
    await using sshd = await startSshd();
    const good = await keygen(join(dir, "good"));
    await authorize(sshd, good);
    const other = await keygen(join(dir, "other"));
    await run("ssh-keygen", [
      ...["-q", "-s", good, "-I", "test", `${other}.pub`],
    ]);
    const absent = join(dir, "absent");
    const { ok, notices } = await login({
      ...bare(sshd),
      identityFile: good,
      certificateFile: [absent, `${good}.pub`, `${other}-cert.pub`],
    });
    assert(ok);
    const said = notices.map((it) => it.message).join("\n");
    assertMatch(said, /Cannot read the certificate "\S+absent": there is no/);
    assertMatch(
      said,
      /Cannot use the certificate "\S+good.pub": it is no cert/,
    );
    assertMatch(said, /certificate "\S+other-cert.pub": its key is neither in/);
  },
);

sshdTest(
  "Authenticator hints at the passphrase, and at identityFile for a path",
  async (dir) => {
    await using server = await startServer((it) => it.reject(["publickey"]));
    const host = { ...server.host, agent: false };
    const locked = await keygen(join(dir, "locked"), { passphrase: "right" });
    const { error } = await login({ ...host, identityFile: locked });
    assertStringIncludes(error.message, "no passphrase was given");
    assertStringIncludes(error.hint ?? "", "set passphrase");
    for (const privateKey of [locked, "~/.ssh/id_rsa", "./id", "C:\\key"]) {
      const failed = await login({ ...host, privateKey }).catch((e) => e);
      assertEquals(failed.phase, "config");
      assertStringIncludes(failed.message, '"privateKey": it is a path');
      assertStringIncludes(failed.hint, "use identityFile");
    }
    const named = await login({ ...host, privateKey: "id_ed25519" });
    assertStringIncludes(named.error.hint ?? "", "use identityFile");
    assertFalse(named.error.message.includes("id_ed25519"));
  },
);

Deno.test({
  name:
    "planCredentials() goes on without an agent that accepts and says nothing",
  ignore: Deno.build.os === "windows",
  async fn() {
    const dir = await Deno.makeTempDir({ prefix: "sshpool-auth-" });
    const sockets: Deno.Conn[] = [];
    const listener = Deno.listen({ transport: "unix", path: `${dir}/agent` });
    const accepting = (async () => {
      for await (const socket of listener) sockets.push(socket);
    })();
    const agent = new AgentClient(`${dir}/agent`);
    try {
      const problems: string[] = [];
      const host = resolved({
        hostname: "db1",
        agent: `${dir}/agent`,
        privateKey: keyPair("beside an agent").privateKey,
      });
      const plan = await planCredentials(
        host,
        agent,
        ({ message }) => problems.push(message),
      );
      assertEquals(plan.map(({ method }) => method), ["publickey"]);
      assertEquals(sockets.length, 1);
      assertMatch(problems.join(), /^Cannot use the agent: /);
    } finally {
      agent.dispose();
      listener.close();
      await accepting;
      for (const socket of sockets) socket.close();
      await Deno.remove(dir, { recursive: true });
    }
  },
});

Deno.test({
  name:
    "AgentClient reads as long a list of keys as OpenSSH's agent sends, and no longer one",
  ignore: Deno.build.os === "windows",
  async fn() {
    const dir = await Deno.makeTempDir({ prefix: "sshpool-auth-" });
    const path = `${dir}/agent`;
    const blob = Buffer.concat([string("ssh-rsa"), Buffer.alloc(989)]);
    const key = Buffer.concat([string(blob), string("")]);
    const most = 256 * 1024;
    const count = Math.floor((most - 5) / key.length);
    const list = Buffer.concat([
      Buffer.of(12),
      uint32(count),
      ...Array.from({ length: count }, () => key),
    ]);
    let answer = string(list);
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.write(answer));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const agent = new AgentClient(path);
    try {
      assertEquals((await agent.list(60_000)).length, count);
      for (const bytes of [0, most + 1, 2 ** 32 - 1]) {
        answer = uint32(bytes);
        const error = await agent.list(60_000).catch((error) => error);
        assertEquals(
          error.message,
          `The agent sent a message of ${bytes} bytes`,
        );
      }
    } finally {
      agent.dispose();
      await new Promise((resolve) => server.close(resolve));
      await Deno.remove(dir, { recursive: true });
    }
  },
});
