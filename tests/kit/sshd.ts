/**
 * A throwaway sshd on a loopback port: its own keys, its own configuration,
 * and nothing left of it afterwards.
 *
 * @example
 * ```ts
 * Deno.test({
 *   name: noSshd ? `exec() runs on sshd (${sshdHint})` : "exec() runs on sshd",
 *   ignore: noSshd,
 *   async fn() {
 *     await using sshd = await startSshd({ maxSessions: 2 });
 *     await pool.exec(sshd.host(), "true");
 *   },
 * });
 * ```
 *
 * @module
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { userInfo } from "node:os";
import type { SshHost } from "../../transport/host/host.ts";
import { keyPair } from "../../transport/testing/server/_keys.ts";
import { freePort } from "./ports.ts";

/**
 * The folder that packages of OpenSSH 10 were unpacked to, as `.ci/run` does;
 * `undefined` if there is none.
 */
export const openssh10: string | undefined =
  Deno.env.get("SSHPOOL_OPENSSH_10") || undefined;

/** What to tell whoever sees a test ignored that needs it. */
export const openssh10Hint =
  "unpack openssh-server of Debian's bookworm-backports with dpkg -x, and " +
  "name the folder in SSHPOOL_OPENSSH_10";

/** Whether every sshd of the tests is the one of OpenSSH 10. */
const isAlways10 = Deno.env.get("SSHPOOL_SSHD") === "10";

/** The path of sshd, which has to be absolute; `undefined` if there is none. */
export const sshdPath: string | undefined = findSshd();

/** Whether tests against a real sshd have to be ignored. */
export const noSshd: boolean = sshdPath === undefined;

/** What to tell whoever sees such a test ignored. */
export const sshdHint = "install openssh-server to run this test";

/** Options of {@linkcode startSshd}; what is absent is sshd's own default. */
export interface SshdOptions {
  /** `MaxSessions`. */
  maxSessions?: number;
  /** `MaxStartups`, as `"10:30:100"`. */
  maxStartups?: string;
  /** The text that is sent before the login: that of the file in `Banner`. */
  banner?: string;
  /** More lines of sshd_config; the first value of a keyword wins: theirs. */
  config?: string[];
  /**
   * The address to listen on. `"0.0.0.0"` makes 127.0.x.y a thousand hosts.
   *
   * @default {"127.0.0.1"}
   */
  listen?: string;
  /** The port. Default: a free one. */
  port?: number;
  /**
   * Types of host keys, as `ssh-keygen -t` names them.
   *
   * @default {["ed25519"]}
   */
  hostKeyTypes?: string[];
  /**
   * `LogLevel`.
   *
   * @default {"VERBOSE"}
   */
  logLevel?: "VERBOSE" | "DEBUG1" | "DEBUG2" | "DEBUG3";
  /**
   * Whether sshd starts a new program for each connection, as it does where
   * nobody says otherwise: a third of the cost of a login. Since OpenSSH 9.8 it
   * always does.
   *
   * @default {false}
   */
  reexec?: boolean;
  /**
   * Which sshd: the one of {@linkcode openssh10}, or the installed one unless
   * `SSHPOOL_SSHD=10` is set.
   */
  version?: "10";
}

/** The unprivileged account that a root's sshd lets in; made once, kept. */
const TEST_USER = "sshpool-test";

/** Starts an sshd, and waits until it listens. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  if (sshdPath === undefined) throw new Error(`No sshd: ${sshdHint}`);
  const root = Deno.uid() === 0;
  if (root) await (prepared ??= prepareMachine());
  const dir = await Deno.makeTempDir({ prefix: "sshpool-sshd-" });
  try {
    // sshd reads authorized_keys as the user who logs in.
    await Deno.chmod(dir, 0o755);
    await keygen(join(dir, "user_key"), "ed25519");
    await Deno.copyFile(
      join(dir, "user_key.pub"),
      join(dir, "authorized_keys"),
    );
    await Deno.chmod(join(dir, "authorized_keys"), 0o644);
    const fingerprints = [];
    for (const type of options.hostKeyTypes ?? ["ed25519"]) {
      fingerprints.push(await keygen(join(dir, `host_${type}`), type));
    }
    if (options.banner !== undefined) {
      await Deno.writeTextFile(join(dir, "banner"), options.banner);
      await Deno.chmod(join(dir, "banner"), 0o644);
    }
    const sshd = new Sshd({
      dir,
      user: root ? TEST_USER : userInfo().username,
      fingerprints,
      privateKey: await Deno.readTextFile(join(dir, "user_key")),
      options,
    });
    await sshd.restart();
    return sshd;
  } catch (error) {
    await Deno.remove(dir, { recursive: true });
    throw error;
  }
}

interface SshdParts {
  dir: string;
  user: string;
  fingerprints: string[];
  privateKey: string;
  options: SshdOptions;
}

/** A running sshd; dispose of it to kill it and to remove its files. */
export class Sshd implements AsyncDisposable {
  /** The folder of its keys, configuration and log. */
  readonly dir: string;
  /** Who can log in. */
  readonly user: string;
  /** The path of the private key of that user. */
  readonly privateKeyPath: string;
  /** The path of the authorized_keys file; append to it to let more keys in. */
  readonly authorizedKeysPath: string;
  /** `SHA256:...` of the first host key. */
  readonly hostKeyFingerprint: string;
  /** `SHA256:...` of each host key, in the order of `hostKeyTypes`. */
  readonly hostKeyFingerprints: string[];
  #parts: SshdParts;
  #port: number;
  #process: Deno.ChildProcess | undefined;

