import type { PatternElement } from "../host/pattern.ts";

/** An element of a pattern, and where it ends. */
export interface ElementRead {
  readonly element: PatternElement;
  readonly end: number;
}

/**
 * Reads what begins at a place: a wildcard, a class, or a character.
 *
 * @param chars The pattern.
 * @param to Where it ends.
 */
export function elementAt(
  chars: readonly string[],
  at: number,
  to: number,
): ElementRead {
  const char = chars[at]!;
  if (char === "[") {
    const read = classAt(chars, at + 1, to);
    if (read !== undefined) return read;
  }
  if (char !== "\\" || at + 1 >= to) return { element: char, end: at + 1 };
  const literal = chars[at + 1]!;
  // As text these would be wildcards.
  const isWild = literal === "*" || literal === "?";
  return {
    element: isWild ? (char) => char === literal : literal,
    end: at + 2,
  };
}

/** The classes of POSIX, in ASCII. */
const CLASSES: ReadonlyMap<string, RegExp> = new Map([
  ["alnum", /[a-zA-Z0-9]/],
  ["alpha", /[a-zA-Z]/],
  ["blank", /[ \t]/],
  // deno-lint-ignore no-control-regex -- it is what is asked for
  ["cntrl", /[\0-\x1f\x7f]/],
  ["digit", /[0-9]/],
  ["graph", /[!-~]/],
  ["lower", /[a-z]/],
  ["print", /[ -~]/],
  ["punct", /[!-/:-@[-`{-~]/],
  ["space", /[ \t-\r]/],
  ["upper", /[A-Z]/],
  ["xdigit", /[a-fA-F0-9]/],
]);

/** Reads a class whose `[` is before a place; `undefined` if it has no end. */
function classAt(
  chars: readonly string[],
  at: number,
  to: number,
): ElementRead | undefined {
  if (!chars.includes("]", at + 1)) return undefined;
  const isNegated = chars[at] === "!" || chars[at] === "^";
  if (isNegated) at++;
  const tests: ((char: string) => boolean)[] = [];
  for (let isFirst = true; at < to; isFirst = false) {
    if (chars[at] === "]" && !isFirst) {
      return {
        element: (char) => isNegated !== tests.some((it) => it(char)),
        end: at + 1,
      };
    }
    const name = chars[at] === "[" && chars[at + 1] === ":"
      ? /^\[:([a-z]+):\]/.exec(chars.slice(at, at + 10).join(""))
      : null;
    if (name !== null) {
      const known = CLASSES.get(name[1]!);
      tests.push((char) => known !== undefined && known.test(char));
      at += name[0].length;
      continue;
    }
    const low = memberAt(chars, at, to);
    const isRange = chars[low.end] === "-" && low.end + 1 < to &&
      chars[low.end + 1] !== "]";
    const high = isRange ? memberAt(chars, low.end + 1, to) : low;
    tests.push((char) => {
      const code = char.codePointAt(0)!;
      return low.code <= code && code <= high.code;
    });
    at = high.end;
  }
  return undefined;
}

/** One character of a class. */
function memberAt(
  chars: readonly string[],
  at: number,
  to: number,
): { readonly code: number; readonly end: number } {
  const start = chars[at] === "\\" && at + 1 < to ? at + 1 : at;
  return { code: chars[start]!.codePointAt(0)!, end: start + 1 };
}
