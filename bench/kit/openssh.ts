/**
 * The rivals of the command line: `ssh` and `sftp` over a ControlMaster socket.
 *
 * @module
 */

import { join } from "node:path";
import type { Sshd } from "../../tests/kit/sshd.ts";
import { atEnd } from "./at_end.ts";

/** A master connection, and commands over its socket: a process for each. */
export class ControlMaster implements AsyncDisposable {
  readonly #dir: string;
  readonly #options: readonly string[];
  readonly #destination: string;
  /** The master itself ends with its server. */
  readonly #forgetDir: () => void;

  private constructor(
    dir: string,
    options: readonly string[],
    destination: string,
  ) {
    this.#dir = dir;
    this.#forgetDir = atEnd(() => Deno.removeSync(dir, { recursive: true }));
    this.#options = options;
    this.#destination = destination;
  }

  /**
   * Opens the master connection.
   *
   * @param sshd The server.
   * @param options The cipher; and the port, if another one leads to it.
   */
  static async open(
    sshd: Sshd,
    { cipher, port = sshd.port }: { cipher?: string; port?: number } = {},
  ): Promise<ControlMaster> {
    // Short: the path of a Unix socket has 108 bytes at most.
    const dir = await Deno.makeTempDir({ prefix: "sshpool-" });
    const options = [
      ["-F", "none"],
      ["-i", sshd.privateKeyPath],
      ["-o", `Port=${port}`],
      cipher === undefined ? [] : ["-c", cipher],
      ["-o", `ControlPath=${join(dir, "master")}`],
      ["-o", `UserKnownHostsFile=${join(dir, "known_hosts")}`],
      ["-o", "StrictHostKeyChecking=accept-new"],
      ["-o", "BatchMode=yes"],
      ["-o", "LogLevel=ERROR"],
    ].flat();
    const master = new ControlMaster(dir, options, `${sshd.user}@127.0.0.1`);
    // It goes to the background when it is authenticated.
    await master.#ssh(["-M", "-N", "-f"], []);
    return master;
  }

  /** Runs a command, and gives what it wrote. */
  exec(command: string): Promise<string> {
    return this.#ssh([], [command]);
  }

  /** Runs a command, and gives what it writes as it comes. */
  output(command: string): ReadableStream<Uint8Array> {
    return new Deno.Command("ssh", {
      args: [...this.#options, this.#destination, command],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn().stdout;
  }

  /** Runs commands of `sftp`, such as `put -r here there`. */
  async sftp(...commands: string[]): Promise<void> {
    const sftp = new Deno.Command("sftp", {
      args: ["-q", "-b", "-", ...this.#options, this.#destination],
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const ended = sftp.output();
    const writer = sftp.stdin.getWriter();
    await writer.write(new TextEncoder().encode(commands.join("\n") + "\n"));
    await writer.close();
    const { success, stderr } = await ended;
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  }

  /** Ends the master connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ssh(["-O", "exit"], []);
    this.#forgetDir();
    await Deno.remove(this.#dir, { recursive: true });
  }

  async #ssh(before: string[], after: string[]): Promise<string> {
    const detached = before.includes("-f");
    const output = await new Deno.Command("ssh", {
      args: [...before, ...this.#options, this.#destination, ...after],
      stdin: "null",
      // A master in the background would keep a pipe open for ever.
      stdout: detached ? "null" : "piped",
      stderr: "null",
    }).output();
    if (!output.success) throw new Error(`ssh ended with ${output.code}`);
    return detached ? "" : new TextDecoder().decode(output.stdout);
  }
}