  constructor(parts: SshdParts) {
    this.#parts = parts;
    this.dir = parts.dir;
    this.user = parts.user;
    this.privateKeyPath = join(parts.dir, "user_key");
    this.authorizedKeysPath = join(parts.dir, "authorized_keys");
    this.hostKeyFingerprints = parts.fingerprints;
    this.hostKeyFingerprint = parts.fingerprints[0] ?? "";
    this.#port = parts.options.port ?? 0;
  }

  /** The port, which stays the same over restarts. */
  get port(): number {
    return this.#port;
  }

  /** The process id of the listener; 0 when it is stopped. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** The host as a pool takes it, its host key pinned. */
  host(overrides: Partial<SshHost> = {}): SshHost {
    return {
      hostname: "127.0.0.1",
      port: this.port,
      user: this.user,
      privateKey: this.#parts.privateKey,
      hostKey: this.hostKeyFingerprints as `SHA256:${string}`[],
      ...overrides,
    };
  }

  /** What sshd has logged since the first start. */
  async log(): Promise<string> {
    try {
      return await Deno.readTextFile(join(this.dir, "log"));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }

  /**
   * How many connections were let in by public key. sshd writes the line about
   * when it lets the client in: run a command before counting.
   */
  async acceptedConnections(): Promise<number> {
    return (await this.log()).match(/^Accepted publickey/gm)?.length ?? 0;
  }

  /** Ends it and its sessions with SIGTERM. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Kills it and its sessions with SIGKILL: no goodbye to the clients. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Stops it if it runs, and starts it on the same port with the same keys. */
  async restart(): Promise<void> {
    await this.stop();
    for (let attempt = 1;; attempt++) {
      const failure = await this.#start();
      if (failure === undefined) return;
      // Another process took the free port before sshd did: take another.
      const retry = this.#parts.options.port === undefined && attempt < 5 &&
        failure.includes("Address already in use");
      if (!retry) throw new Error(`Cannot start sshd: ${failure}`);
      this.#port = 0;
    }
  }

  /** Kills it, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.dir, { recursive: true }).catch(() => {});
  }

  async #start(): Promise<string | undefined> {
    if (this.#port === 0) this.#port = freePort();
    await Deno.writeTextFile(join(this.dir, "sshd_config"), this.#config());
    const before = (await this.log()).length;
    const process = new Deno.Command(this.#is10 ? sshd10() : sshdPath!, {
      args: [
        "-D",
        ...this.#is10 || this.#parts.options.reexec ? [] : ["-r"],
        "-f",
        join(this.dir, "sshd_config"),
        "-E",
        join(this.dir, "log"),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    this.#process = process;
    let ended = false;
    process.status.then(() => ended = true);
    for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
      if (ended) break;
      const log = (await this.log()).slice(before);
      if (/^Server listening on /m.test(log)) return undefined;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await this.kill();
    return (await this.log()).slice(before) || "not listening within 60 s";
  }

  async #end(signal: Deno.Signal): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    this.#process = undefined;
    // A stopped listener cannot fork another child behind the census.
    const end = (pid: number, how: Deno.Signal) => {
      try {
        Deno.kill(pid, how);
      } catch {
        // It is gone already.
      }
    };
    end(process.pid, "SIGSTOP");
    const sessions = descendants(process.pid);
    end(process.pid, signal);
    end(process.pid, "SIGCONT");
    for (const pid of sessions) end(pid, signal);
    const late = setTimeout(() => end(process.pid, "SIGKILL"), 3000);
    await process.status;
    clearTimeout(late);
  }

  get #is10(): boolean {
    return isAlways10 || this.#parts.options.version === "10";
  }

  #config(): string {
    const { options } = this.#parts;
    const types = options.hostKeyTypes ?? ["ed25519"];
    return [
      ...options.config ?? [],
      ...this.#is10 ? config10() : [],
      `Port ${this.port}`,
      `ListenAddress ${options.listen ?? "127.0.0.1"}`,
      ...types.map((type) => `HostKey ${join(this.dir, `host_${type}`)}`),
      `AuthorizedKeysFile ${join(this.dir, "authorized_keys")}`,
      `PidFile ${join(this.dir, "pid")}`,
      `LogLevel ${options.logLevel ?? "VERBOSE"}`,
      ...options.maxSessions === undefined
        ? []
        : [`MaxSessions ${options.maxSessions}`],
      ...options.banner === undefined
        ? []
        : [`Banner ${join(this.dir, "banner")}`],
      ...options.maxStartups === undefined
        ? []
        : [`MaxStartups ${options.maxStartups}`],
      "StrictModes no",
      // What ssh asks for first: it costs more than all the rest of a dial.
      "KexAlgorithms -sntrup761x25519-sha512*",
      "UsePAM no",
      "UseDNS no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PrintMotd no",
      "PrintLastLog no",
      "AcceptEnv LANG LC_* SSHPOOL_*",
      // The only keyword that sshd refuses to see twice.
      ...options.config?.some((it) => it.startsWith("Subsystem sftp "))
        ? []
        : ["Subsystem sftp internal-sftp"],
      "",
    ].join("\n");
  }
}

function sshd10(): string {
  if (openssh10 === undefined) throw new Error(`No sshd: ${openssh10Hint}`);
  return join(openssh10, "usr/sbin/sshd");
}

/** It is not in its place; and failed logins are part of most tests. */
function config10(): string[] {
  const folder = join(openssh10 ?? "", "usr/lib/openssh");
  return [
    `SshdSessionPath ${join(folder, "sshd-session")}`,
    `SshdAuthPath ${join(folder, "sshd-auth")}`,
    "PerSourcePenalties no",
  ];
}

function findSshd(): string | undefined {
  const folders = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
  folders.push(...(Deno.env.get("PATH") ?? "").split(delimiter));
  return folders.map((folder) => join(folder, "sshd")).find(existsSync);
}

let prepared: Promise<void> | undefined;

/** What a root's sshd needs: its empty folder, and an account to log in to. */
async function prepareMachine(): Promise<void> {
  await Deno.mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  if (await runs("getent", ["passwd", TEST_USER])) return;
  // Test files run in parallel: another one may win, which is as good. Retried
  // because useradd does not wait for the lock of /etc/passwd.
  for (let attempt = 0; attempt < 20; attempt++) {
    await runs("useradd", ["-m", "-s", "/bin/sh", "-p", "*", TEST_USER]);
    if (await runs("getent", ["passwd", TEST_USER])) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Cannot make the account ${TEST_USER}: useradd failed`);
}

async function runs(command: string, args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command(command, {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

/** Makes a key pair, and gives the fingerprint of its public key. */
async function keygen(path: string, type: string): Promise<string> {
  // Most are of this type, and a process costs more than the key.
  if (type === "ed25519") {
    const { privateKey, publicKey, fingerprint } = keyPair(path);
    await Deno.writeTextFile(path, privateKey, { mode: 0o600 });
    await Deno.writeTextFile(`${path}.pub`, `${publicKey}\n`);
    return fingerprint;
  }
  const made = await new Deno.Command("ssh-keygen", {
    args: [
      ...["-q", "-t", type, "-N", "", "-C", "sshpool", "-f", path],
      // By itself it takes 3072, and a second.
      ...type === "rsa" ? ["-b", "2048"] : [],
    ],
  }).output();
  if (!made.success) {
    throw new Error(`ssh-keygen: ${new TextDecoder().decode(made.stderr)}`);
  }
  const [, blob = ""] = (await Deno.readTextFile(`${path}.pub`)).split(" ");
  const bytes = Uint8Array.from(atob(blob), (c) => c.charCodeAt(0));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `SHA256:${btoa(String.fromCharCode(...hash)).replace(/=+$/, "")}`;
}

/** The processes below `pid`; empty where there is no /proc. */
function descendants(pid: number): number[] {
  if (!existsSync("/proc/self/stat")) return [];
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(name);
    children.set(parent, [...children.get(parent) ?? [], Number(name)]);
  }
  const found = [...children.get(pid) ?? []];
  for (const child of found) found.push(...children.get(child) ?? []);
  return found;
}

function parentOf(pid: string): number {
  try {
    // "pid (name) state ppid": the name may itself hold spaces and brackets.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return -1;
  }
}
