/**
 * What the single options of a call may hold.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { MAX_TIMER_MS } from "../abort.ts";
import { didYouMean } from "./nearest.ts";
import { showType, showValue } from "./show_value.ts";
import { STDIN_ALLOWED, stdinFault } from "../command/stdin.ts";

const TIMER = `${MAX_TIMER_MS} (24.8 days, the most that a timer takes)`;
/** sudo and PAM read no more of a password, and would take the rest for input. */
const MAX_PASSWORD_BYTES = 511;
/** A terminal counts its rows and columns in 16 bits. */
const MAX_CELLS = 65_535;
/** What fits into one message, with room for the rest of it. */
const MAX_VARIABLE_BYTES = 250_000;

/** Where a value stands, and the error if it is none that may stand there. */
export class Field {
  /**
   * @param doing What cannot be done then, such as `run the command`.
   * @param name The name of the option; empty for the options themselves.
   */
  constructor(readonly doing: string, readonly name = "") {}

  /** The field of an object in this one. */
  member(name: string): Field {
    if (this.name === "") return new Field(this.doing, name);
    const plain = /^\w{1,64}$/.test(name);
    const tail = plain ? `.${name}` : `[${JSON.stringify(name.slice(0, 64))}]`;
    return new Field(this.doing, this.name + tail);
  }

