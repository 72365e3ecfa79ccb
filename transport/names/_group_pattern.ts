import { elementAt } from "./_elements.ts";

/** How deep groups may be in groups. */
const MAX_DEPTH = 100;

/** How many steps a name may take for each pair of characters of both. */
const STEPS = 32;

/** How many steps may be saved up, which is about a second. */
const MAX_STEPS = 5_000_000;

/** The characters of a name. */
type Chars = ArrayLike<string>;

/** What a reader of a name may be at, between two characters of the pattern. */
interface State {
  /** Whether the character at a place leads on. */
  readonly takes?: (name: Chars, at: number) => boolean;
  /** The start of a group: what the text that leads on must not be. */
  readonly not?: State;
  /** Where it leads. */
  to?: State;
  /** What it is as well. */
  also?: readonly State[];
}

/** Makes what comes before a state. */
type Part = (next: State) => State;

/** The end of each group that says what must not be. */
const EXCLUDED: State = {};

/**
 * A pattern with groups such as `@(a|b)` in it. A name is read once, in all
 * states at the same time that its reader may be in.
 */
export class GroupPattern {
  readonly #start: State;
  readonly #end: State = {};
  readonly #length: number;
  /** How many steps may be made: `!(...)` can need many for each character. */
  #steps = MAX_STEPS;

  /**
   * Reads a pattern.
   *
   * @param dot Whether wildcards stand for a dot at the start of a name too.
   */
  constructor(chars: readonly string[], dot: boolean) {
    this.#length = chars.length;
    this.#start = new Reader(chars, dot).read(this.#end);
  }

