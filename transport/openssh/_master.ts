/**
 * One `ssh` that keeps a connection: how it is started, watched and ended.
 *
 * It goes to the background by itself once it has logged in (`-f`), and ends
 * by itself some seconds after its last client (`ControlPersist`), also when
 * this process was killed. It is in a session of its own, so that Ctrl-C does
 * not end it before us.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { abortable, onAbort } from "../abort.ts";
import type { ConnectOptions } from "../connector.ts";
import { AuthenticationError, DialError, HostKeyError } from "../errors.ts";
import { hostLabel, type ResolvedHost } from "../host/host.ts";
import { serverText } from "../session/server_text.ts";
import { argumentsFor } from "./_arguments.ts";
import { killGroup, readLines, unrefPipe, within } from "./_child.ts";
import {
  Control,
  type ControlAnswer,
  type ControlOptions,
  PROXIED,
  PROXY,
  TERMINATE,
} from "./_control.ts";
import { type Folders, MASTER_SOCKET, removeFolder } from "./_folder.ts";
import type { FrameField } from "./_frames.ts";
import { Helper } from "./_helper.ts";
import { type HostKeyPlan, hostKeyPlan } from "./_host_key.ts";
import { DialLog } from "./_log.ts";
import {
  ASKS_US,
  isAtLeast,
  type Program,
  ProgramError,
  unusable,
} from "./_program.ts";
import { Questions } from "./_questions.ts";
import type { Settings } from "./options.ts";

/** How long a master may take to end, in milliseconds. */
const STOP_MS = 1000;
/** How long an abort may take, in milliseconds. */
const ABORT_MS = 100;
/** How long what ssh said may take to arrive once it has ended, in milliseconds. */
const LOG_MS = 500;

/** What a master is made for. */
export interface MasterParts {
  readonly host: ResolvedHost;
  readonly options: ConnectOptions;
  readonly settings: Settings;
  readonly program: Program;
  readonly folders: Folders;
}

/** One connection of `ssh`. */
export class Master {
  /** The name of the host. */
  readonly name: string;
  readonly log: DialLog;
  readonly #parts: MasterParts;
  #folder: string | undefined;
  #helper: Helper | undefined;
  #questions: Questions | undefined;
  #keyFiles: readonly string[] = [];
  #plan: HostKeyPlan | undefined;
  #child: ChildProcess | undefined;
  #hasExited = false;
  #exit: Promise<void> = Promise.resolve();
  #endOfLog: Promise<void> = Promise.resolve();
  #lastPath = 0;
  #stopping: Promise<void> | undefined;

  /**
   * Starts one, and waits until it has logged in.
   *
   * @param parts The host, and what the connector has.
   * @param signal Ends the dial, at its deadline too.
   * @param created Gets the master before it is ready, for its log.
   * @returns The master, and a connection to it in proxy mode.
   * @throws {DialError} If it fails.
   * @throws The reason of the signal.
   */
  static async start(
    parts: MasterParts,
    signal: AbortSignal,
    created: (master: Master) => void,
  ): Promise<{ master: Master; control: Control }> {
    const master = new Master(parts);
    created(master);
    try {
      await master.#start(signal);
      const control = await master.#proxy(signal);
      await master.#afterLogin();
      return { master, control };
    } catch (error) {
      // Its caller has no more time: what is killed ends behind its back.
      await within(master.stop(), signal.aborted ? ABORT_MS : undefined);
      signal.throwIfAborted();
      throw error instanceof ProgramError
        ? master.#error("config", error.message, error)
        : error;
    }
  }

  private constructor(parts: MasterParts) {
    this.#parts = parts;
    this.name = hostLabel(parts.host);
    this.log = new DialLog(this.name, (notice) => {
      const { hostKey } = parts.host;
      // With any other policy nothing is stored.
      const isOfStore = notice.code.startsWith("host-key-");
      if (isOfStore && hostKey !== "accept-new") return;
      parts.options.onNotice?.(notice);
    });
  }

