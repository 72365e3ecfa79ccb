/** Workers as processes of their own, which can be killed and frozen. */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SshHost } from "../../transport/host/host.ts";
import type { Sshd } from "./sshd.ts";

/** The program. */
export const PROGRAM: string = fileURLToPath(
  new URL("../../pool/nats_worker.ts", import.meta.url),
);

/** A worker in a process. */
export class WorkerProcess implements AsyncDisposable {
  readonly #args: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #process: Deno.ChildProcess | undefined;
  #log = "";
  #reading: Promise<void> | undefined;

  private constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ) {
    this.#args = args;
    this.#env = env;
  }

  /** Starts one, and waits until it serves. */
  static async start(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<WorkerProcess> {
    const worker = new WorkerProcess(args, env);
    await worker.begin();
    return worker;
  }

  /** What it has logged. */
  get log(): string {
    return this.#log;
  }

  async begin(): Promise<void> {
    this.#log = "";
    const process = this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", PROGRAM, ...this.#args],
      env: this.#env,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let serves!: () => void;
    const serving = new Promise<void>((resolve) => serves = resolve);
    this.#reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of process.stderr) {
        this.#log += decoder.decode(chunk, { stream: true });
        if (this.#log.includes('"serving"')) serves();
      }
      serves();
    })();
    await serving;
    if (!this.#log.includes('"serving"')) {
      throw new Error(`The worker has ended: ${this.#log}`);
    }
  }

  signal(name: Deno.Signal): void {
    this.#process?.kill(name);
  }

  /** Starts it again as a supervisor does, until it serves. */
  async restart(): Promise<void> {
    for (let left = 20;; left--) {
      try {
        return await this.begin();
      } catch (error) {
        await this.end("SIGKILL");
        if (left === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }

  /** Ends it, by a signal, and gives its exit code. */
  async end(name: Deno.Signal): Promise<number> {
    const process = this.#process;
    if (process === undefined) return 0;
    this.#process = undefined;
    try {
      process.kill(name);
    } catch {
      // It has ended by itself.
    }
    const { code } = await process.status;
    await this.#reading;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}

/** Writes an inventory, and gives its path. */
export async function writeInventory(
  folder: string,
  groups: Record<string, Record<string, unknown>>,
): Promise<string> {
  const path = join(folder, "inventory.json");
  await Deno.writeTextFile(path, JSON.stringify(groups));
  return path;
}

/** Names of hosts. */
export function hostNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `web-${index}`);
}

/** One sshd as many hosts, each of its own to a pool. */
export function manyHosts(
  sshd: Sshd,
  names: readonly string[],
  port: number = sshd.port,
): Record<string, SshHost> {
  return Object.fromEntries(
    names.map((name) => [name, sshd.host({ port, hostKeyAlias: name })]),
  );
}
