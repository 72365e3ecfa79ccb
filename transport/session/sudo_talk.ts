/**
 * The talk with `sudo`, until the command has started.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { SudoError, type SudoFailure } from "../command/errors.ts";
import { secretLine } from "../command/option_rules.ts";
import type { SudoCommand } from "../command/sudo_command.ts";
import { Field } from "../options/table.ts";
import type { SudoQuestion } from "../process.ts";
import { encodeText } from "../sftp/names.ts";
import { type PasswordQuestion, SudoWatcher } from "./_sudo_watcher.ts";
import {
  accountFailureOf,
  ANSWER_MS,
  FAILURES,
  NOT_REACHED,
  questionIn,
  shellsWords,
  sudoFailureOf,
  sudosOwnWords,
} from "./_sudo_words.ts";
import { callersError } from "./callers_error.ts";
import { serverText } from "./server_text.ts";

/**
 * How long nothing may follow a line that looks like a question before it is
 * taken for one: its end may be on the way.
 */
const QUIET_MS = 1_000;

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
  failed(error: unknown): void;
}

type State = "talking" | "asking the caller" | "started" | "over";

/** The talk with sudo, from the first output to the start of the command. */
export class SudoTalk {
  readonly #command: SudoCommand;
  readonly #host: string;
  readonly #hooks: SudoHooks;
  readonly #out: SudoWatcher;
  readonly #err: SudoWatcher;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Armed while a question may have been asked. */
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #state: State = "talking";
  /** The last question for a password. */
  #asked: PasswordQuestion | undefined;
  /** Whether sudo has asked for anything. */
  #hasAsked = false;

  /**
   * @param command The command line.
   * @param host The name of the host, for messages.
   * @param hooks What to do.
   */
  constructor(command: SudoCommand, host: string, hooks: SudoHooks) {
    this.#command = command;
    this.#host = host;
    this.#hooks = hooks;
    this.#err = new SudoWatcher(command, true);
    this.#out = command.isMerged ? this.#err : new SudoWatcher(command, false);
  }

  /** Whether the command has started. */
  get isStarted(): boolean {
    return this.#state === "started";
  }

