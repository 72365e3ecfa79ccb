/**
 * What single options may hold.
 *
 * @module
 */

import { MAX_TIMER_MS } from "../abort.ts";
import { hasNoBytes } from "../sftp/names.ts";
import { showType } from "./show_value.ts";
import type { Field, Rule } from "./table.ts";

const TIMER = `${MAX_TIMER_MS} (24.8 days, the most that a timer takes)`;

/** Whatever a test accepts. */
export function accepting(
  allowed: string,
  accepts: (value: unknown) => boolean,
): Rule {
  return (value, at) => accepts(value) ? value : at.reject(value, allowed);
}

/** Accepts what a rule does; no message shows the value. */
export function secret(rule: Rule): Rule {
  return (value, at) => rule(value, at.hidden());
}

/** `true` or `false`. */
export const flag: Rule = accepting(
  "true or false",
  (value) => typeof value === "boolean",
);

/** A function. */
export const callback: Rule = accepting(
  "a function",
  (value) => typeof value === "function",
);

/** One of some values. */
export function oneOf(...values: readonly (string | boolean)[]): Rule {
  const allowed = values.map((it) => JSON.stringify(it)).join(" or ");
  return accepting(allowed, (value) => values.includes(value as string));
}

/** Accepts the numbers that are allowed. */
function numeric(allowed: string, isAllowed: (value: number) => boolean): Rule {
  return (value, at) => {
    if (typeof value !== "number") return at.reject(value, allowed);
    return isAllowed(value) ? value : at.rejectRange(value, allowed);
  };
}

/** Accepts a number of milliseconds that a timer can wait. */
export function duration({ zero }: { readonly zero: boolean }): Rule {
  return numeric(
    `a number ${zero ? "from 0" : "above 0"} to ${TIMER}`,
    (value) => (zero ? value >= 0 : value > 0) && value <= MAX_TIMER_MS,
  );
}

/** Accepts a number in a range, fractions too. */
export function between(lowest: number, highest: number): Rule {
  return numeric(
    `a number of at least ${lowest} and at most ${highest}`,
    (value) => value >= lowest && value <= highest,
  );
}

/** Accepts a whole number. */
export function wholeNumber(
  lowest: number,
  highest: number = Number.MAX_SAFE_INTEGER,
): Rule {
  return numeric(
    highest === Number.MAX_SAFE_INTEGER
      ? `a whole number of at least ${lowest}`
      : `a whole number from ${lowest} to ${highest}`,
    (value) =>
      Number.isSafeInteger(value) && value >= lowest && value <= highest,
  );
}

const atLeastOne = wholeNumber(1);

/** How many there may be. `Infinity` is what people write for "no limit". */
export const count: Rule = (value, at) =>
  value === Infinity ? Number.MAX_SAFE_INTEGER : atLeastOne(value, at);

/** A number of bytes, or no limit. */
export const byteLimit: Rule = numeric(
  "a whole number of at least 0, or Infinity",
  (value) => value === Infinity || (Number.isSafeInteger(value) && value >= 0),
);

/** The permissions of a file, such as `0o644`; the bits of its kind may come along. */
export const fileMode: Rule = wholeNumber(0, 0o177777);

/**
 * Whether a server would be sent something else: for a NUL character, or for half
 * of a character, unless that stands for a byte of a file name.
 */
export const isGarbled = (text: string): boolean =>
  text.includes("\0") || hasNoBytes(text);

const PLAIN =
  "a string with at least one character and no NUL or half of a character";

/** Whether something is text that is not empty, and what it is taken for everywhere. */
export const isPlainText = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && !value.includes("\0") &&
  value.isWellFormed();

/** Such text. */
export const plainText: Rule = accepting(PLAIN, isPlainText);

/** The same for a server, where a file name may have bytes that are no UTF-8. */
export const remotePath: Rule = accepting(
  PLAIN,
  (value) => typeof value === "string" && value !== "" && !isGarbled(value),
);

/** Accepts an array, each item of which a rule accepts. */
export function listOf(allowed: string, item: Rule): Rule {
  return (value, at) => {
    if (!Array.isArray(value)) return at.reject(value, allowed);
    return Object.freeze(value.map((it, index) => item(it, at.item(index))));
  };
}

/** Accepts an object with a method of this name. */
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

const SIGNAL_METHODS = [
  "addEventListener",
  "removeEventListener",
  "throwIfAborted",
];

/** A signal, also one of another realm. */
export const signal: Rule = (value, at: Field) => {
  const given = value as Record<string, unknown> | null;
  const isSignal = typeof given === "object" && given !== null &&
    typeof given.aborted === "boolean" &&
    SIGNAL_METHODS.every((name) => typeof given[name] === "function");
  return isSignal ? value : at.wrong(showType(value), "an AbortSignal");
};