  /**
   * Whether it stands for a name.
   *
   * @throws {RangeError} If it would take too long to know.
   */
  matches(name: Chars): boolean {
    const more = STEPS * this.#length * name.length;
    const run = new Run(name, Math.min(this.#steps + more, MAX_STEPS));
    const ends = run.ends(this.#start, 0, this.#end);
    this.#steps = run.steps;
    return ends.has(name.length);
  }
}

/** What is to be done at places that are still to come. */
type Later = Map<number, Set<State>>;

/** The reading of one name. */
class Run {
  /** How many steps may still be made. */
  steps: number;
  readonly #name: Chars;
  /** Where a group ends, by its start and the place where it begins. */
  readonly #known = new Map<State, Map<number, ReadonlySet<number>>>();

  constructor(name: Chars, steps: number) {
    this.#name = name;
    this.steps = steps;
  }

  /** At which places a state is reached from another one. */
  ends(start: State, from: number, end: State): ReadonlySet<number> {
    const ends = new Set<number>();
    const later: Later = new Map();
    let next = [start];
    for (let at = from; at <= this.#name.length; at++) {
      const states = this.#all([...next, ...later.get(at) ?? []], at, later);
      later.delete(at);
      if (states.has(end)) ends.add(at);
      next = [];
      if (at === this.#name.length) break;
      for (const { takes, to, not } of states) {
        if (not === undefined && takes?.(this.#name, at)) next.push(to!);
      }
      if (next.length === 0 && later.size === 0) break;
    }
    return ends;
  }

  /** All that a reader is at as well. */
  #all(open: State[], at: number, later: Later): ReadonlySet<State> {
    const all = new Set<State>();
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      if (all.has(state)) continue;
      this.#count();
      all.add(state);
      if (state.also !== undefined) open.push(...state.also);
      if (state.not !== undefined && this.#pass(state, at, later)) {
        open.push(state.to!);
      }
    }
    return all;
  }

  /**
   * Leads on to each place up to which there is nothing that must not be.
   *
   * @returns Whether it leads on at once.
   */
  #pass({ not, to, takes }: State, at: number, later: Later): boolean {
    const known = getOrSet(this.#known, not!, () => new Map());
    const ends = getOrSet(known, at, () => this.ends(not!, at, EXCLUDED));
    for (let next = at; next < this.#name.length; next++) {
      if (!takes!(this.#name, next)) break;
      this.#count();
      if (ends.has(next + 1)) continue;
      getOrSet(later, next + 1, () => new Set<State>()).add(to!);
    }
    return !ends.has(at);
  }

  #count(): void {
    if (--this.steps >= 0) return;
    throw new RangeError(
      `Cannot match a name of ${this.#name.length} characters with a pattern ` +
        'that has "!(" in it: it would take too long',
    );
  }
}

function getOrSet<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, value = make());
  return value;
}

class Reader {
  readonly #chars: readonly string[];
  readonly #dot: boolean;
  /** Where the `)` of each `(` is. */
  readonly #closed = new Map<number, number>();

  constructor(chars: readonly string[], dot: boolean) {
    this.#chars = chars;
    this.#dot = dot;
    const open: number[] = [];
    for (let at = 0; at < chars.length;) {
      if (chars[at] === "(") {
        // Text, unless it is in a group.
        const isGroup = open.length > 0 ||
          "?*+@!".includes(chars[at - 1] ?? " ");
        if (isGroup) open.push(at);
      } else if (chars[at] === ")" && open.length > MAX_DEPTH) {
        throw new RangeError(
          `Cannot read a pattern with ${open.length} groups in each other: ` +
            `at most ${MAX_DEPTH} are allowed`,
        );
      } else if (chars[at] === ")" && open.length > 0) {
        this.#closed.set(open.pop()!, at);
      }
      at = elementAt(chars, at, chars.length).end;
    }
  }

  /** Makes the state that the pattern begins with. */
  read(end: State): State {
    return this.#sequence(0, this.#chars.length, true)(end);
  }

  /** @param isFirst Whether a name begins with it, which may be a dot. */
  #sequence(from: number, to: number, isFirst: boolean): Part {
    const parts: Part[] = [];
    for (let at = from; at < to;) {
      const isAhead = isFirst && at === from;
      const end = "?*+@!".includes(this.#chars[at]!)
        ? this.#closed.get(at + 1)
        : undefined;
      if (end !== undefined) {
        parts.push(this.#group(at, end, isAhead));
        at = end + 1;
      } else {
        const { element, end } = elementAt(this.#chars, at, to);
        parts.push(
          typeof element !== "string"
            ? this.#wildcard(element)
            : element === "?"
            ? this.#wildcard(() => true)
            : element === "*"
            ? this.#any()
            : this.#text(element, isAhead),
        );
        at = end;
      }
    }
    return (next) => parts.reduceRight((next, part) => part(next), next);
  }

  #any(): Part {
    const takes = this.#wild(() => true);
    return (next) => {
      const state: State = { takes, also: [next] };
      return state.to = state;
    };
  }

  #wildcard(has: (char: string) => boolean): Part {
    const takes = this.#wild(has);
    return (to) => ({ takes, to });
  }

  #text(text: string, isAhead: boolean): Part {
    const isMeant = isAhead || this.#dot || text !== ".";
    const takes = (name: Chars, at: number) =>
      name[at] === text && (isMeant || at > 0);
    return (to) => ({ takes, to });
  }

  /** What a wildcard takes: no dot at the start of a name, unless that is meant. */
  #wild(has: (char: string) => boolean): NonNullable<State["takes"]> {
    return (name, at) =>
      (this.#dot || at > 0 || name[0] !== ".") && has(name[at]!);
  }

  #group(at: number, end: number, isAhead: boolean): Part {
    const kind = this.#chars[at]!;
    const choice = this.#choice(at + 2, end, isAhead);
    if (kind === "@") return choice;
    if (kind === "?") return (next) => ({ also: [next, choice(next)] });
    if (kind === "!") {
      const takes = this.#wild(() => true);
      return (to) => ({ not: choice(EXCLUDED), takes, to });
    }
    return (next) => {
      const again: State = {};
      const first = choice(again);
      again.also = [next, first];
      return kind === "*" ? again : first;
    };
  }

  /** What is between bars. */
  #choice(from: number, to: number, isAhead: boolean): Part {
    const parts: Part[] = [];
    let start = from;
    for (let at = from; at < to;) {
      const end = this.#closed.get(at);
      if (this.#chars[at] === "|") {
        parts.push(this.#sequence(start, at, isAhead));
        start = at + 1;
      }
      at = end === undefined ? elementAt(this.#chars, at, to).end : end + 1;
    }
    parts.push(this.#sequence(start, to, isAhead));
    return (next) => ({ also: parts.map((part) => part(next)) });
  }
}