  /** The command line has been sent: sudo has to answer in time. */
  begin(): void {
    clearTimeout(this.#timer);
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
    if (code === 127) return this.#error("not-installed", said);
    if (!this.#err.hasBegun) return this.#notReached();
    const reason = sudoFailureOf(said);
    if (!this.#command.mayAsk) return this.#error(reason, said);
    // It says so whatever the reason was why it took none.
    const hasCause = sudosOwnWords(said) !== "";
    if (reason === "password-required" && hasCause) {
      return this.#error("failed", said);
    }
    // Refused before anything was asked.
    const isLocked = reason === "wrong-password" && !this.#hasAsked;
    return this.#error(isLocked ? "locked-out" : reason, said);
  }

  /**
   * Returns the signal that has the effect of another on a command with sudo.
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
    clearTimeout(this.#quiet);
    if (!this.isStarted) this.#state = "over";
  }

  #take(watcher: SudoWatcher, chunk: Buffer): Buffer | undefined {
    const { questions, rest } = watcher.take(chunk);
    if (this.isStarted) return rest;
    clearTimeout(this.#quiet);
    for (const question of questions) this.#onPassword(question);
    if (this.#out.isOpen && this.#err.isOpen) this.#start();
    else if (this.#state === "talking") this.#lookForQuestion();
    return rest;
  }

  #onPassword(question: PasswordQuestion): void {
    if (this.#state !== "talking") return;
    const { password } = this.#command;
    const isFirst = this.#asked === undefined;
    this.#hasAsked = true;
    this.#asked = question;
    const { before, of } = question;
    const reason = accountFailureOf(before);
    // Asked again, and with no word why: another module of PAM asks.
    const isMore = !isFirst && before.trim() === "";
    if (isFirst && reason === undefined) {
      if (password !== undefined) return this.#answer(password);
    } else if (!isMore) {
      return this.#fail(reason ?? "wrong-password");
    }
    const asked = isMore
      ? { text: "Password: ", passwordOf: undefined }
      : { text: `[sudo] password for ${of}: `, passwordOf: serverText(of) };
    this.#ask({ ...asked, instructions: before }, "question");
  }

  /** PAM may ask for something else, in words of its own. */
  #lookForQuestion(): void {
    if (this.#err.isOpen) return;
    if (questionIn(this.#err.sinceQuestion) === undefined) return;
    this.#quiet = setTimeout(() => this.#onQuestion(), QUIET_MS);
  }

  #onQuestion(): void {
    const said = this.#err.sinceQuestion;
    const line = questionIn(said);
    if (line === undefined || this.#state !== "talking") return;
    const instructions = said.slice(0, said.length - line.length);
    this.#hasAsked = true;
    this.#err.markAnswered();
    const reason = accountFailureOf(instructions) ?? "question";
    this.#ask({ text: line, passwordOf: undefined, instructions }, reason);
  }

  /** Asks the caller, or fails. */
  #ask(
    question: Omit<SudoQuestion, "host">,
    reason: SudoFailure,
  ): void {
    const { prompts } = this.#command;
    const text = serverText(question.text);
    if (prompts === undefined) return this.#fail(reason, text);
    const instructions = question.instructions.split(/[\r\n]+/)
      .map((line) => serverText(line.trim())).filter((line) => line !== "")
      .join("\n");
    // People take their time.
    clearTimeout(this.#timer);
    this.#state = "asking the caller";
    const isOver = () => this.#state !== "asking the caller";
    Promise.resolve({ ...question, text, instructions, host: this.#host })
      .then(prompts)
      .then((given) => {
        if (isOver()) return;
        this.#state = "talking";
        if (given === undefined) return this.#fail(reason, text);
        this.begin();
        this.#answer(secretLine(given, ANSWER) as string);
      }).catch((error) => {
        if (isOver() && this.#state !== "talking") return;
        this.dispose();
        this.#hooks.failed(callersError(error));
      });
  }

  #answer(line: string): void {
    this.#hooks.write(Buffer.from(`${line}\n`));
  }

  #start(): void {
    this.#state = "started";
    clearTimeout(this.#timer);
    const { preamble } = this.#command;
    const pending = preamble === ""
      ? undefined
      : this.#hooks.write(encodeText(preamble));
    if (pending === undefined) this.#hooks.started();
    else pending.then(() => this.#hooks.started());
  }

  #fail(reason: SudoFailure, question?: string): void {
    if (this.#state !== "talking") return;
    this.dispose();
    this.#hooks.failed(
      this.#err.hasBegun
        ? this.#error(reason, this.#err.said, question)
        : this.#notReached(reason),
    );
  }

  #error(reason: SudoFailure, said: string, question?: string): SudoError {
    const { why, hint } = FAILURES[reason];
    const own = reason === "failed" ? sudosOwnWords(said) : "";
    const shown = reason === "question" && question !== undefined
      ? `: ${JSON.stringify(question.trim())}`
      : "";
    const told = this.#hint(reason) ?? hint;
    return this.#made(reason, `${why}${own}${shown}`, told);
  }

  /** What the login shell said is all that there is to tell. */
  #notReached(reason: SudoFailure = "failed"): SudoError {
    const words = [...new Set([this.#err, this.#out])]
      .map(({ said }) => shellsWords(said, this.#command.line))
      .filter((it) => it !== "").join(" | ");
    const { hint } = NOT_REACHED;
    const { why } = reason === "failed" ? NOT_REACHED : FAILURES[reason];
    return this.#made(reason, words === "" ? why : `${why}: ${words}`, hint);
  }

  #made(reason: SudoFailure, why: string, hint?: string): SudoError {
    const { user } = this.#command;
    const [as, on] = [user, this.#host].map((it) => JSON.stringify(it));
    return new SudoError(`Cannot run the command as ${as} on ${on}: ${why}`, {
      host: this.#host,
      user,
      reason,
      hint,
    });
  }

  /** sudo may want the password of somebody else. */
  #hint(reason: SudoFailure): string | undefined {
    if (reason !== "wrong-password" || this.#asked === undefined) return;
    const { of, by } = this.#asked;
    if (of === by) return undefined;
    const [asked, user] = [of, by].map((it) => JSON.stringify(serverText(it)));
    return `sudo asks for the password of ${asked}, not of ${user}: ` +
      "sudoers has rootpw, targetpw or runaspw";
  }
}

const ANSWER = new Field("answer sudo", "prompts");
