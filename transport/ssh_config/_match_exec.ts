/**
 * Running the commands of `Match exec`.
 *
 * @module
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { abortable } from "../abort.ts";
import { userShell } from "../host/local_user.ts";
import { SshConfigError } from "./errors.ts";

/** How long a command may run. OpenSSH has no limit. */
const MAX_RUN_MS = 10_000;

/** A command that runs, and how many callers wait for it. */
interface Run {
  readonly result: Promise<boolean>;
  readonly stop: AbortController;
  callers: number;
}

/** Runs commands. Callers that ask for one that is running share its answer. */
export class MatchCommands {
  readonly #runs = new Map<string, Run>();

  /**
   * Runs a command in the user's shell, as OpenSSH does.
   *
   * @param command The command, with its tokens expanded.
   * @param signal Ends the wait of this caller. The command is killed when no
   * caller waits for it any more.
   * @returns Whether it ended with status 0.
   * @throws {SshConfigError} If it cannot be run, or runs for more than 10 s.
   */
  async run(command: string, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    const run = this.#runs.get(command) ?? this.#start(command);
    run.callers++;
    try {
      return await abortable(run.result, signal);
    } finally {
      if (--run.callers === 0) {
        this.#forget(command, run);
        run.stop.abort();
      }
    }
  }

  #start(command: string): Run {
    const stop = new AbortController();
    const result = runCommand(command, stop.signal);
    const run: Run = { result, stop, callers: 0 };
    this.#runs.set(command, run);
    return run;
  }

  /** The next caller needs a new answer: another run may have begun already. */
  #forget(command: string, run: Run): void {
    if (this.#runs.get(command) === run) this.#runs.delete(command);
  }
}

/**
 * Runs a command and blocks until it ends.
 *
 * @param command The command, with its tokens expanded.
 * @returns Whether it ended with status 0.
 * @throws {SshConfigError} If it cannot be run, or runs for more than 10 s.
 */
export function runCommandSync(command: string): boolean {
  const { error, status } = spawnSync(userShell(), ["-c", command], {
    stdio: "ignore",
    timeout: MAX_RUN_MS,
    killSignal: "SIGKILL",
  });
  if (error !== undefined) throw cannotRun(error);
  return status === 0;
}

function runCommand(command: string, stop: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let child: ChildProcess;
    try {
      // In a process group of its own: what the shell starts ends with it.
      child = spawn(userShell(), ["-c", command], {
        stdio: "ignore",
        detached: process.platform !== "win32",
      });
    } catch (error) {
      return reject(cannotRun(error));
    }
    const end = () => kill(child);
    const timer = setTimeout(() => {
      end();
      reject(cannotRun(new Error(`no end within ${MAX_RUN_MS} ms`)));
    }, MAX_RUN_MS);
    stop.addEventListener("abort", end, { once: true });
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(cannotRun(error));
    });
    child.on("exit", (code) => {
      clearTimeout(timer);
      stop.removeEventListener("abort", end);
      resolve(code === 0);
    });
  });
}

function kill({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === "win32" ? pid : -pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function cannotRun(cause: unknown): SshConfigError {
  const { message } = cause as Error;
  return new SshConfigError(
    `Cannot run the command of a Match exec: ${message}`,
    { cause },
  );
}
