/**
 * A command whose standard streams are the connection (`ProxyCommand`).
 *
 * @module
 */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import type { Buffer } from "node:buffer";
import process from "node:process";
import { Duplex } from "node:stream";
import { DialError } from "../../errors.ts";
import { userShell } from "../../host/local_user.ts";
import { serverText } from "../../session/server_text.ts";
import { hostLabel, type ResolvedHost } from "../../host/host.ts";

/** How much of standard error is kept for the message, in bytes. */
const STDERR_TAIL_BYTES = 1024;
/** Characters that a shell interprets, white space and control characters. */
const UNSAFE = /[\s\p{Cc}'"`$\\;&<>|(){}*?[\]!#~]/u;
/** How long a command may take to die of SIGHUP before it is killed. */
const KILL_AFTER_MS = 500;

/**
 * Runs a proxy command through the user's shell, as OpenSSH does.
 *
 * Destroying the stream ends the process. When the process ends with a failure,
 * or without having sent anything, the stream is destroyed with a
 * {@linkcode DialError} of phase `proxy` that has the exit code and the end of
 * what it wrote to standard error.
 *
 * @param command The command; `%h`, `%p`, `%r`, `%n` and `%%` are replaced.
 * @param host The host that the command is to lead to.
 * @returns The command's standard output and input.
 * @throws {DialError} If a replaced value is not safe to hand to a shell.
 */
export function openProxyCommand(command: string, host: ResolvedHost): Duplex {
  return new ProxyCommandStream(expandTokens(command, host), host);
}

class ProxyCommandStream extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #host: string;
  /** Whether it is told where to go, as one that connects is. */
  readonly #namesHost: boolean;
  #stderr = "";
  #received = false;
  #exited = false;

  constructor(command: string, host: ResolvedHost) {
    super({ allowHalfOpen: true });
    this.#host = hostLabel(host);
    this.#namesHost = command.includes(host.hostname);
    this.#child = start(command);
    this.#watch();
  }

  #watch(): void {
    const { stdin, stdout, stderr } = this.#child;
    stdout.on("data", (chunk: Buffer) => {
      this.#received = true;
      if (!this.push(chunk)) stdout.pause();
    });
    stderr.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk).slice(-STDERR_TAIL_BYTES);
    });
    // A command that has ended causes EPIPE: its exit code says more.
    for (const it of [stdin, stdout, stderr]) it.on("error", () => {});
    this.#child.on("error", (error) => {
      this.#exited = true;
      this.destroy(
        this.#error(`cannot be run: ${error.message}`, { cause: error }),
      );
    });
    this.#child.on("exit", () => this.#exited = true);
    // "close" and not "exit": by then all that it wrote has arrived.
    this.#child.on("close", (code, signal) => this.#finish(code, signal));
  }

  #finish(code: number | null, signal: string | null): void {
    if (this.destroyed) return;
    const how = signal === null
      ? `exited with code ${code}`
      : `died of ${signal}`;
    if (code !== 0) this.destroy(this.#error(how));
    else if (!this.#received) {
      // As an sshd under load hangs up on one that was connected.
      const throttled = this.#namesHost;
      this.destroy(this.#error(`${how} and sent nothing`, { throttled }));
    } else this.push(null);
  }

  #error(
    how: string,
    more: { readonly cause?: Error; readonly throttled?: boolean } = {},
  ): DialError {
    const said = serverText(
      this.#stderr.trim().replaceAll(/\s*\n\s*/g, "; "),
      STDERR_TAIL_BYTES,
    );
    const tail = said === "" ? "" : `: ${said}`;
    return new DialError(
      "proxy",
      `Cannot connect to ${
        JSON.stringify(this.#host)
      }: the proxy command ${how}${tail}`,
      { host: this.#host, ...more },
    );
  }

  /** Keeps the process alive, as a socket does. */
  ref(): void {
    for (const it of this.#handles()) it.ref?.();
  }

  /** Lets the process end although the command runs. */
  unref(): void {
    for (const it of this.#handles()) it.unref?.();
  }

  /** The command and its pipes, whose types lack these methods. */
  #handles(): { ref?(): void; unref?(): void }[] {
    const { stdin, stdout, stderr } = this.#child;
    return [this.#child, stdin, stdout, stderr] as object[];
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(
    chunk: Buffer,
    _encoding: string,
    callback: (error?: Error | null) => void,
  ): void {
    if (!this.#child.stdin.writable) return callback();
    this.#child.stdin.write(chunk, () => callback());
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#child.stdin.end();
    callback();
  }

  override _destroy(
    error: Error | null,
    callback: (error?: Error | null) => void,
  ): void {
    const { stdin, stdout, stderr } = this.#child;
    for (const it of [stdin, stdout, stderr]) it?.destroy();
    if (this.#exited || this.#child.pid === undefined) return callback(error);
    // "close" is emitted when the process has ended: a caller that waits for it
    // leaves no process behind.
    const killer = setTimeout(() => kill(this.#child), KILL_AFTER_MS);
    this.#child.once("exit", () => {
      clearTimeout(killer);
      callback(error);
    });
    this.#child.kill("SIGHUP");
  }
}

function start(command: string): ChildProcessWithoutNullStreams {
  if (process.platform === "win32") {
    return spawn(command, { shell: true, windowsHide: true });
  }
  // "exec" so that there is no shell between us and the command: signals and
  // the exit code are then the command's own.
  return spawn(userShell(), ["-c", `exec ${command}`]);
}

/** Not `child.kill()`, which in Deno does nothing the second time. */
function kill(child: ChildProcessWithoutNullStreams): void {
  try {
    if (child.pid !== undefined) process.kill(child.pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}

function expandTokens(command: string, host: ResolvedHost): string {
  const values: Record<string, string> = {
    "%": "%",
    h: host.hostname,
    n: host.alias ?? host.hostname,
    p: String(host.port),
    r: host.user,
  };
  return command.replaceAll(/%(.)/g, (token, letter: string) => {
    const value = values[letter];
    if (value === undefined) return token;
    // A host name out of some file must not become a command, so what a shell
    // would act upon is refused, as OpenSSH has done since 9.6.
    if (letter !== "%" && (value.startsWith("-") || UNSAFE.test(value))) {
      throw new DialError(
        "config",
        `Cannot run the proxy command for ${
          JSON.stringify(hostLabel(host))
        }: ` +
          `${token} has characters that a shell would interpret`,
        { host: hostLabel(host) },
      );
    }
    return value;
  });
}
