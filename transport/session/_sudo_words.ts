/**
 * What `sudo` says when it does not start a command, and what is meant.
 *
 * @module
 */

import type { SudoFailure } from "../command/errors.ts";
import { serverText } from "./server_text.ts";

/** How long sudo may take to ask or to start the command; LDAP is slow. */
export const ANSWER_MS = 60_000;

/** What a reason is called in messages, and what to do. */
export const FAILURES: Readonly<
  Record<SudoFailure, { readonly why: string; readonly hint?: string }>
> = {
  "wrong-password": {
    why: "sudo refused the password",
    hint: "an account that is locked after failures looks the same",
  },
  "password-required": {
    why: "sudo asks for a password",
    hint: "set sudo: { password }, or allow it without one in sudoers",
  },
  "password-expired": {
    why: "the password has expired, and sudo wants a new one",
    hint: "change it with passwd, or answer with sudo: { prompts }",
  },
  "account-expired": {
    why: "sudo refuses the account: it has expired or is locked",
    hint: "see chage -l and passwd -S on the host",
  },
  "locked-out": {
    why: "the account is locked after too many failures",
    hint: "wait, or see faillock on the host",
  },
  "question": {
    why: "sudo asks for more than the password",
    hint: "answer with sudo: { prompts }",
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

/** What it is called where the login shell has ended before sudo. */
export const NOT_REACHED = {
  why: "sudo was not reached",
  hint: "the login shell did not get as far as sudo: the account may run no " +
    "commands, or the line may be too long for the host",
};

/**
 * The words of sudo, of sudo-rs and of PAM in the C locale. What stands behind
 * is often a consequence of what stands before: sudo says that a password is
 * required where the account has expired.
 */
const WORDS: readonly (readonly [RegExp, SudoFailure])[] = [
  [
    /password is expired|password expired|password has expired|unable to change expired password|required to change your password/i,
    "password-expired",
  ],
  [
    /account validation failure|account expired|account has expired/i,
    "account-expired",
  ],
  [
    /account (is |has been )?(temporarily )?locked|too many (failed|authentication)/i,
    "locked-out",
  ],
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

/**
 * Says what sudo means.
 *
 * @param said What it said.
 * @returns The reason, `"failed"` if there are no words for it.
 */
export function sudoFailureOf(said: string): SudoFailure {
  return WORDS.find(([words]) => words.test(said))?.[1] ?? "failed";
}

/** What cannot be the fault of one wrong password. */
const OF_ACCOUNT: ReadonlySet<SudoFailure> = new Set([
  "password-expired",
  "account-expired",
  "locked-out",
]);

/**
 * Says what is wrong with the account.
 *
 * @param said What sudo said.
 * @returns The reason, if it is about the account.
 */
export function accountFailureOf(said: string): SudoFailure | undefined {
  const reason = sudoFailureOf(said);
  return OF_ACCOUNT.has(reason) ? reason : undefined;
}

/**
 * Returns the question that sudo waits for, if what it has said ends in one: a
 * line without its end. What a module of PAM asks may be in any language.
 *
 * @param said What it said.
 * @returns The question.
 */
export function questionIn(said: string): string | undefined {
  const line = said.slice(
    Math.max(said.lastIndexOf("\n"), said.lastIndexOf("\r")) + 1,
  );
  return /[:?>\])\uff1a\uff1f]\s*$/.test(line) ? line : undefined;
}

/**
 * Only lines of sudo itself: others may repeat the command.
 *
 * @param said What was said.
 * @returns The last of them that gives a reason, with a colon before it.
 */
export function sudosOwnWords(said: string): string {
  const line = said.split(/\r?\n/).findLast((line) =>
    line.startsWith("sudo: ") && !line.includes("sh -c") &&
    !/^sudo: (a password|interactive authentication) is required/.test(line)
  );
  return line === undefined ? "" : `: ${serverText(line.slice(6))}`;
}

/** So long a piece of the command line is no accident. */
const REPEATED = 12;

/**
 * The last line of a login shell, unless it may repeat the command: that may
 * hold a secret.
 *
 * @param said What was said.
 * @param sent The command line.
 */
export function shellsWords(said: string, sent: string): string {
  const line = said.trim().split(/[\r\n]+/).at(-1)!.trim().slice(0, 200);
  for (let at = 0; at + REPEATED <= line.length; at++) {
    if (sent.includes(line.slice(at, at + REPEATED))) return "";
  }
  return serverText(line);
}
