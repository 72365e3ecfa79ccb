/**
 * One output of a command with `sudo`, in which the marks are looked for.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { SudoCommand } from "../command/sudo_command.ts";

/** How much of what sudo says is kept, in characters. */
const MAX_SAID = 4096;
/** The longest name of a user that is looked for in a question. */
const MAX_NAME = 256;

/** sudo asks for a password. */
export interface PasswordQuestion {
  /** Whose password it is: root's, say, where sudoers has `rootpw`. */
  readonly of: string;
  /** Who runs sudo. */
  readonly by: string;
  /** What was said since the question before. */
  readonly before: string;
}

/**
 * Splits what comes into that of sudo, and that of the command:
 *
 *     login files | begin | sudo and PAM, with password questions | start | command
 */
export class SudoWatcher {
  /** `undefined` once sudo speaks. */
  #begin: string | undefined;
  readonly #start: string;
  readonly #question: RegExp;
  /** The most that may be the beginning of a mark. */
  readonly #longest: number;
  /** Bytes as characters: a mark may be split between two pieces. */
  #held = "";
  #since = "";
  #before = "";
  #isOpen = false;

  /**
   * @param command The command, whose marks are looked for.
   * @param hasBegin Whether this output has the mark that sudo begins.
   */
  constructor({ begin, ask, start }: SudoCommand, hasBegin: boolean) {
    this.#begin = hasBegin ? begin : undefined;
    this.#start = start;
    const name = `([^%\\r\\n]{1,${MAX_NAME}})`;
    this.#question = new RegExp(`${ask}%${name}%${name}%${ask}`, "g");
    this.#longest = 2 * (ask.length + MAX_NAME) + 3;
  }

  /** Whether the command has started: what comes is its own. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether sudo speaks: what came before was said by the files of a login. */
  get hasBegun(): boolean {
    return this.#begin === undefined;
  }

  /**
   * The end of what sudo has said in all, without the password questions; before
   * it begins, of what the login shell has said.
   */
  get said(): string {
    return decoded((this.#before + this.#since + this.#held).slice(-MAX_SAID));
  }

  /** What sudo has said since the last question. */
  get sinceQuestion(): string {
    if (this.#begin !== undefined) return "";
    return decoded(this.#since + this.#held);
  }

  /** What was said so far was a question. */
  markAnswered(): void {
    this.#keep(this.#held);
    this.#held = "";
    this.#before = (this.#before + this.#since + "\n").slice(-MAX_SAID);
    this.#since = "";
  }

  /** Takes a piece: returns the questions in it, and what the command wrote. */
  take(
    chunk: Buffer,
  ): { questions: PasswordQuestion[]; rest: Buffer | undefined } {
    if (this.#isOpen) return { questions: [], rest: chunk };
    const text = this.#held + chunk.toString("latin1");
    const start = text.indexOf(this.#start);
    const questions = this.#read(start === -1 ? text : text.slice(0, start));
    if (start === -1) return { questions, rest: undefined };
    this.#isOpen = true;
    const rest = text.slice(start + this.#start.length);
    return {
      questions,
      rest: rest === "" ? undefined : Buffer.from(rest, "latin1"),
    };
  }

  #read(text: string): PasswordQuestion[] {
    let from = 0;
    if (this.#begin !== undefined) {
      const at = text.indexOf(this.#begin);
      if (at === -1) {
        this.#held = text.slice(-this.#begin.length);
        this.#keep(text.slice(0, -this.#begin.length));
        return [];
      }
      this.#since = "";
      from = at + this.#begin.length;
      this.#begin = undefined;
    }
    const questions = [];
    this.#held = "";
    for (const match of text.slice(from).matchAll(this.#question)) {
      const [mark, of = "", by = ""] = match;
      const at = text.indexOf(mark, from);
      this.#keep(text.slice(from, at));
      const before = decoded(this.#since);
      this.markAnswered();
      questions.push({ of: decoded(of), by: decoded(by), before });
      from = at + mark.length;
    }
    const tail = text.slice(from);
    this.#held = tail.slice(-this.#longest);
    this.#keep(tail.slice(0, tail.length - this.#held.length));
    return questions;
  }

  #keep(text: string): void {
    this.#since = (this.#since + text).slice(-MAX_SAID);
  }
}

function decoded(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}
