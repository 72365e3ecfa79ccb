/**
 * The rival of the command line: `ssh` over a ControlMaster socket.
 *
 * @module
 */

import { join } from "node:path";
import type { Sshd } from "../tests/_sshd.ts";

/** A master connection, and commands over its socket: a process for each. */
export class ControlMaster implements AsyncDisposable {
  readonly #dir: string;
  readonly #args: readonly string[];

  private constructor(dir: string, args: readonly string[]) {
    this.#dir = dir;
    this.#args = args;
  }

  /** Opens the master connection. */
  static async open(sshd: Sshd): Promise<ControlMaster> {
    // Short: the path of a Unix socket has 108 bytes at most.
    const dir = await Deno.makeTempDir({ prefix: "sshpool-" });
    const args = [
      ["-F", "none"],
      ["-i", sshd.privateKeyPath],
      ["-p", String(sshd.port)],
      ["-o", `ControlPath=${join(dir, "master")}`],
      ["-o", `UserKnownHostsFile=${join(dir, "known_hosts")}`],
      ["-o", "StrictHostKeyChecking=accept-new"],
      ["-o", "BatchMode=yes"],
      ["-o", "LogLevel=ERROR"],
      [`${sshd.user}@127.0.0.1`],
    ].flat();
    const master = new ControlMaster(dir, args);
    // It goes to the background when it is authenticated.
    await master.#ssh(["-M", "-N", "-f"], []);
    return master;
  }

  /** Runs a command, and gives what it wrote. */
  exec(command: string): Promise<string> {
    return this.#ssh([], [command]);
  }

  /** Ends the master connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ssh(["-O", "exit"], []);
    await Deno.remove(this.#dir, { recursive: true });
  }

  async #ssh(before: string[], after: string[]): Promise<string> {
    const detached = before.includes("-f");
    const output = await new Deno.Command("ssh", {
      args: [...before, ...this.#args, ...after],
      stdin: "null",
      // A master in the background would keep a pipe open for ever.
      stdout: detached ? "null" : "piped",
      stderr: "null",
    }).output();
    if (!output.success) throw new Error(`ssh ended with ${output.code}`);
    return detached ? "" : new TextDecoder().decode(output.stdout);
  }
}
