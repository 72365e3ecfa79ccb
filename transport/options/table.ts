/**
 * The engine that checks options: one table for each object of options says
 * which there are and what each may hold.
 *
 * @module
 */

import { didYouMean } from "./nearest.ts";
import { showType, showValue } from "./show_value.ts";

const MAX_NAME_LENGTH = 64;

/** Names an option in messages, and throws the error for a bad value. */
export class Field {
  /**
   * @param doing What cannot be done then, such as `run the command`.
   * @param name The name of the option; empty for the options themselves.
   * @param isSecret Whether messages show the type of the value alone.
   */
  constructor(
    readonly doing: string,
    readonly name = "",
    readonly isSecret = false,
  ) {}

  /** Returns the field of an object in this one. */
  member(name: string): Field {
    if (this.name === "") return new Field(this.doing, name, this.isSecret);
    const plain = /^\w{1,64}$/.test(name);
    const tail = plain
      ? `.${name}`
      : `[${JSON.stringify(name.slice(0, MAX_NAME_LENGTH))}]`;
    return new Field(this.doing, this.name + tail, this.isSecret);
  }

  /** Returns the item of an array in this one. */
  item(index: number): Field {
    return new Field(this.doing, `${this.name}[${index}]`, this.isSecret);
  }

  /** The same field, whose value is never shown. */
  hidden(): Field {
    return this.isSecret ? this : new Field(this.doing, this.name, true);
  }

