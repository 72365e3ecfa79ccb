/**
 * Text into blocks of directives. What does not depend on the host is decided
 * here, once: syntax, arguments, which files are included.
 *
 * ```text
 *   file ── block (Host a b !c) ── directive  User ops
 *        │                      └─ include    conf.d/*.conf ── file, file
 *        └─ block (Match host x)
 * ```
 *
 * @module
 */

import { errorAt, type SourceLine } from "./errors.ts";
import { findKeyword, type Keyword } from "./keywords.ts";
import { splitArguments, takeKeyword } from "./_lexer.ts";
import { type Criterion, parseCriteria } from "./_criteria.ts";
import { readValues } from "./_values.ts";

/** A pattern of a `Host` line. */
export interface HostPattern {
  /** The pattern, without its `!`. */
  readonly text: string;
  /** Whether it had one. */
  readonly negated: boolean;
}

/** When a block applies. */
export type Condition =
  /** What stands before the first `Host`: whenever the file does. */
  | { readonly kind: "start" }
  | { readonly kind: "host"; readonly patterns: readonly HostPattern[] }
  | { readonly kind: "match"; readonly criteria: readonly Criterion[] };

/** A line that sets something. */
export interface Setting extends SourceLine {
  readonly kind: "setting";
  readonly keyword: Keyword;
  /** The name of the keyword, in lower case. */
  readonly name: string;
  readonly values: readonly string[];
}

/** A line that includes files. */
export interface Include extends SourceLine {
  readonly kind: "include";
  /** What was written. */
  readonly patterns: readonly string[];
  /** The files, once they are read. */
  files: readonly ParsedFile[];
}

/** A line with a keyword that OpenSSH does not know. */
export interface Unknown extends SourceLine {
  readonly kind: "unknown";
  /** The keyword, in lower case. */
  readonly name: string;
}

/** A line of a block. */
export type Directive = Setting | Include | Unknown;

/** A condition, and the lines below it. */
export interface Block extends SourceLine {
  readonly condition: Condition;
  readonly directives: Directive[];
}

/** A parsed file. */
export interface ParsedFile {
  readonly path: string;
  readonly blocks: readonly Block[];
  /** The lines that include files. */
  readonly includes: readonly Include[];
}

/**
 * Parses the text of a file.
 *
 * @throws {SshConfigError} At the first line that OpenSSH would refuse, but for
 * unknown keywords: whether those are an error depends on the host.
 */
export function parseFile(text: string, path: string): ParsedFile {
  let block: Block = newBlock({ kind: "start" }, { file: path, line: 1 });
  const blocks = [block];
  const includes: Include[] = [];
  let line = 0;
  for (const content of text.split("\n")) {
    line++;
    const taken = takeKeyword(content);
    if (taken === undefined) continue;
    const place = { file: path, line };
    const words = argumentsOf(taken.keyword, taken.rest, place);
    const condition = conditionOf(taken.keyword, taken.rest, words, place);
    if (condition !== undefined) {
      block = newBlock(condition, place);
      blocks.push(block);
      continue;
    }
    const directive = directiveOf(taken.keyword, taken.rest, words, place);
    if (directive.kind === "include") includes.push(directive);
    block.directives.push(directive);
  }
  return { path, blocks, includes };
}

function newBlock(condition: Condition, place: SourceLine): Block {
  return { condition, directives: [], file: place.file, line: place.line };
}

function argumentsOf(
  keyword: string,
  rest: string,
  place: SourceLine,
): string[] {
  if (rest === "") {
    throw errorAt(place, `${JSON.stringify(keyword)} has no argument`);
  }
  const words = splitArguments(rest);
  if (words === undefined) throw errorAt(place, "a quote is not closed");
  return words;
}

function conditionOf(
  keyword: string,
  rest: string,
  words: readonly string[],
  place: SourceLine,
): Condition | undefined {
  if (keyword === "match") {
    return { kind: "match", criteria: parseCriteria(rest, words, place) };
  }
  if (keyword !== "host") return undefined;
  if (words.includes("")) throw errorAt(place, "Host has an empty pattern");
  const patterns = words.map((word) =>
    word.startsWith("!")
      ? { text: word.slice(1), negated: true }
      : { text: word, negated: false }
  );
  return { kind: "host", patterns };
}

function directiveOf(
  name: string,
  text: string,
  words: readonly string[],
  place: SourceLine,
): Directive {
  if (name === "include") {
    if (words.includes("")) throw errorAt(place, "Include has an empty path");
    return { kind: "include", patterns: words, files: [], ...place };
  }
  const keyword = findKeyword(name);
  if (keyword === undefined) return { kind: "unknown", name, ...place };
  const values = readValues(keyword, { words, text }, place);
  const { file, line } = place;
  return { kind: "setting", keyword, name: keyword.key, values, file, line };
}
