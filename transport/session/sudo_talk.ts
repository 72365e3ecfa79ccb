/**
 * The talk with `sudo`, until the command has started.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { SudoError, type SudoFailure } from "../command/errors.ts";
import { serverText } from "./server_text.ts";
import type { SudoCommand } from "../command/sudo_command.ts";

/** How long sudo may take to ask or to start the command; LDAP is slow. */
const ANSWER_MS = 60_000;
/** How much of what sudo says is kept, in characters. */
const MAX_SAID = 4096;

/** What the talk with sudo asks for, and leads to. Must not throw. */
export interface SudoHooks {
  /**
   * Writes to the standard input of the channel.
   *
   * @returns `undefined` if all was written, else a promise that resolves then.
   */
  write(bytes: Uint8Array): Promise<void> | undefined;
  /** The command has started: input and output are its own from here on. */
  started(): void;
  /** It will not start: the channel is to be closed. */
  failed(error: SudoError): void;
}

type State = "talking" | "started" | "over";

/** The talk with sudo, from the first output to the start of the command. */
export class SudoTalk {
  readonly #command: SudoCommand;
  readonly #host: string;
  readonly #hooks: SudoHooks;
  readonly #out: Watcher;
  readonly #err: Watcher;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: State = "talking";
  #prompts = 0;

  /**
   * @param command The command line.
   * @param host The name of the host, for messages.
   * @param hooks What to do.
   */
  constructor(command: SudoCommand, host: string, hooks: SudoHooks) {
    this.#command = command;
    this.#host = host;
    this.#hooks = hooks;
    this.#out = new Watcher(command);
    this.#err = command.isMerged ? this.#out : new Watcher(command);
  }

  /** Whether the command has started. */
  get isStarted(): boolean {
    return this.#state === "started";
  }

  /** The command line has been sent: sudo has to answer in time. */
  begin(): void {
    this.#timer = setTimeout(() => this.#fail("timeout"), ANSWER_MS);
  }

  /**
   * Takes a piece of standard output.
   *
   * @returns What of it the command has written.
   */
  stdout(chunk: Buffer): Buffer | undefined {
    return this.#take(this.#out, chunk);
  }

  /**
   * Takes a piece of standard error.
   *
   * @returns What of it the command has written.
   */
  stderr(chunk: Buffer): Buffer | undefined {
    return this.#take(this.#err, chunk);
  }

  /**
   * The channel has ended before the command has started.
   *
   * @param code The exit code, if there was one.
   * @returns Why.
   */
  ended(code: number | null): SudoError {
    const said = `${this.#err.said}\n${this.#out.said}`;
    return this.#error(code === 127 ? "not-installed" : failureOf(said), said);
  }

  /**
   * The signal that has the effect of another on a command with sudo.
   *
   * @param name The name of a signal, as RFC 4254 has it.
   * @returns The name of the one to send.
   */
  signal(name: string): string {
    return name === "KILL" && !this.#command.isMerged ? "QUIT" : name;
  }

