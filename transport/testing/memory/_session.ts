/** A session of a memory connection: a scripted command, or a shell. */

import { abortable, onAbort } from "../../abort.ts";
import { matchPatterns } from "../../host/pattern.ts";
import type { SessionOptions } from "../../process.ts";
import type {
  RemoteSession,
  SessionListener,
} from "../../session/remote_session.ts";
import type {
  CommandResult,
  CommandScript,
} from "../scripts/command_script.ts";
import { requireScript } from "../scripts/commands.ts";
import { Gate, pass } from "../scripts/outcome.ts";
import { ByteQueue } from "../scripts/byte_queue.ts";
import { play, type RunParts } from "../scripts/run.ts";
import type { MemoryChannels, SessionSlot } from "./_channels.ts";
import { envRefused, passOrRefuse, STEPS } from "./_errors.ts";
import { MemoryOutput } from "./_output.ts";
import { type MemoryRequest, statusOf } from "./_request.ts";
import { Terminal } from "../scripts/terminal.ts";

/** What distributions have in their sshd_config. */
const ACCEPT_ENV = ["LANG", "LC_*"];

/** From the request for its channel to its end, whoever ends it. */
export class MemorySession implements RemoteSession {
  readonly ended: Promise<void>;
  readonly #channels: MemoryChannels;
  readonly #request: MemoryRequest;
  readonly #options: SessionOptions;
  readonly #listener: SessionListener;
  readonly #output: MemoryOutput;
  /** Aborts when the session is over, with the error if there is one. */
  readonly #over = new AbortController();
  /** The signal of the script. */
  readonly #process = new AbortController();
  /** Each takes back what waits for an end from outside. */
  readonly #stops: readonly (() => void)[];
  #tellEnded!: () => void;
  #slot: SessionSlot | undefined;
  readonly #input = new ByteQueue();
  #terminal: Terminal | undefined;
  #wasSent = false;
  #isOver = false;
  /** Why it is being stopped; its end is awaited. */
  #stopping: (() => unknown) | undefined;
  #graceTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #killed = new Gate();