  /** Throws the error of a value that is not allowed, and shows it unless it is a secret. */
  reject(value: unknown, allowed: string): never {
    return this.wrong(this.#show(value), allowed);
  }

  /** Throws the error of a number that is out of range. */
  rejectRange(value: unknown, allowed: string): never {
    return this.outOfRange(this.#show(value), allowed);
  }

  /** Throws the error of a value that is not allowed, described in words. */
  wrong(found: string, allowed: string): never {
    throw new TypeError(this.#message(found, allowed));
  }

  /** Throws the error of a value that is out of range, described in words. */
  outOfRange(found: string, allowed: string): never {
    throw new RangeError(this.#message(found, allowed));
  }

  #show(value: unknown): string {
    if (!this.isSecret) return showValue(value);
    return value === "" ? "an empty string" : showType(value);
  }

  #message(found: string, allowed: string): string {
    return `Cannot ${this.doing}: ${this.name} is ${found}, must be ${allowed}`;
  }
}

/** Checks one value, and gives what is kept of it. */
export type Rule = (value: unknown, at: Field) => unknown;

/** A rule for each option of a type. */
export type Rules<Options extends object = Record<string, unknown>> = {
  readonly [Name in keyof Required<Options>]: Rule;
};

/** What a table says about names that it does not have. */
export interface TableAdvice {
  /**
   * What an entry is called in messages.
   *
   * @default {"option"}
   */
  readonly noun?: string;
  /** Names that people write instead, in lower case without `-` and `_`. */
  readonly synonyms?: Readonly<Record<string, string>>;
  /** Says where a name belongs that is none of this table. */
  readonly elsewhere?: (name: string) => string | undefined;
}

interface Entry {
  readonly rule: Rule;
  /** Where the option stands if the options are no part of others. */
  readonly at: Field;
}

const NONE = Object.freeze({});

/**
 * The options of one call, and what each may hold. Each option is read once,
 * so that what was checked is what is used. What is `undefined` counts as left
 * out.
 */
export class OptionTable<Options extends object> {
  readonly #at: Field;
  readonly #entries = new Map<string, Entry>();
  readonly #rules: Rules<Options>;
  readonly #advice: TableAdvice;

  /**
   * @param doing What cannot be done with bad options, such as `run the command`.
   * @param rules The options that there are.
   * @param advice What unknown names are told.
   */
  constructor(
    readonly doing: string,
    rules: Rules<Options>,
    advice: TableAdvice = {},
  ) {
    this.#at = new Field(doing);
    this.#rules = rules;
    this.#advice = advice;
    for (const [name, rule] of Object.entries<Rule>(rules)) {
      this.#entries.set(name, { rule, at: this.#at.member(name) });
    }
  }

  /** The names of the options. */
  get names(): string[] {
    return [...this.#entries.keys()];
  }

  /**
   * Makes a table that has these options and more.
   *
   * @param doing What cannot be done with bad options.
   * @param rules The further options.
   */
  with<More extends object>(
    doing: string,
    rules: Rules<More>,
  ): OptionTable<Options & More> {
    const all = { ...this.#rules, ...rules } as Rules<Options & More>;
    return new OptionTable(doing, all, this.#advice);
  }

  /**
   * Checks options.
   *
   * @param options What the caller gave.
   * @param at Where they stand, if they are part of others.
   * @param allowed What may stand there.
   * @returns A frozen copy without what is `undefined`.
   * @throws {TypeError} If they are no options, or one is unknown or of the wrong type.
   * @throws {RangeError} If a number is out of range.
   */
  check(options: unknown, at?: Field, allowed?: string): Readonly<Options> {
    if (options === undefined && at === undefined) {
      return NONE as Readonly<Options>;
    }
    const copy: Record<string, unknown> = {};
    this.read(options, (name, value) => copy[name] = value, at, allowed);
    return Object.freeze(copy) as Readonly<Options>;
  }

  /**
   * Checks options, and gives each one that is not `undefined`.
   *
   * @param options What the caller gave.
   * @param keep Takes the name, and what its rule keeps of the value.
   * @param at Where they stand, if they are part of others.
   * @param allowed What may stand there.
   * @throws {TypeError | RangeError} As {@linkcode OptionTable.check}.
   */
  read(
    options: unknown,
    keep: (name: string, value: unknown) => void,
    at: Field = this.#at,
    allowed = "an object",
  ): void {
    if (
      typeof options !== "object" || options === null || Array.isArray(options)
    ) {
      // The type alone: a caller may put a password itself here.
      return (at.name === "" ? at.member("options") : at)
        .wrong(showType(options), allowed);
    }
    const given = options as Record<string, unknown>;
    const names = Object.keys(given);
    const unknown = names.find((name) => !this.#entries.has(name));
    if (unknown !== undefined) throw this.#unknownName(unknown, at);
    // An object of a class may have its options from the class.
    for (const name of isPlain(given) ? names : this.#entries.keys()) {
      const value = given[name];
      if (value === undefined) continue;
      const entry = this.#entries.get(name)!;
      keep(
        name,
        entry.rule(value, at === this.#at ? entry.at : at.member(name)),
      );
    }
  }

  /**
   * Returns a rule for options that are an option of others.
   *
   * @param allowed What may stand there. Default: an object.
   */
  asRule(allowed?: string): Rule {
    return (value, at) => this.check(value, at, allowed);
  }

  #unknownName(name: string, at: Field): TypeError {
    const { noun = "option" } = this.#advice;
    const shown = JSON.stringify(
      at.member(name.slice(0, MAX_NAME_LENGTH)).name,
    );
    return new TypeError(
      `Cannot ${at.doing}: there is no ${noun} ${shown}${this.#hint(name)}`,
    );
  }

  #hint(name: string): string {
    const { elsewhere, synonyms = NONE as Record<string, string> } =
      this.#advice;
    const place = elsewhere?.(name);
    if (place !== undefined) return `: ${place}`;
    const plain = name.toLowerCase().replaceAll(/[_-]/g, "");
    const meant = Object.hasOwn(synonyms, plain) ? synonyms[plain]! : "";
    if (this.#entries.has(meant.split(".")[0]!)) {
      return `, did you mean ${JSON.stringify(meant)}?`;
    }
    const { names } = this;
    return didYouMean(name, names) || `, allowed are ${names.join(", ")}`;
  }
}

/** Whether something is no instance of a class. */
export function isPlain(options: object): boolean {
  const prototype = Object.getPrototypeOf(options);
  return prototype === Object.prototype || prototype === null;
}
