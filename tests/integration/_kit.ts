/**
 * What a user has: an ssh_config, known_hosts, keys, an agent; and `ssh`
 * itself, to ask what it makes of them.
 *
 * @module
 */

import { join } from "node:path";
import {
  ConnectionPool,
  type ConnectionPoolOptions,
  type SshHost,
} from "../../mod.ts";
import { noSshd, type Sshd, sshdHint } from "../kit/sshd.ts";
import { noKeygen, run, tempDir } from "../transport/ssh2/auth/_login.ts";

export {
  fingerprintOf,
  keygen,
  run,
  startAgent,
} from "../transport/ssh2/auth/_login.ts";

/** A proxy command that leads to the host, as `nc %h %p` would. */
export const RELAY =
  "bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill %%1'";

/** A test against OpenSSH's own server and tools, with a folder of its own. */
export function sshdTest(
  name: string,
  fn: (dir: string) => Promise<void>,
): void {
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

/** A pool that never waits for a host which was just refused. */
export function newPool(options: ConnectionPoolOptions = {}): ConnectionPool {
  return new ConnectionPool({
    backoff: { initialMs: 0, refusedMs: 0 },
    drainTimeoutMs: 0,
    // On a busy machine a key of many rounds takes its time.
    dialTimeoutMs: 60_000,
    ...options,
  });
}

/** A pool that reads this ssh_config and no other. */
export async function configured(
  dir: string,
  text: string,
  options: ConnectionPoolOptions = {},
): Promise<ConnectionPool> {
  const file = join(dir, "config");
  await Deno.writeTextFile(file, text);
  return newPool({ config: { files: [file], recheckMs: 0 }, ...options });
}

/** How `ssh` fared. */
export interface SshOutcome {
  ok: boolean;
  stdout: string;
  stderr: string;
}

/** Runs a command by `ssh -F file`. */
export async function ssh(
  file: string,
  host: string,
  command: string,
  passphrase?: string,
): Promise<SshOutcome> {
  const askpass = passphrase === undefined
    ? { SSH_ASKPASS_REQUIRE: "never" }
    : await writeAskpass(file, passphrase);
  const { success, stdout, stderr } = await new Deno.Command("ssh", {
    args: [
      ...["-F", file, "-o", "ConnectTimeout=60"],
      ...passphrase === undefined ? ["-o", "BatchMode=yes"] : [],
      // Two prompts for one wrong passphrase would tell nothing more.
      ...["-o", "NumberOfPasswordPrompts=1", host, command],
    ],
    env: { ...askpass, SSH_AUTH_SOCK: "" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { ok: success, stdout: text(stdout), stderr: text(stderr) };
}

async function writeAskpass(
  file: string,
  passphrase: string,
): Promise<Record<string, string>> {
  const script = `${file}.askpass`;
  await Deno.writeTextFile(script, `#!/bin/sh\necho '${passphrase}'\n`);
  await Deno.chmod(script, 0o700);
  return { SSH_ASKPASS: script, SSH_ASKPASS_REQUIRE: "force", DISPLAY: ":0" };
}

/** Lets more keys in. */
export async function authorize(sshd: Sshd, ...keys: string[]): Promise<void> {
  for (const key of keys) {
    const line = await Deno.readTextFile(`${key}.pub`);
    await Deno.writeTextFile(sshd.authorizedKeysPath, line, { append: true });
  }
}

/** The type and the key, as known_hosts has them. */
export async function publicKey(path: string): Promise<string> {
  const text = await Deno.readTextFile(`${path}.pub`);
  return text.split(" ").slice(0, 2).join(" ");
}

/** The host key of an sshd, as known_hosts has it. */
export function serverKey(sshd: Sshd, type = "ed25519"): Promise<string> {
  return publicKey(join(sshd.dir, `host_${type}`));
}

/** The host of an sshd, with no credential. */
export function bare(sshd: Sshd): SshHost {
  const { privateKey: _, ...host } = sshd.host({ agent: false });
  return host;
}

/** What a promise rejects with. */
export async function failure(
  promise: Promise<unknown>,
  what = "It",
): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`${what} did not fail`);
}

/** An error and its causes, outermost first. */
export function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let e = error; e instanceof Error; e = e.cause) chain.push(e);
  return chain;
}

/** Makes a hashed copy of known_hosts lines, by ssh-keygen. */
export async function hashed(dir: string, lines: string): Promise<string> {
  // In a folder of its own: ssh-keygen keeps the old file beside the new one.
  const file = join(await Deno.makeTempDir({ dir }), "to_hash");
  await Deno.writeTextFile(file, lines);
  await run("ssh-keygen", ["-q", "-H", "-f", file]);
  return await Deno.readTextFile(file);
}
