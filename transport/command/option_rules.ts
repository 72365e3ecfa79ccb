/**
 * What the options of a command may hold: its terminal, its user, its input
 * and its environment.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  accepting,
  callback,
  isGarbled,
  plainText,
  secret,
  wholeNumber,
} from "../options/rules.ts";
import { showType, showValue } from "../options/show_value.ts";
import { type Field, OptionTable, type Rule } from "../options/table.ts";
import type { PtyOptions, SudoOptions } from "../process.ts";
import { holdErrors, STDIN_ALLOWED, stdinFault } from "./stdin.ts";

/** sudo and PAM read no more of a password, and would take the rest for input. */
const MAX_PASSWORD_BYTES = 511;
/** A terminal counts its rows and columns in 16 bits. */
const MAX_CELLS = 65_535;
/** What fits into one message, with room for the rest of it. */
const MAX_VARIABLE_BYTES = 250_000;

/** Names that people write instead. */
export const SYNONYMS: Readonly<Record<string, string>> = {
  abort: "signal",
  abortsignal: "signal",
  cd: "cwd",
  dir: "cwd",
  directory: "cwd",
  workdir: "cwd",
  workingdirectory: "cwd",
  cols: "columns",
  height: "rows",
  lines: "rows",
  width: "columns",
  environment: "env",
  input: "stdin",
  loginshell: "login",
  maxbuffer: "maxOutputBytes",
  maxoutput: "maxOutputBytes",
  nothrow: "check",
  reject: "check",
  throwonerror: "check",
  become: "sudo",
  root: "sudo",
  terminal: "pty",
  tty: "pty",
  sudopassword: "sudo.password",
  sudouser: "sudo.user",
  user: "sudo.user",
  password: "sudo.password",
};

const cells = wholeNumber(1, MAX_CELLS);

/** The size and the kind of a terminal. */
export const TERMINAL = { term: plainText, columns: cells, rows: cells };

/** What changes of a terminal while it is used. */
export const RESIZE = new OptionTable<Pick<PtyOptions, "columns" | "rows">>(
  "resize the terminal",
  { columns: cells, rows: cells },
  { synonyms: SYNONYMS },
);

const TERMINAL_TABLE = new OptionTable<PtyOptions>(
  "start the terminal",
  TERMINAL,
  { synonyms: SYNONYMS },
);

/** `true` or `false`, or options. */
function flagOr<Options extends object>(table: OptionTable<Options>): Rule {
  const allowed = `true, false or an object with ${table.names.join(", ")}`;
  const options = table.asRule(allowed);
  return (value, at) => typeof value === "boolean" ? value : options(value, at);
}

/** A terminal, of the default size or of another. */
export const terminal: Rule = flagOr(TERMINAL_TABLE);

const password: Rule = (value, at) => {
  if (value !== "") return secretLine(value, at);
  return at.wrong("an empty string", "left out where sudo must not ask");
};

/** One line that sudo reads. It is never shown. */
export const secretLine: Rule = (value, at) => {
  if (typeof value !== "string") return at.wrong(showType(value), "a string");
  if (/[\0\r\n]/.test(value)) {
    at.wrong("a string with a line break or NUL", "one line");
  }
  if (!value.isWellFormed()) {
    at.wrong("a string with half of a character", "one without");
  }
  const length = Buffer.byteLength(value);
  if (length <= MAX_PASSWORD_BYTES) return value;
  return at.outOfRange(
    `a string of ${length} bytes`,
    `at most ${MAX_PASSWORD_BYTES} bytes long`,
  );
};

const SUDO = new OptionTable<SudoOptions>("become another user", {
  user: plainText,
  password,
  prompts: secret(callback),
});

/** Whom to become, and with which password. */
export const sudo: Rule = flagOr(SUDO);

/** The same, and the path of what is run for SFTP. */
export const sftpSudo: Rule = flagOr(
  SUDO.with("become another user", { server: plainText }),
);

/** Something that a command can read. */
export const stdin: Rule = (value, at) => {
  const fault = stdinFault(value);
  if (fault !== undefined) return at.wrong(fault, STDIN_ALLOWED);
  holdErrors(value);
  return value;
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null &&
  Object.prototype.toString.call(value) === "[object Object]" &&
  !(Symbol.iterator in value);

const record = accepting("an object of names and string values", isRecord);

/** Environment variables. Their values are never shown. */
export const variables: Rule = (value, at) => {
  const given = record(value, at.hidden()) as Record<string, unknown>;
  return Object.freeze(Object.fromEntries(
    Object.keys(given)
      .map((name) => [name, checkVariable(name, given[name], at.hidden())]),
  ));
};

function checkVariable(name: string, value: unknown, at: Field): string {
  if (name === "" || name.includes("=") || isGarbled(name)) {
    throw new TypeError(
      `Cannot ${at.doing}: env has the name ${showValue(name)}, must be one ` +
        "that is not empty and has neither = nor NUL nor half of a character",
    );
  }
  const place = at.member(name);
  if (typeof value !== "string") return place.reject(value, "a string");
  if (value.includes("\0")) {
    place.wrong("a string with NUL", "a string without NUL");
  }
  if (isGarbled(value)) {
    place.wrong("a string with half of a character", "one without");
  }
  const size = Buffer.byteLength(name) + Buffer.byteLength(value);
  if (size <= MAX_VARIABLE_BYTES) return value;
  return place.outOfRange(
    `${size} bytes long`,
    `at most ${MAX_VARIABLE_BYTES} bytes long with its name`,
  );
}
