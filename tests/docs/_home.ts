/**
 * A home folder whose `~/.ssh/config` knows the hosts of the README, and a
 * process that runs a program there.
 *
 * @module
 */

import { join } from "node:path";
import { denoDir } from "../kit/child.ts";
import { pathOf } from "./_readme.ts";

/** Where the hosts of the README are. */
export interface Place {
  readonly port: number;
  /** The port of `gate`, which others are reached through. Default: the same. */
  readonly gatePort?: number;
  readonly user: string;
  /** The private key that logs in. */
  readonly privateKey: string;
}

/** How a program ended. */
export interface Ending {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A home folder; dispose of it to remove it. */
export class Home implements AsyncDisposable {
  /** The folder, in which programs run. Everybody may write to it. */
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Makes one. */
  static async make(place: Place): Promise<Home> {
    const home = new Home(await Deno.makeTempDir({ prefix: "sshpool-home-" }));
    await Deno.chmod(home.dir, 0o777);
    await Deno.mkdir(join(home.dir, ".ssh"), { mode: 0o700 });
    await home.write(".ssh/id_ed25519", place.privateKey);
    await home.write(
      ".ssh/config",
      `Host gate
  Port ${place.gatePort ?? place.port}
Host web-1 web-2 web-3 db-1 gate
  HostName 127.0.0.1
  Port ${place.port}
  User ${place.user}
  StrictHostKeyChecking accept-new
`,
    );
    return home;
  }

  /** Writes a file that nobody else may read. */
  async write(name: string, text: string): Promise<void> {
    await Deno.writeTextFile(join(this.dir, name), text, { mode: 0o600 });
  }

  /** Reads a file. */
  read(name: string): Promise<string> {
    return Deno.readTextFile(join(this.dir, name));
  }

  /** Runs a program, to its end. */
  async run(
    name: string,
    source: string,
    env: Record<string, string> = {},
    input = "",
  ): Promise<Ending> {
    await this.write(name, source);
    const { args, options } = await this.command(name, env);
    const child = new Deno.Command(Deno.execPath(), {
      args,
      ...options,
      stdin: input === "" ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(300_000),
    }).spawn();
    const ended = child.output();
    if (input !== "") await new Blob([input]).stream().pipeTo(child.stdin);
    const { code, stdout, stderr } = await ended;
    const [out, err] = [stdout, stderr].map((it) =>
      new TextDecoder().decode(it)
    );
    return { code, stdout: out!, stderr: err! };
  }

  /** How a program of it is run by Deno. */
  async command(name: string, env: Record<string, string> = {}): Promise<{
    args: string[];
    options: { cwd: string; clearEnv: true; env: Record<string, string> };
  }> {
    return {
      args: [
        "run",
        "--quiet",
        "--no-check",
        "--no-prompt",
        `--config=${pathOf("deno.json")}`,
        "--allow-net",
        "--allow-read",
        "--allow-write",
        "--allow-env",
        // So that `~` is this folder, and not that of the user database.
        "--deny-sys",
        name,
      ],
      options: {
        cwd: this.dir,
        clearEnv: true,
        env: {
          PATH: Deno.env.get("PATH") ?? "",
          DENO_DIR: await denoDir(),
          NO_COLOR: "1",
          HOME: this.dir,
          USER: "reader",
          ...env,
        },
      },
    };
  }

  /** Removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.dir, { recursive: true });
  }
}
