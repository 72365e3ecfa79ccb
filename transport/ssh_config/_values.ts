/**
 * Checks the arguments of each kind of keyword. As in OpenSSH they are checked
 * also in blocks that do not match.
 *
 * @module
 */

import { errorAt, type SourceLine } from "./errors.ts";
import type { Keyword } from "./keywords.ts";

/** An argument list, and the text it came from. */
export interface Arguments {
  /** The words. */
  readonly words: readonly string[];
  /** The text behind the keyword, not split. */
  readonly text: string;
}

// As OpenSSH: time values are held in an int.
const MAX_INT = 2 ** 31 - 1;

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  s: 1,
  m: 60,
  h: 3600,
  d: 86400,
  w: 604800,
};

/**
 * Reads a time such as `90`, `1h30m` or `2d`.
 *
 * @returns The seconds; `undefined` if it is no time.
 */
export function parseTime(text: string): number | undefined {
  // Every unit but the last is needed, or the pattern could split the digits
  // in exponentially many ways.
  if (text === "" || !/^(?:\d+[smhdw])*\d*$/i.test(text)) return undefined;
  let total = 0;
  for (const [, count = "", unit = ""] of text.matchAll(/(\d+)([a-z]?)/gi)) {
    total += Number(count) * UNITS[unit.toLowerCase()]!;
    if (total > MAX_INT) return undefined;
  }
  return total;
}

/**
 * Checks the arguments of a keyword.
 *
 * @returns The values: words in the spelling that OpenSSH prints.
 * @throws {SshConfigError} If they are not what the keyword takes.
 */
export function readValues(
  keyword: Keyword,
  args: Arguments,
  place: SourceLine,
): readonly string[] {
  switch (keyword.kind) {
    case "any":
      return args.words;
    case "command":
      return [args.text.replace(/^[ \t\r\n=]+/, "")];
    case "jump":
      return checkJump(args.text, place);
    case "strings":
      return readStrings(keyword, args.words, place);
    case "sendenv":
      return readSendEnv(args.words, place);
    case "setenv":
      return readSetEnv(args.words, place);
    default:
      return [readOne(keyword, args.words, place)];
  }
}

function readOne(
  keyword: Keyword,
  words: readonly string[],
  place: SourceLine,
): string {
  const [word = "", ...extra] = words;
  if (word === "") {
    throw errorAt(place, `${keyword.name} has no argument`);
  }
  const value = readWord(keyword, word, place);
  if (extra.length > 0) {
    throw errorAt(
      place,
      `${keyword.name} takes one argument, has ${words.length} (quote white space)`,
    );
  }
  return value;
}

function readWord(keyword: Keyword, word: string, place: SourceLine): string {
  const bad = (must: string) =>
    errorAt(
      place,
      `${keyword.name} is ${
        JSON.stringify(word.slice(0, 60))
      }, must be ${must}`,
    );
  switch (keyword.kind) {
    case "choice": {
      const choices = keyword.choices!;
      const key = word.toLowerCase();
      if (Object.hasOwn(choices, key)) return choices[key]!;
      throw bad(Object.keys(choices).join(", "));
    }
    case "port": {
      const port = /^\d+$/.test(word) ? Number(word) : 0;
      if (port >= 1 && port <= 65535) return String(port);
      throw bad("1 to 65535");
    }
    case "integer": {
      const value = /^[+-]?\d+$/.test(word) ? Number(word) : NaN;
      if (Math.abs(value) <= MAX_INT) return String(value);
      throw bad("a whole number");
    }
    case "time": {
      if (word === "none") return word;
      const seconds = parseTime(word);
      if (seconds !== undefined) return String(seconds);
      throw bad("a time, such as 90 or 1h30m");
    }
    case "algorithms": {
      if (/^[-+^]?[^,\s]+(?:,[^,\s]+)*$/.test(word)) return word;
      throw bad("names with commas between");
    }
    default:
      return word;
  }
}

function readStrings(
  keyword: Keyword,
  words: readonly string[],
  place: SourceLine,
): readonly string[] {
  if (words.includes("")) {
    throw errorAt(place, `${keyword.name} has an empty argument`);
  }
  if (words.length > 1 && words.some((w) => w.toLowerCase() === "none")) {
    throw errorAt(place, `${keyword.name} none must be alone`);
  }
  return words;
}

function readSendEnv(
  words: readonly string[],
  place: SourceLine,
): readonly string[] {
  for (const word of words) {
    if (word === "" || word.includes("=")) {
      throw errorAt(place, "SendEnv takes names of variables, without =");
    }
  }
  return words;
}

function readSetEnv(
  words: readonly string[],
  place: SourceLine,
): readonly string[] {
  const first = new Map<string, string>();
  for (const word of words) {
    const at = word.indexOf("=");
    // Not shown: what is set may be a secret.
    if (at < 0) {
      throw errorAt(place, "SetEnv takes NAME=VALUE, an argument has no =");
    }
    const name = word.slice(0, at);
    if (!first.has(name)) first.set(name, word);
  }
  return [...first.values()];
}

/**
 * Takes apart `host1,user@host2:port,ssh://host3`.
 *
 * @returns The hops, the first one dialled first; `["none"]` for none.
 * @throws {SshConfigError} If a hop is malformed.
 */
function checkJump(text: string, place: SourceLine): readonly string[] {
  const list = text.replace(/^[ \t\r\n=]+/, "").replace(/#[^]*$/, "").trim();
  if (list.toLowerCase() === "none") return ["none"];
  const hops = list.split(",");
  for (const hop of hops) {
    if (hostOfHop(hop) === undefined) {
      throw errorAt(
        place,
        `ProxyJump has ${JSON.stringify(hop.slice(0, 60))}, must be ` +
          "[user@]host[:port] or ssh://..., with commas between",
      );
    }
  }
  return hops;
}

/**
 * The host of a hop of `ProxyJump`, without its user and port; `undefined` if it
 * is malformed. Looser than a host string: tokens such as %h may stand in it, and
 * what they expand to is checked when the hop is resolved.
 */
export function hostOfHop(hop: string): string | undefined {
  const uri = /^ssh:\/\//i.test(hop);
  const rest = uri ? hop.slice(6).replace(/\/$/, "") : hop;
  const address = rest.slice(rest.lastIndexOf("@") + 1);
  const user = rest.slice(0, Math.max(0, rest.lastIndexOf("@")));
  if (rest.includes("@") && user === "") return undefined;
  if (uri && user.includes(":")) return undefined;
  const match = /^(?:\[([^\[\]\s]+)\]|([^\s:\[\]/]+))(?::(\d+))?$/.exec(
    address,
  );
  if (match === null) return undefined;
  const [, bracketed, plain, port] = match;
  const isPort = port === undefined ||
    (Number(port) >= 1 && Number(port) <= 65535);
  return isPort ? bracketed ?? plain : undefined;
}
