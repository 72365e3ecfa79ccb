/**
 * A throwaway dropbear on a loopback port.
 *
 * Dropbear reads the keys that it lets in from a home directory alone, so it
 * lets in a test account, which only root can make.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { SshHost } from "../../transport/host/host.ts";
import { freePort, greets } from "./ports.ts";

const PATHS = ["/usr/sbin/dropbear", "/usr/local/sbin/dropbear"];
const dropbearPath = PATHS.find((path) => existsSync(path));

/** Whether tests against a real dropbear have to be ignored. */
export const noDropbear: boolean = dropbearPath === undefined ||
  Deno.build.os === "windows" || Deno.uid() !== 0;

/** What to tell whoever sees such a test ignored. */
export const dropbearHint = "install dropbear-bin, and be root, to run this";

const TEST_USER = "sshpool-dropbear";

/** A running dropbear; dispose of it to kill it and to remove its files. */
export class Dropbear implements AsyncDisposable {
  readonly port: number;
  readonly #dir: string;
  readonly #privateKey: string;
  readonly #hostKey: `SHA256:${string}`;
  #process: Deno.ChildProcess | undefined;

  private constructor(
    dir: string,
    keys: { privateKey: string; hostKey: `SHA256:${string}` },
  ) {
    this.#dir = dir;
    this.#privateKey = keys.privateKey;
    this.#hostKey = keys.hostKey;
    this.port = freePort();
  }

  /** Starts it, and waits until it answers. */
  static async start(): Promise<Dropbear> {
    if (noDropbear) throw new Error(`No dropbear: ${dropbearHint}`);
    const dir = await Deno.makeTempDir({ prefix: "sshpool-dropbear-" });
    try {
      const server = new Dropbear(dir, await makeKeys(dir));
      await server.#start();
      return server;
    } catch (error) {
      await Deno.remove(dir, { recursive: true });
      throw error;
    }
  }

  /** The path of the private key that is let in. */
  get identityFile(): string {
    return join(this.#dir, "user_key");
  }

  /**
   * Lets a key in for the test account, for another server of this machine.
   *
   * @param path The public key.
   * @returns The name of the account.
   */
  static async letIn(path: string): Promise<string> {
    await letIn(await Deno.readTextFile(path));
    return TEST_USER;
  }

  /** The host as a pool takes it, its host key pinned. */
  host(overrides: Partial<SshHost> = {}): SshHost {
    return {
      hostname: "127.0.0.1",
      port: this.port,
      user: TEST_USER,
      privateKey: this.#privateKey,
      hostKey: this.#hostKey,
      ...overrides,
    };
  }

  /** Kills it, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.kill("SIGTERM");
    await this.#process?.status;
    await Deno.remove(this.#dir, { recursive: true });
  }

  async #start(): Promise<void> {
    this.#process = new Deno.Command(dropbearPath!, {
      // deno-fmt-ignore
      args: [
        "-F", "-E", "-s", "-m",
        "-r", join(this.#dir, "host_key"),
        "-p", `127.0.0.1:${this.port}`,
        "-P", join(this.#dir, "pid"),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
      if (await greets(this.port, "SSH-2")) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.#process.kill("SIGKILL");
    await this.#process.status;
    throw new Error("Cannot start dropbear: no answer within 60 s");
  }
}

/** Makes both keys, and lets the user's key in. */
async function makeKeys(
  dir: string,
): Promise<{ privateKey: string; hostKey: `SHA256:${string}` }> {
  const host = join(dir, "host_key");
  const user = join(dir, "user_key");
  const shown = await output("dropbearkey", ["-t", "ed25519", "-f", host]);
  const [, blob = ""] = /^ssh-ed25519 (\S+)/m.exec(shown) ?? [];
  const bytes = Uint8Array.from(atob(blob), (c) => c.charCodeAt(0));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const base64 = btoa(String.fromCharCode(...hash)).replace(/=+$/, "");
  await output("ssh-keygen", [
    ...["-q", "-t", "ed25519", "-N", "", "-C", "sshpool", "-f", user],
  ]);
  await letIn(await Deno.readTextFile(`${user}.pub`));
  return {
    privateKey: await Deno.readTextFile(user),
    hostKey: `SHA256:${base64}`,
  };
}

/** Lets a key in for the test account alone, which is made once and kept. */
async function letIn(publicKey: string): Promise<void> {
  const home = `/home/${TEST_USER}`;
  if (!existsSync(home)) {
    await output("useradd", ["-m", "-s", "/bin/sh", "-p", "*", TEST_USER]);
  }
  const folder = join(home, ".ssh");
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, "authorized_keys");
  await Deno.writeTextFile(path, publicKey, { append: true, mode: 0o600 });
  await output("chown", ["-R", `${TEST_USER}:`, folder]);
}

async function output(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${command}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}
