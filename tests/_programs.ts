/** Runs a program against the library in Deno, Node and Bun. */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const root = new URL("..", import.meta.url);

function find(name: string): string | undefined {
  return (Deno.env.get("PATH") ?? "").split(delimiter)
    .map((folder) => join(folder, name)).find(existsSync);
}

/** A runtime, and what to install where it is missing. */
export interface Runtime {
  readonly name: "Deno" | "Node" | "Bun";
  /** How to start it; `undefined` if it is not installed. */
  readonly command: readonly string[] | undefined;
}

function runtime(name: Runtime["name"], path: string | undefined): Runtime {
  return { name, command: path === undefined ? undefined : [path] };
}

/** The runtimes that the library is made for. */
export const runtimes: readonly Runtime[] = [
  { name: "Deno", command: [Deno.execPath(), "run", "-A", "--quiet"] },
  runtime("Node", find("node")),
  runtime("Bun", Deno.env.get("SSHPOOL_BUN") ?? find("bun")),
];

/** How a program ended. */
export interface Ending {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** From its last line of output to its end, in milliseconds. */
  readonly idleMs: number;
}

/** A folder in which the runtimes find the library, bundled, and ssh2. */
export class ProgramFolder implements AsyncDisposable {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Makes the folder. */
  static async make(): Promise<ProgramFolder> {
    const folder = new ProgramFolder(
      await Deno.makeTempDir({ prefix: "sshpool-programs-" }),
    );
    try {
      await folder.#install();
      return folder;
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a program that may import `./sshpool.mjs`, to its end. */
  async run(
    { command }: Runtime,
    source: string,
    env: Record<string, string> = {},
  ): Promise<Ending> {
    const path = join(this.#dir, `${crypto.randomUUID()}.mjs`);
    await Deno.writeTextFile(path, source);
    const [file, ...args] = command!;
    const child = new Deno.Command(file!, {
      args: [...args, path],
      cwd: this.#dir,
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      // Shorter than the pool's idle timeout.
      signal: AbortSignal.timeout(50_000),
    }).spawn();
    let stdout = "";
    let at = performance.now();
    const read = async () => {
      for await (const chunk of child.stdout) {
        stdout += new TextDecoder().decode(chunk);
        at = performance.now();
      }
    };
    const [, stderr, { code }] = await Promise.all([
      read(),
      new Response(child.stderr).text(),
      child.status,
    ]);
    return { code, stdout, stderr, idleMs: performance.now() - at };
  }

  /** Removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#dir, { recursive: true });
  }

  async #install(): Promise<void> {
    const { imports } = JSON.parse(
      await Deno.readTextFile(new URL("deno.json", root)),
    );
    const version = imports.ssh2.split("@").at(-1);
    await Deno.writeTextFile(
      join(this.#dir, "package.json"),
      JSON.stringify({ private: true, dependencies: { ssh2: version } }),
    );
    await this.#deno(this.#dir, [
      "install",
      "--quiet",
      "--node-modules-dir=auto",
      "--no-lock",
    ]);
    await this.#deno(root, [
      "bundle",
      "--quiet",
      "--platform=deno",
      "--external=ssh2",
      `--output=${join(this.#dir, "sshpool.mjs")}`,
      "mod.ts",
    ]);
  }

  async #deno(cwd: string | URL, args: string[]): Promise<void> {
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args,
      cwd,
      stdin: "null",
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }
}
