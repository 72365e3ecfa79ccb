/** The npm package, installed from its tarball, and the runtimes that run it. */

import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { pack } from "../../.ci/pack.ts";

/** A runtime that reads packages of npm. */
export interface PackageRuntime {
  readonly name: string;
  /** How to start it; `undefined` if it is not installed. */
  readonly command: readonly string[] | undefined;
  /** What to do where it is missing. */
  readonly hint: string;
}

function find(name: string): string | undefined {
  return (Deno.env.get("PATH") ?? "").split(delimiter)
    .map((folder) => join(folder, name)).find(existsSync);
}

async function majorOf(node: string): Promise<number> {
  const { stdout } = await new Deno.Command(node, { args: ["--version"] })
    .output();
  return Number.parseInt(new TextDecoder().decode(stdout).slice(1));
}

/** The Node of a major version: what the variable names, or that of the path. */
async function node(major: number): Promise<PackageRuntime> {
  const variable = `SSHPOOL_NODE_${major}`;
  const name = `Node ${major}`;
  const hint = `set ${variable} to a ${name} to run this test`;
  const named = Deno.env.get(variable);
  if (named !== undefined) return { name, command: [named], hint };
  const found = find("node");
  const fits = found !== undefined && await majorOf(found) === major;
  return { name, command: fits ? [found] : undefined, hint };
}

const bun = Deno.env.get("SSHPOOL_BUN") ?? find("bun");

/** Deno, which reads packages of npm, too. */
export const deno: PackageRuntime = {
  name: "Deno",
  command: [Deno.execPath(), "run", "--allow-all", "--quiet"],
  hint: "",
};

/** The oldest Node that the package is for, a new one, and Bun. */
export const packageRuntimes: readonly PackageRuntime[] = [
  await node(20),
  await node(26),
  {
    name: "Bun",
    command: bun === undefined ? undefined : [bun],
    hint: "install Bun to run this test",
  },
];

/** Whether there is no npm, without which nothing is packed and installed. */
export const noNpm: boolean = find("npm") === undefined;

/** Registers a test in each runtime, marked ignored where that is missing. */
export function runtimeTest(
  what: string,
  fn: (command: readonly string[]) => Promise<void>,
  runtimes: readonly PackageRuntime[] = packageRuntimes,
): void {
  for (const { name, command, hint } of runtimes) {
    const isMissing = command === undefined || noNpm;
    Deno.test({
      name: `the npm package ${what}, in ${name}` +
        (isMissing ? ` (${noNpm ? "install npm" : hint})` : ""),
      ignore: isMissing,
      fn: () => fn(command!),
    });
  }
}

/** For what has much to do, on a machine that is busy, in milliseconds. */
export const LONG_MS = 300_000;

/** How a program ended. */
export interface Ending {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** From its last output to its end, in milliseconds. */
  readonly idleMs: number;
}

/** Options of {@linkcode PackageFolder.run}. */
export interface RunOptions {
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
  /**
   * How long it may take, in milliseconds. The default is shorter than the
   * pool's idle timeout: what keeps a process alive that long is a failure.
   *
   * @default {50_000}
   */
  readonly timeoutMs?: number;
  /** Told of what it prints, as it comes. */
  readonly onOutput?: (text: string) => void;
  /** Ends it from without. */
  readonly signal?: AbortSignal;
}

/** A folder of a user of the package, into which it is installed. */
export class PackageFolder implements AsyncDisposable {
  /** The folder. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes one with nothing in it. */
  static async empty(): Promise<PackageFolder> {
    return new PackageFolder(
      await Deno.makeTempDir({ prefix: "sshpool-package-" }),
    );
  }

  /**
   * Packs the sources and installs the tarball, as a user would.
   *
   * @param packages What else to install, as npm names it.
   * @param flags Flags for npm. By default no package builds native parts, as
   * with package managers that run no scripts.
   */
  static async make(
    packages: readonly string[] = [],
    flags: readonly string[] = ["--ignore-scripts"],
  ): Promise<PackageFolder> {
    const folder = await PackageFolder.empty();
    try {
      await folder.write("package.json", `{"private": true}`);
      const tarball = folder.file("sshpool.tgz");
      await pack({ output: tarball, allowDirty: true });
      await folder.install(...flags, tarball, ...packages);
      return folder;
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Installs packages, as npm names them, with flags of npm. */
  async install(...packages: readonly string[]): Promise<void> {
    const options = ["--no-audit", "--no-fund", "--prefer-offline"];
    const { code, stderr } = await this.run(["npm", "install"], {
      args: [...options, ...packages],
      timeoutMs: LONG_MS,
    });
    if (code !== 0) throw new Error(`npm install: ${stderr}`);
  }

  /** The path of a file in it. */
  file(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** Writes a file into it, and the folders that lead to it. */
  async write(name: string, text: string): Promise<string> {
    const path = this.file(name);
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeTextFile(path, text);
    return path;
  }

  /** Runs a command in it, to its end. */
  async run(
    [command = "", ...before]: readonly string[],
    { args = [], env = {}, timeoutMs = 50_000, onOutput, signal }: RunOptions =
      {},
  ): Promise<Ending> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const child = new Deno.Command(command, {
      args: [...before, ...args],
      cwd: this.path,
      // Colours are added where a variable says so, whatever the output is.
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal: signal === undefined
        ? deadline
        : AbortSignal.any([deadline, signal]),
    }).spawn();
    let stdout = "";
    let at = performance.now();
    const read = async () => {
      for await (const chunk of child.stdout) {
        const text = new TextDecoder().decode(chunk);
        stdout += text;
        at = performance.now();
        onOutput?.(text);
      }
    };
    const [, stderr, { code }] = await Promise.all([
      read(),
      new Response(child.stderr).text(),
      child.status,
    ]);
    return { code, stdout, stderr, idleMs: performance.now() - at };
  }

  /** Runs a tool in it, which has to be a success. */
  async succeed(...command: readonly string[]): Promise<string> {
    const timeoutMs = LONG_MS;
    const { code, stdout, stderr } = await this.run(command, { timeoutMs });
    if (code === 0) return stdout;
    throw new Error(`${command.join(" ")}: ${stderr}\n${stdout}`);
  }

  /** Removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
