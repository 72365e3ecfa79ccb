/** Host key checks in a real key exchange: ssh2 on this side, sshd on the other. */

// @ts-types="@types/ssh2"
import { Client, type ServerHostKeyAlgorithm } from "ssh2";
import { assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { HostKeyError } from "../../../transport/errors.ts";
import { hostLabel, type ResolvedHost } from "../../../transport/host/host.ts";
import { fingerprint } from "../../../transport/host_key/check.ts";
import { prepareHostKeyCheck } from "../../../transport/host_key/policy.ts";
import { keyTypeOf } from "../../../transport/host_key/_public_key.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../../kit/sshd.ts";

const TYPES = ["ed25519", "ecdsa", "rsa"];
const BY_DEFAULT = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512"];

/** Runs a key exchange, and gives the key that sshd showed if it is trusted. */
async function exchange(host: ResolvedHost): Promise<string> {
  const check = await prepareHostKeyCheck(host);
  const client = new Client();
  const closed = new Promise<void>((resolve) => client.on("close", resolve));
  let shown = "";
  try {
    await new Promise<void>((resolve, reject) => {
      client.on("error", reject);
      client.connect({
        host: host.hostname,
        port: host.port,
        username: host.user,
        // The whole list: "prepend" leaves names where they are by default.
        algorithms: {
          serverHostKey: [
            ...new Set([...check.hostKeyAlgorithms, ...BY_DEFAULT]),
          ] as ServerHostKeyAlgorithm[],
        },
        hostVerifier: (key: Uint8Array, done: (ok: boolean) => void) => {
          shown = keyTypeOf(key);
          const verified = check.verify({
            host: hostLabel(host),
            hostname: host.hostname,
            port: host.port,
            type: shown,
            fingerprint: fingerprint(key),
            key: new Uint8Array(key),
          });
          // A verdict is all that is wanted: nobody logs in here.
          verified.then(resolve, reject).finally(() => done(false));
        },
      });
    });
  } finally {
    await closed;
  }
  return shown;
}

async function publicKey(sshd: Sshd, type: string): Promise<string> {
  const text = await Deno.readTextFile(`${sshd.dir}/host_${type}.pub`);
  return text.split(" ").slice(0, 2).join(" ");
}

function sshdTest(name: string, body: (sshd: Sshd) => Promise<void>): void {
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    fn: async () => {
      await using sshd = await startSshd({ hostKeyTypes: TYPES });
      await body(sshd);
    },
  });
}

function hostOf(sshd: Sshd, options: Partial<ResolvedHost> = {}): ResolvedHost {
  return {
    hostname: "127.0.0.1",
    port: sshd.port,
    user: "nobody",
    knownHostsFiles: [`${sshd.dir}/kh`],
    globalKnownHostsFiles: [],
    ...options,
  };
}

sshdTest(
  "prepareHostKeyCheck() makes a server of several keys show the known one",
  async (sshd) => {
    const name = `[127.0.0.1]:${sshd.port}`;
    for (const type of TYPES) {
      const key = await publicKey(sshd, type);
      await Deno.writeTextFile(`${sshd.dir}/kh`, `${name} ${key}\n`);
      assertEquals(await exchange(hostOf(sshd)), key.split(" ")[0]);
    }
  },
);

sshdTest(
  "prepareHostKeyCheck() refuses a changed and a revoked key of a real server",
  async (sshd) => {
    const name = `[127.0.0.1]:${sshd.port}`;
    const key = await publicKey(sshd, "ed25519");
    const bytes = Buffer.from(key.split(" ")[1]!, "base64");
    bytes[50]! ^= 1;
    const changed = `ssh-ed25519 ${bytes.toString("base64")}`;
    const cases = {
      mismatch: `${name} ${changed}\n`,
      revoked: `${name} ${key}\n@revoked * ${key}\n`,
      unknown: "",
    };
    for (const [reason, text] of Object.entries(cases)) {
      await Deno.writeTextFile(`${sshd.dir}/kh`, text);
      const error = await assertRejects(
        () => exchange(hostOf(sshd)),
        HostKeyError,
      );
      assertEquals(error.reason, reason);
      assertEquals(error.fingerprint, sshd.hostKeyFingerprint);
    }
  },
);

sshdTest("accept-new writes what ssh then accepts", async (sshd) => {
  await exchange(hostOf(sshd, { hostKey: "accept-new", hashKnownHosts: true }));
  const options = [
    "BatchMode=yes",
    "PreferredAuthentications=none",
    `UserKnownHostsFile=${sshd.dir}/kh`,
    "GlobalKnownHostsFile=/dev/null",
    "StrictHostKeyChecking=yes",
  ].flatMap((option) => ["-o", option]);
  const { stderr } = await new Deno.Command("ssh", {
    args: ["-F", "none", "-p", `${sshd.port}`, ...options, "127.0.0.1", "true"],
  }).output();
  const text = new TextDecoder().decode(stderr);
  assertEquals(text.includes("Permission denied"), true, text);
});
