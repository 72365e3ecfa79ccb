/** Workers as processes of their own, which can be killed and frozen. */

import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(
  new URL("../../../pool/nats_worker.ts", import.meta.url),
);

/** A worker in a process. */
export class WorkerProcess implements AsyncDisposable {
  readonly #args: readonly string[];
  #process: Deno.ChildProcess | undefined;
  #log = "";
  #reading: Promise<void> | undefined;

  private constructor(args: readonly string[]) {
    this.#args = args;
  }

  /** Starts one, and waits until it serves. */
  static async start(args: readonly string[]): Promise<WorkerProcess> {
    const worker = new WorkerProcess(args);
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

  /** Ends it, by a signal, and gives its exit code. */
  async end(name: Deno.Signal): Promise<number> {
    const process = this.#process;
    if (process === undefined) return 0;
    this.#process = undefined;
    process.kill(name);
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
