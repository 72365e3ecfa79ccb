/**
 * The criteria of `Match`.
 *
 * @module
 */

import { errorAt, type SourceLine } from "./errors.ts";
import { asciiLowerCase, matchPatterns } from "../host/pattern.ts";
import { takeWord } from "./_lexer.ts";

/** A criterion that takes an argument. */
type Argued =
  | "host"
  | "originalhost"
  | "user"
  | "localuser"
  | "tagged"
  | "exec"
  | "localnetwork"
  | "command"
  | "version"
  | "sessiontype";

/** One criterion. */
export interface Criterion {
  /** Its name, in lower case. */
  readonly name: Argued | "all" | "canonical" | "final";
  /** Whether `!` stood before it. */
  readonly negated: boolean;
  /** Its argument; empty where it takes none. */
  readonly argument: string;
}

const ARGUED: readonly string[] = [
  "host",
  "originalhost",
  "user",
  "localuser",
  "tagged",
  "exec",
  "localnetwork",
  "command",
  "version",
  "sessiontype",
] satisfies Argued[];

/**
 * Parses what stands behind `Match`.
 *
 * @throws {SshConfigError} If a criterion is unknown, lacks its argument, or
 * is combined with `all`.
 */
export function parseCriteria(
  text: string,
  words: readonly string[],
  place: SourceLine,
): readonly Criterion[] {
  const criteria: Criterion[] = [];
  let rest: string | undefined = text;
  while (rest !== undefined) {
    const taken = takeWord(rest);
    if (taken === undefined || taken.word === "" || taken.word[0] === "#") {
      break;
    }
    const negated = taken.word.startsWith("!");
    const name = taken.word.slice(negated ? 1 : 0).toLowerCase();
    rest = taken.rest;
    if (name === "all") {
      const next = rest === undefined ? undefined : takeWord(rest);
      const lonely = next === undefined || next.word === "" ||
        next.word[0] === "#";
      if (criteria.length > 1 || !lonely) {
        throw errorAt(
          place,
          "Match all cannot be combined with other criteria",
        );
      }
      criteria.push({ name, negated, argument: "" });
      return criteria;
    }
    if (name === "canonical" || name === "final") {
      criteria.push({ name, negated, argument: "" });
      continue;
    }
    const argument = rest === undefined ? undefined : takeWord(rest);
    if (
      argument === undefined || argument.word === "" || argument.word[0] === "#"
    ) {
      throw errorAt(place, `Match ${name.slice(0, 40)} has no argument`);
    }
    if (!ARGUED.includes(name)) {
      throw errorAt(
        place,
        `Match has no criterion ${JSON.stringify(name.slice(0, 40))}`,
      );
    }
    rest = argument.rest;
    criteria.push({ name: name as Argued, negated, argument: argument.word });
  }
  if (criteria.length === 0 || words.length === 0) {
    throw errorAt(place, "Match has no criterion");
  }
  return criteria;
}

/** What criteria are held against. */
export interface MatchSubject {
  /** The target, after `HostName`. */
  readonly host: string;
  /** The target as the caller named it. */
  readonly originalHost: string;
  readonly user: string;
  readonly localUser: string;
  readonly tag: string;
  /** Whether this is the second pass. */
  readonly final: boolean;
  /** Runs a command; whether it succeeded. `undefined` if that is not allowed. */
  exec(command: string): boolean | undefined;
  /** Called with a criterion that cannot be judged here. */
  unsupported(criterion: Criterion): void;
}

/** Returns whether all criteria are met. */
export function meetsCriteria(
  criteria: readonly Criterion[],
  subject: MatchSubject,
): boolean {
  // Stops at the first criterion that fails, so that no command behind it runs.
  for (const criterion of criteria) {
    const met = isMet(criterion, subject);
    if (met === undefined) subject.unsupported(criterion);
    // What cannot be judged does not match, negated or not.
    if (met === undefined || met === criterion.negated) return false;
  }
  return true;
}

function isMet(
  criterion: Criterion,
  subject: MatchSubject,
): boolean | undefined {
  const list = criterion.argument;
  switch (criterion.name) {
    case "all":
      return true;
    case "canonical":
    case "final":
      return subject.final;
    case "host":
      return matchesName(subject.host, list);
    case "originalhost":
      return matchesName(subject.originalHost, list);
    case "user":
      return matchPatterns(subject.user, list.split(","));
    case "localuser":
      return matchPatterns(subject.localUser, list.split(","));
    case "tagged":
      return matchPatterns(subject.tag, list.split(","));
    case "exec":
      return subject.exec(list);
    default:
      return undefined;
  }
}

// Upper and lower case are the same here. In `Host` they are not.
function matchesName(name: string, list: string): boolean {
  return matchPatterns(asciiLowerCase(name), asciiLowerCase(list).split(","));
}