  constructor(
    channels: MemoryChannels,
    request: MemoryRequest,
    options: SessionOptions,
    listener: SessionListener,
  ) {
    this.#channels = channels;
    this.#request = request;
    this.#options = options;
    this.#listener = listener;
    this.#output = new MemoryOutput(listener);
    this.ended = new Promise((resolve) => this.#tellEnded = resolve);
    const { signal } = options;
    this.#stops = [
      onAbort(signal, () => this.stop(signal?.reason)),
      channels.onEnd(() => this.#lost()),
    ];
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get mayHaveRun(): boolean {
    return this.#wasSent;
  }

  open(): void {
    this.#run().catch((error) => this.#fail(error));
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    return this.#input.push(chunk);
  }

  endInput(): void {
    this.#input.end();
  }

  resume(): void {
    this.#output.resume();
  }

  signal(name: string): void {
    if (this.#isOver) return;
    this.#process.abort(name);
    // A command can ignore all others.
    if (name === "KILL") this.#killed.open();
  }

  resize(columns: number, rows: number): void {
    if (!this.#isOver) this.#terminal?.resize(columns, rows);
  }

  stop(reason: unknown): void {
    if (this.#isOver) return;
    if (this.#wasSent) this.#process.abort("TERM");
    this.#fail(reason);
  }

  terminate(reason: () => unknown, graceMs: number): void {
    if (this.#isOver || this.#stopping !== undefined) return;
    if (!this.#wasSent || graceMs === 0) return this.stop(reason());
    this.#stopping = reason;
    this.signal("TERM");
    this.#graceTimer = setTimeout(() => {
      this.#process.abort("KILL");
      this.#fail(reason());
    }, graceMs);
  }

  #lost(): void {
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    const mayHaveRun = this.#wasSent;
    const output = mayHaveRun ? this.#listener.output() : undefined;
    this.#fail(this.#channels.lost({ mayHaveRun, output }));
  }

  /** Rejects with what `#over` was aborted with, or with the server's refusal. */
  async #run(): Promise<void> {
    const channels = this.#channels;
    const { signal } = this.#over;
    const slot = channels.take();
    this.#slot = slot;
    await channels.opened(slot, signal);
    const ready = this.#options.onOpen?.();
    if (ready instanceof Promise) await abortable(ready, signal);
    // What was called may have aborted.
    signal.throwIfAborted();
    const env = this.#environment();
    this.#wasSent = true;
    this.#listener.onSent();
    const script = await this.#grant(signal);
    this.#listener.onStarted();
    const result = await this.#play(script, env);
    await this.#output.flush();
    this.#listener.onEof();
    if (channels.isFrozen) await channels.thawed(signal);
    const { onChannelClose } = channels.options;
    await pass(onChannelClose?.(this.#line, channels.connection), signal);
    if (this.#stopping !== undefined) return this.#fail(this.#stopping());
    this.#release();
    this.#listener.onFinished(statusOf(result));
  }

  get #line(): string {
    return this.#request.line ?? "";
  }

  /**
   * Returns what the server sets; what it refuses of the host is a notice, as
   * with ssh.
   */
  #environment(): Record<string, string> {
    const { options, connection, connect, name } = this.#channels;
    const { env, isInline, pty } = this.#request;
    const { acceptEnv = ACCEPT_ENV } = options;
    const accepts = (name: string) => matchPatterns(name, acceptEnv);
    const refused = Object.keys(env).filter((name) => !accepts(name));
    if (!isInline && refused.length > 0) throw envRefused(name, refused);
    const ofHost = Object.entries(connection.host.env ?? {});
    for (const [name] of ofHost) {
      if (accepts(name) || this.#channels.refusedEnv.has(name)) continue;
      this.#channels.refusedEnv.add(name);
      connect.onNotice?.({
        code: "env-refused",
        message: `The server refuses to set the variable ${
          JSON.stringify(name)
        } of the host: it is not in acceptEnv of MemoryConnector`,
      });
    }
    if (pty !== undefined) {
      this.#terminal = new Terminal(pty, this.#process.signal);
    }
    return {
      ...this.#terminal && { TERM: this.#terminal.term },
      ...Object.fromEntries(ofHost.filter(([name]) => accepts(name))),
      ...env,
    };
  }

  /** Waits for the server's answer; `undefined` is the login shell. */
  async #grant(signal: AbortSignal): Promise<CommandScript | undefined> {
    const { options, connection, name } = this.#channels;
    await this.#channels.roundTrip(signal);
    const outcome = options.onExec?.(this.#line, connection);
    await passOrRefuse(outcome, signal, name, STEPS.exec);
    const { line } = this.#request;
    return line === undefined ? options.shell : this.#find(line);
  }

  readonly #find = (line: string): CommandScript => {
    const { name, options } = this.#channels;
    return requireScript(line, options.commands, name);
  };

  #play(
    script: CommandScript | undefined,
    env: Record<string, string>,
  ): Promise<CommandResult> {
    const parts: RunParts = {
      host: this.#channels.name,
      env,
      process: this.#process,
      terminal: this.#terminal,
      find: this.#find,
      input: this.#input,
      write: (stream, bytes) => this.#output.write(stream, bytes),
    };
    return Promise.race([
      play(parts, script, this.#line),
      this.#killed.wait().then(() => ({ signal: "KILL" })),
    ]);
  }

  #fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#release(reason);
    this.#listener.onFailed(reason);
  }

  #release(reason?: unknown): void {
    this.#isOver = true;
    clearTimeout(this.#graceTimer);
    for (const stop of this.#stops) stop();
    this.#slot?.give();
    this.#output.end();
    const error = reason ?? new TypeError("The process has ended");
    this.#input.end({ error });
    this.#over.abort(reason);
    this.#process.abort("HUP");
    this.#tellEnded();
  }
}