  /** Throws the error of a value of the wrong type. */
  wrong(found: string, allowed: string): never {
    throw new TypeError(this.#message(found, allowed));
  }

  /** Throws the error of a number that is out of range. */
  outOfRange(found: string, allowed: string): never {
    throw new RangeError(this.#message(found, allowed));
  }

  #message(found: string, allowed: string): string {
    return `Cannot ${this.doing}: ${this.name} is ${found}, must be ${allowed}`;
  }
}

/** Checks one value, and gives what is kept of it. */
export type Rule = (value: unknown, at: Field) => unknown;

/** The options that there are, and what each may hold. */
export type Rules = Readonly<Record<string, Rule>>;

/** Names that people write instead, in lower case, and what to say then. */
const HINTS: Readonly<Record<string, string>> = {
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

/**
 * Checks options, and gives a copy without what is `undefined`.
 *
 * @param options What the caller gave.
 * @param rules The options that there are.
 * @param at The place of the options.
 * @param allowed What may stand there.
 * @throws {TypeError} If they are no options, or one is unknown or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 */
export function checkedOptions(
  options: unknown,
  rules: Rules,
  at: Field,
  allowed = "an object",
): Record<string, unknown> {
  if (
    typeof options !== "object" || options === null || Array.isArray(options)
  ) {
    // The type alone: somebody may put a password itself here.
    return (at.name === "" ? at.member("options") : at)
      .wrong(showType(options), allowed);
  }
  const copy: Record<string, unknown> = {};
  readOptions(options, rules, at, (name, it) => copy[name] = it);
  return copy;
}

/**
 * Reads each option once, so that what was checked is what is used.
 *
 * @param options What the caller gave.
 * @param rules The options that there are.
 * @param at The place of the options.
 * @param keep Takes each option that is not `undefined`.
 * @param elsewhere Where an option belongs that is none of these.
 */
export function readOptions(
  options: object,
  rules: Rules,
  at: Field,
  keep: (name: string, value: unknown) => void,
  elsewhere: (name: string) => string | undefined = () => undefined,
): void {
  const given = options as Record<string, unknown>;
  const names = Object.keys(options);
  for (const name of names) {
    if (Object.hasOwn(rules, name)) continue;
    throw new TypeError(
      `Cannot ${at.doing}: there is no option ` +
        JSON.stringify(at.member(name.slice(0, 64)).name) +
        advice(name, rules, elsewhere),
    );
  }
  // An object of a class may have its options from the class.
  const all = isPlain(options) ? names : Object.keys(rules);
  for (const name of all) {
    const value = given[name];
    if (value !== undefined) keep(name, rules[name]!(value, at.member(name)));
  }
}

function isPlain(options: object): boolean {
  const prototype = Object.getPrototypeOf(options);
  return prototype === Object.prototype || prototype === null;
}

function advice(
  name: string,
  rules: Rules,
  elsewhere: (name: string) => string | undefined,
): string {
  const place = elsewhere(name);
  if (place !== undefined) return `: ${place}`;
  const plain = name.toLowerCase().replaceAll(/[_-]/g, "");
  const hint = Object.hasOwn(HINTS, plain) ? HINTS[plain]! : "";
  const names = Object.keys(rules);
  if (names.includes(hint.split(".")[0]!)) {
    return `, did you mean ${JSON.stringify(hint)}?`;
  }
  return didYouMean(name, names) || `, allowed are ${names.join(", ")}`;
}

/** `true` or `false`. */
export const flag: Rule = (value, at) =>
  typeof value === "boolean"
    ? value
    : at.wrong(showValue(value), "true or false");

/** A function. */
export const callback: Rule = (value, at) =>
  typeof value === "function"
    ? value
    : at.wrong(showValue(value), "a function");

/** One of some words. */
export function oneOf(...words: readonly string[]): Rule {
  const allowed = words.map((word) => JSON.stringify(word)).join(" or ");
  return (value, at) =>
    words.includes(value as string)
      ? value
      : at.wrong(showValue(value), allowed);
}

/** A number of which some are allowed. */
function numeric(allowed: string, isAllowed: (value: number) => boolean): Rule {
  return (value, at) => {
    if (typeof value !== "number") return at.wrong(showValue(value), allowed);
    return isAllowed(value) ? value : at.outOfRange(showValue(value), allowed);
  };
}

/** A number of milliseconds that a timer can wait. */
export function duration({ zero }: { readonly zero: boolean }): Rule {
  return numeric(
    `a number ${zero ? "from 0" : "above 0"} to ${TIMER}`,
    (value) => (zero ? value >= 0 : value > 0) && value <= MAX_TIMER_MS,
  );
}

/** A number, fractions too. */
export function between(lowest: number, highest: number): Rule {
  return numeric(
    `a number of at least ${lowest} and at most ${highest}`,
    (value) => value >= lowest && value <= highest,
  );
}

const atLeastOne = numeric(
  "a whole number of at least 1",
  (value) => Number.isSafeInteger(value) && value >= 1,
);

/** How many there may be. `Infinity` is what people write for "no limit". */
export const count: Rule = (value, at) =>
  value === Infinity ? Number.MAX_SAFE_INTEGER : atLeastOne(value, at);

/** An object with a method of this name. */
export function objectWith(method: string): Rule {
  return (value, at) => {
    const object = value as Record<string, unknown> | null;
    return typeof object === "object" && typeof object?.[method] === "function"
      ? value
      : at.wrong(showType(value), `an object with a ${method}() method`);
  };
}

/** What is checked elsewhere. */
export const anything: Rule = (value) => value;

/** A number of bytes, or no limit. */
export const byteLimit: Rule = numeric(
  "a whole number of at least 0, or Infinity",
  (value) => value === Infinity || (Number.isSafeInteger(value) && value >= 0),
);

const cells = numeric(
  `a whole number from 1 to ${MAX_CELLS}`,
  (value) => Number.isInteger(value) && value >= 1 && value <= MAX_CELLS,
);

/** Text that is not empty and has no NUL character. */
export const plainText: Rule = (value, at) => {
  const allowed = "a string with at least one character and no NUL";
  return typeof value === "string" && value !== "" && !value.includes("\0")
    ? value
    : at.wrong(showValue(value), allowed);
};

/** The size and the kind of a terminal. */
export const TERMINAL: Rules = {
  term: plainText,
  columns: cells,
  rows: cells,
};

function group(rules: Rules): Rule {
  const names = Object.keys(rules).join(", ");
  const allowed = `true, false or an object with ${names}`;
  return (value, at) =>
    typeof value === "boolean"
      ? value
      : Object.freeze(checkedOptions(value, rules, at, allowed));
}

/** A terminal, of the default size or of another. */
export const terminal: Rule = group(TERMINAL);

const password: Rule = (value, at) => {
  if (typeof value !== "string") return at.wrong(showType(value), "a string");
  if (value === "") {
    at.wrong("an empty string", "left out where sudo must not ask");
  }
  if (/[\0\r\n]/.test(value)) {
    at.wrong("a string with a line break or NUL", "one line");
  }
  const length = Buffer.byteLength(value);
  if (length <= MAX_PASSWORD_BYTES) return value;
  return at.outOfRange(
    `a string of ${length} bytes`,
    `at most ${MAX_PASSWORD_BYTES} bytes long`,
  );
};

/** Whom to become, and with which password. */
export const sudo: Rule = group({ user: plainText, password });

/** Something that a command can read. */
export const stdin: Rule = (value, at) => {
  const fault = stdinFault(value);
  return fault === undefined ? value : at.wrong(fault, STDIN_ALLOWED);
};

const SIGNAL_METHODS = [
  "addEventListener",
  "removeEventListener",
  "throwIfAborted",
];

/** A signal, also one of another realm. */
export const signal: Rule = (value, at) => {
  const given = value as Record<string, unknown> | null;
  const isSignal = typeof given === "object" && given !== null &&
    typeof given.aborted === "boolean" &&
    SIGNAL_METHODS.every((name) => typeof given[name] === "function");
  return isSignal ? value : at.wrong(showType(value), "an AbortSignal");
};

/** Environment variables. */
export const variables: Rule = (value, at) => {
  const isRecord = typeof value === "object" && value !== null &&
    Object.prototype.toString.call(value) === "[object Object]" &&
    !(Symbol.iterator in value);
  if (!isRecord) {
    at.wrong(showType(value), "an object of names and string values");
  }
  const given = value as Record<string, unknown>;
  return Object.freeze(Object.fromEntries(
    Object.keys(given)
      .map((name) => [name, checkVariable(name, given[name], at)]),
  ));
};

/** The value is never shown. */
function checkVariable(name: string, value: unknown, at: Field): string {
  if (name === "" || /[=\0]/.test(name)) {
    throw new TypeError(
      `Cannot ${at.doing}: env has the name ${showValue(name)}, must be one ` +
        "that is not empty and has neither = nor NUL",
    );
  }
  const place = at.member(name);
  if (typeof value !== "string") {
    return place.wrong(showType(value), "a string");
  }
  if (value.includes("\0")) {
    place.wrong("a string with NUL", "a string without NUL");
  }
  const size = Buffer.byteLength(name) + Buffer.byteLength(value);
  if (size <= MAX_VARIABLE_BYTES) return value;
  return place.outOfRange(
    `${size} bytes long`,
    `at most ${MAX_VARIABLE_BYTES} bytes long with its name`,
  );
}
