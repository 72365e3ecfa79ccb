/**
 * What braces in a pattern stand for, as in bash: `{a,b}`, `{1..3}`.
 *
 * @module
 */

/** How many patterns braces may stand for. */
const MAX_PATTERNS = 1_000;

/** How many characters these may have. */
const MAX_CHARACTERS = 65_536;

/**
 * Writes out what braces stand for. What is no whole one stands for itself: `{a`
 * or `{a}`.
 *
 * @param pattern The pattern.
 * @returns The patterns without braces, in order.
 * @throws {RangeError} If they are more than 1,000, or 65,536 characters.
 */
export function expandBraces(pattern: string): string[] {
  return expanded(pattern, () =>
    new RangeError(
      `Cannot read the pattern ${JSON.stringify(pattern.slice(0, 200))}: its ` +
        `braces stand for more than ${MAX_PATTERNS} patterns, or more than ` +
        `${MAX_CHARACTERS} characters`,
    ));
}

function expanded(text: string, tooMany: () => Error): string[] {
  let found = [""];
  const add = (items: readonly string[]) => {
    if (found.length * items.length > MAX_PATTERNS) throw tooMany();
    found = found.flatMap((it) => items.map((item) => it + item));
    const characters = found.reduce((sum, { length }) => sum + length, 0);
    if (characters > MAX_CHARACTERS) throw tooMany();
  };
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "{") {
      const read = readBraces(text, at);
      if (read === undefined) continue;
      const items = read.range ??
        read.items.flatMap((it) => expanded(it, tooMany));
      add([text.slice(start, at)]);
      add(items);
      start = read.end;
      at = start - 1;
    }
  }
  add([text.slice(start)]);
  return found;
}

interface Braces {
  /** What is between the commas, which may have braces of its own. */
  readonly items: readonly string[];
  /** What a range stands for, if it is one. */
  readonly range: readonly string[] | undefined;
  readonly end: number;
}

/** Reads the braces at a place; `undefined` if they stand for themselves. */
function readBraces(text: string, open: number): Braces | undefined {
  const items: string[] = [];
  let start = open + 1;
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === "{") depth++;
    else if (char === "," && depth === 0) {
      items.push(text.slice(start, at));
      start = at + 1;
    } else if (char === "}" && depth > 0) depth--;
    else if (char === "}") {
      const last = text.slice(start, at);
      const range = items.length === 0 ? rangeOf(last) : undefined;
      if (items.length > 0 || range !== undefined) {
        return { items: [...items, last], range, end: at + 1 };
      }
      // It stands for itself, and the end is one behind a comma.
    }
  }
  return undefined;
}

/** The numbers or letters of `1..3`, `03..1`, `0..10..5` or `a..e`. */
function rangeOf(text: string): string[] | undefined {
  const [, low, high, by = "1"] =
    /^(-?\d{1,15}|[a-zA-Z])\.\.(-?\d{1,15}|[a-zA-Z])(?:\.\.(-?\d{1,15}))?$/
      .exec(text) ?? [];
  if (low === undefined || high === undefined) return undefined;
  const isText = /[a-zA-Z]/.test(low);
  if (isText !== /[a-zA-Z]/.test(high)) return undefined;
  const number = (it: string) => isText ? it.charCodeAt(0) : Number(it);
  const [from, to] = [number(low), number(high)];
  const step = Math.abs(Number(by)) || 1;
  const isPadded = [low, high].some((it) => /^-?0\d/.test(it));
  const width = isPadded ? Math.max(low.length, high.length) : 0;
  const count = Math.floor(Math.abs(to - from) / step) + 1;
  // One more than may be, so that it is refused.
  return Array.from({ length: Math.min(count, MAX_PATTERNS + 1) }, (_, i) => {
    const value = from + Math.sign(to - from) * step * i;
    if (isText) return String.fromCharCode(value);
    const digits = String(Math.abs(value));
    const sign = value < 0 ? "-" : "";
    return sign + digits.padStart(width - sign.length, "0");
  });
}