  /** A path in the private folder that was not used yet. */
  newPath(): string {
    return join(this.#folder!, `f${this.#lastPath++}`);
  }

  /** Asks the master one thing, on a control connection of its own. */
  async ask(
    type: number,
    ...fields: readonly FrameField[]
  ): Promise<ControlAnswer> {
    return await this.#ask({}, type, ...fields);
  }

  async #ask(
    options: ControlOptions,
    type: number,
    ...fields: readonly FrameField[]
  ): Promise<ControlAnswer> {
    const control = await Control.open(this.#socket, options);
    try {
      return await control.ask(type, ...fields);
    } finally {
      control.close();
    }
  }

  get #socket(): string {
    return join(this.#folder!, MASTER_SOCKET);
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { host, options, settings, program } = this.#parts;
    signal.throwIfAborted();
    const version = await abortable(program.version(), signal);
    this.#folder = await this.#makeFolder();
    const helper = this.#helper = new Helper(this.#folder, settings.path);
    const plan = this.#plan = await hostKeyPlan(host, {
      command: helper.keyCommand,
      onNotice: options.onNotice,
    });
    if (
      !isAtLeast(version, ASKS_US) && (plan.needsCommand || settings.askpass)
    ) {
      throw new ProgramError(
        `${
          plan.needsCommand
            ? "hostKey with a fingerprint or a function"
            : "askpass"
        } ` +
          `needs OpenSSH ${ASKS_US.major}.${ASKS_US.minor} or later, ` +
          `${
            JSON.stringify(settings.path)
          } is ${version.major}.${version.minor}`,
      );
    }
    await this.#writeKeys();
    const keyFiles = this.#keyFiles;
    const questions = this.#questions = new Questions(host, keyFiles);
    await helper.start({
      ask: (question) => questions.answer(question),
      tell: (text) => this.log.tell(text),
      judge: (type, base64) =>
        plan.judge?.(type, base64) ?? Promise.resolve(false),
    });
    const { tunnel } = options;
    const args = argumentsFor(host, options, settings, {
      socket: this.#socket,
      keyFiles,
      own: {
        ...plan.options,
        ...tunnel === undefined
          ? {}
          : { ProxyCommand: await helper.lead(tunnel) },
      },
    });
    const env = settings.askpass ? await helper.askpass() : undefined;
    signal.throwIfAborted();
    await this.#run(args, env, signal);
  }

  async #makeFolder(): Promise<string> {
    try {
      return await this.#parts.folders.make();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw this.#error(
        "config",
        `no private folder can be made: ${why}`,
        cause,
        "Set the option folder of the OpenSshConnector",
      );
    }
  }

  /** ssh takes keys from files alone. They are gone when the dial is over. */
  async #writeKeys(): Promise<void> {
    const { privateKey } = this.#parts.host;
    const keys = [privateKey ?? []].flat() as (string | Uint8Array)[];
    this.#keyFiles = keys.map((_, index) => join(this.#folder!, `k${index}`));
    await Promise.all(keys.map((key, index) => {
      const text = typeof key === "string" ? `${key.trimEnd()}\n` : key;
      return writeFile(this.#keyFiles[index]!, text, { mode: 0o600 });
    }));
  }

  async #run(
    args: readonly string[],
    env: Record<string, string | undefined> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { path } = this.#parts.settings;
    let child: ChildProcess;
    try {
      child = spawn(path, args, {
        stdio: ["ignore", "ignore", "pipe"],
        detached: true,
        ...env === undefined ? {} : { env },
      });
    } catch (error) {
      throw unusable(path, error);
    }
    let stopWatching = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        stopWatching = onAbort(signal, () => reject(signal.reason));
        child.once("error", (error) => reject(unusable(path, error)));
        // Where it could not be started, Deno gives no process to let go of.
        if (child.pid === undefined) return;
        this.#child = child;
        child.unref();
        const ready = new Promise<void>((isReady) => {
          this.#endOfLog = readLines(child.stderr!, (line) => {
            if (this.log.read(line)) isReady();
          });
        });
        this.#exit = new Promise((exited) => child.once("exit", exited));
        child.once("exit", (code) => {
          this.#hasExited = true;
          // It has gone to the background, of which its log alone is no proof:
          // a banner is in it, and what the ssh of a ProxyJump says. An idle
          // connection does not keep the process alive.
          if (code === 0) {
            void ready.then(() => unrefPipe(child.stderr!)).then(resolve);
          }
          // Else its end is the end of the log, unless a program that it started
          // lives on and holds it open.
          const wait = code === 0 ? undefined : LOG_MS;
          void within(this.#endOfLog, wait)
            .then(() => reject(this.#failure(code)));
        });
      });
    } finally {
      stopWatching();
    }
  }

  async #proxy(signal: AbortSignal): Promise<Control> {
    let control: Control | undefined;
    try {
      control = await Control.open(this.#socket, { signal });
      const { type } = await control.ask(PROXY);
      if (type === PROXIED) return control;
      throw new Error(`ssh answered ${type} to the request for proxy mode`);
    } catch (cause) {
      control?.close();
      signal.throwIfAborted();
      // Lost as soon as it was there: the log of a master in the background ends
      // with it.
      let isGone = false;
      const ending = this.#endOfLog.then(() => void (isGone = true));
      await abortable(within(ending, LOG_MS), signal);
      if (isGone) throw this.#failure(null);
      const why = cause instanceof Error ? cause.message : String(cause);
      throw this.#error("config", why, cause);
    }
  }

  /** What was for the dial alone goes. */
  async #afterLogin(): Promise<void> {
    this.log.forgetLogin();
    this.#helper?.rest();
    await this.#plan?.accepted?.(this.log);
    await this.#removeKeys();
  }

  async #removeKeys(): Promise<void> {
    const removals = this.#keyFiles.map((path) => rm(path, { force: true }));
    await Promise.all(removals);
  }

  #failure(code: number | null): DialError {
    const error = this.log.failure(code);
    const refused = this.#plan?.failure(
      this.log,
      error instanceof HostKeyError,
    );
    if (refused !== undefined) return refused;
    const cause = this.#questions?.failure;
    if (cause === undefined) return error;
    const details = error instanceof AuthenticationError
      ? { tried: error.tried, offered: error.offered }
      : {};
    return new AuthenticationError(
      `Cannot connect to ${JSON.stringify(this.name)}: ${cause.message}`,
      { host: this.name, cause, ...details },
    );
  }

  #error(
    phase: DialError["phase"],
    why: string,
    cause?: unknown,
    hint?: string,
  ): DialError {
    return new DialError(
      phase,
      `Cannot connect to ${JSON.stringify(this.name)}: ${serverText(why, 500)}`,
      { host: this.name, cause, hint },
    );
  }

  /**
   * Ends it, in bounded time, and removes what it left.
   *
   * @returns Settles when it is over. Never rejects.
   */
  stop(): Promise<void> {
    return this.#stopping ??= this.#stop();
  }

  async #stop(): Promise<void> {
    this.#helper?.close();
    // First, and alone: this takes no descriptor, of which none may be left.
    await this.#removeKeys().catch(() => {});
    const child = this.#child;
    if (child !== undefined) {
      if (!this.#hasExited) killGroup(child);
      await this.#ask({ answerMs: STOP_MS }, TERMINATE).catch(() => {});
      await within(Promise.all([this.#exit, this.#endOfLog]), STOP_MS);
      child.stderr?.destroy();
    }
    if (this.#folder !== undefined) await removeFolder(this.#folder);
  }
}