  /** Nobody waits for the start any more. */
  dispose(): void {
    clearTimeout(this.#timer);
    if (this.#state === "talking") this.#state = "over";
  }

  #take(watcher: Watcher, chunk: Buffer): Buffer | undefined {
    const { prompts, rest } = watcher.take(chunk);
    for (let i = 0; i < prompts; i++) this.#onPrompt();
    if (this.#state === "talking" && this.#out.isOpen && this.#err.isOpen) {
      this.#start();
    }
    return rest;
  }

  #onPrompt(): void {
    const { password } = this.#command;
    if (this.#state !== "talking" || password === undefined) return;
    // Asked again: it was the wrong one.
    if (++this.#prompts > 1) return this.#fail("wrong-password");
    this.#hooks.write(Buffer.from(`${password}\n`));
  }

  #start(): void {
    this.#state = "started";
    clearTimeout(this.#timer);
    const { preamble } = this.#command;
    const pending = preamble === ""
      ? undefined
      : this.#hooks.write(Buffer.from(preamble));
    if (pending === undefined) this.#hooks.started();
    else pending.then(() => this.#hooks.started());
  }

  #fail(reason: SudoFailure): void {
    if (this.#state !== "talking") return;
    this.dispose();
    this.#hooks.failed(this.#error(reason, this.#err.said));
  }

  #error(reason: SudoFailure, said: string): SudoError {
    const { user } = this.#command;
    const { why, hint } = FAILURES[reason];
    const own = reason === "failed" ? sudosOwnWords(said) : "";
    return new SudoError(
      `Cannot run the command as ${JSON.stringify(user)} on ` +
        `${JSON.stringify(this.#host)}: ${why}${own}`,
      { host: this.#host, user, reason, hint },
    );
  }
}

/** One output, in which the marks are looked for. */
class Watcher {
  readonly #prompt: Buffer;
  readonly #start: Buffer;
  #held: Buffer = Buffer.alloc(0);
  #said = "";
  #isOpen = false;

  constructor({ prompt, start }: SudoCommand) {
    this.#prompt = Buffer.from(prompt);
    this.#start = Buffer.from(start);
  }

  /** Whether the command has started: what comes is its own. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The end of what was said before, without the prompts. */
  get said(): string {
    return this.#said.replaceAll(this.#prompt.toString(), "");
  }

  take(chunk: Buffer): { prompts: number; rest: Buffer | undefined } {
    if (this.#isOpen) return { prompts: 0, rest: chunk };
    this.#said = (this.#said + chunk.toString("utf8")).slice(-MAX_SAID);
    const data = Buffer.concat([this.#held, chunk]);
    const start = data.indexOf(this.#start);
    let [prompts, from] = [0, 0];
    for (;;) {
      const at = data.indexOf(this.#prompt, from);
      if (at === -1 || (start !== -1 && at > start)) break;
      prompts++;
      from = at + this.#prompt.length;
    }
    if (start === -1) {
      // A mark may be split between two pieces.
      const longest = Math.max(this.#prompt.length, this.#start.length) - 1;
      this.#held = data.subarray(Math.max(from, data.length - longest));
      return { prompts, rest: undefined };
    }
    this.#isOpen = true;
    const rest = data.subarray(start + this.#start.length);
    return { prompts, rest: rest.length === 0 ? undefined : rest };
  }
}

const FAILURES: Readonly<
  Record<SudoFailure, { readonly why: string; readonly hint?: string }>
> = {
  "wrong-password": { why: "sudo refused the password" },
  "password-required": {
    why: "sudo asks for a password",
    hint: "set sudo: { password }, or allow it without one in sudoers",
  },
  "not-allowed": {
    why: "sudo does not allow it",
    hint: "sudo runs the command through sh, which sudoers has to allow",
  },
  "not-installed": { why: "there is no sudo" },
  "tty-required": { why: "sudo wants a terminal", hint: "set pty: true" },
  "unknown-user": { why: "sudo knows no such user" },
  "timeout": {
    why: `sudo neither started it nor asked for the password in ${
      ANSWER_MS / 1000
    } s`,
    hint: "sudo may ask for something else, such as a one-time password",
  },
  "failed": { why: "sudo failed" },
};

/** The words of sudo, and of sudo-rs, in the C locale. */
const WORDS: readonly (readonly [RegExp, SudoFailure])[] = [
  [/must have a tty|a terminal is required|no tty present/i, "tty-required"],
  [
    /password is required|interactive authentication is required/i,
    "password-required",
  ],
  [
    /not in the sudoers file|is not allowed to|may not run sudo|afraid I can't/i,
    "not-allowed",
  ],
  [/unknown user|user '?[^\s']+'? not found/i, "unknown-user"],
  [
    /incorrect password|Sorry, try again|no password was provided|incorrect authentication|Authentication failed/i,
    "wrong-password",
  ],
];

function failureOf(said: string): SudoFailure {
  return WORDS.find(([words]) => words.test(said))?.[1] ?? "failed";
}

/** Only lines of sudo itself: others may repeat the command. */
function sudosOwnWords(said: string): string {
  const line = said.split(/\r?\n/).findLast((line) =>
    line.startsWith("sudo: ") && !line.includes("sh -c")
  );
  return line === undefined ? "" : `: ${serverText(line.slice(6))}`;
}
