/**
 * Reading shell text as far as quoting needs it: in which quotes a place is.
 *
 * @module
 */

/** Where in a command line a place is. */
export type ShellPlace =
  | "a word"
  | "double quotes"
  | "single quotes"
  | "$'...'"
  | "a comment"
  | "backticks"
  | "${...}"
  | "arithmetic"
  | "a here-document"
  | "a case in brackets"
  | "the character after a backslash"
  | "text behind \\\" or \\' in quotes";

/** What can be nested, and so has an end. */
type Frame =
  | "("
  | "(("
  | "( in (("
  | "double quotes"
  | "single quotes"
  | "$'...'"
  | "a comment"
  | "backticks"
  | "${...}";

/** What ends quotes. */
const QUOTE_OF = new Map<ShellPlace, string>([
  ["double quotes", '"'],
  ["single quotes", "'"],
  ["$'...'", "'"],
]);

/**
 * Follows the quotes of a command line, piece by piece. It knows POSIX,
 * `$'...'` and `((...))`. Where it cannot be sure, `place` says so, and no
 * value may stand there or later.
 */
export class ShellScan {
  readonly #frames: Frame[] = [];
  /** Delimiters of here-documents that begin at the next line. */
  readonly #pending: string[] = [];
  #document: string | undefined;
  #documentLine = "";
  #lost: ShellPlace | undefined;
  #last = "";
  /** Whether a `>&` waits for its word, or the word is being read. */
  #duplicates: "soon" | "now" | undefined;

  /** Where the next character is. */
  get place(): ShellPlace {
    if (this.#lost !== undefined) return this.#lost;
    if (this.#document !== undefined) return "a here-document";
    const frame = this.#frames.at(-1);
    if (frame === undefined || frame === "(") return "a word";
    return frame === "((" || frame === "( in ((" ? "arithmetic" : frame;
  }

  /** The last character; empty at the beginning, `x` for one that is quoted. */
  get last(): string {
    return this.#last;
  }

  /** Whether it belongs to the word after `>&`, which bash expands twice. */
  get isDuplicated(): boolean {
    return this.#duplicates !== undefined;
  }

  /** Reads a piece of text. */
  read(text: string): void {
    for (let i = 0; i < text.length && this.#lost === undefined;) {
      const length = this.#step(text, i);
      const end = text[i + length - 1]!;
      const isEscape = text[i] === "\\" && length === 2;
      // A backslash at the end of a line continues the line: it is nothing.
      if (length > 0 && !(isEscape && end === "\n")) {
        this.#last = isEscape ? "x" : end;
      }
      i += length;
    }
  }

  /** A value was put in: it is a part of a word. */
  readValue(): void {
    this.#last = "x";
    if (this.#duplicates === "soon") this.#duplicates = "now";
  }

  /** Reads what begins at `i`, and gives its length. */
  #step(text: string, i: number): number {
    if (this.#document !== undefined) return this.#inDocument(text, i);
    const c = text[i]!;
    switch (this.place) {
      case "single quotes": // where fish has escapes, too
      case "$'...'":
        return c === "\\" ? this.#escape(text, i) : this.#endAt("'", c);
      case "backticks":
        return c === "\\" ? this.#escape(text, i) : this.#endAt("`", c);
      case "a comment":
        // The end of the line is no part of it.
        if (c !== "\n") return 1;
        this.#frames.pop();
        return 0;
      default:
        return this.#expand(text, i, c);
    }
  }

  /** Where `$`, backticks and backslashes mean something. */
  #expand(text: string, i: number, c: string): number {
    if (c === "\\") return this.#escape(text, i);
    if (c === "`") return this.#begin("backticks", 1);
    // The number of the shell, and so no begin of `$(`.
    if (text.startsWith("$$", i)) return 2;
    if (text.startsWith("$((", i)) return this.#begin("((", 3);
    if (text.startsWith("$(", i)) return this.#begin("(", 2);
    if (text.startsWith("${", i)) return this.#begin("${...}", 2);
    switch (this.place) {
      case "double quotes":
        return this.#endAt('"', c);
      case "${...}":
        // Shells disagree on quotes in it.
        if (c === '"' || c === "'") this.#lost = "${...}";
        return this.#endAt("}", c);
      case "arithmetic":
        return this.#inArithmetic(text, i, c);
      default:
        return this.#inWords(text, i, c);
    }
  }

  #escape(text: string, i: number): number {
    if (i + 1 === text.length) {
      this.#lost = "the character after a backslash";
    } else if (text[i + 1] === QUOTE_OF.get(this.place)) {
      // Shells disagree on whether it ends the quotes.
      this.#lost = "text behind \\\" or \\' in quotes";
    }
    return 2;
  }

  #inArithmetic(text: string, i: number, c: string): number {
    // It may be no arithmetic after all, and then they are quotes.
    if (c === '"' || c === "'") this.#lost = "arithmetic";
    if (c === "(") return this.#begin("( in ((", 1);
    if (this.#frames.at(-1) === "( in ((") return this.#endAt(")", c);
    if (!text.startsWith("))", i)) return 1;
    this.#frames.pop();
    return 2;
  }

  #inWords(text: string, i: number, c: string): number {
    const isFirst = this.#last === "" || /[\s;|&()]/.test(this.#last);
    const follows = (token: string) => text.startsWith(token, i);
    this.#followDuplicate(c);
    if (follows("$'")) return this.#begin("$'...'", 2);
    if (c === "'") return this.#begin("single quotes", 1);
    if (c === '"') return this.#begin("double quotes", 1);
    if (c === "#" && isFirst) return this.#begin("a comment", 1);
    // Some shells begin a comment there, too.
    if (c === "#" && /[{}!<>]/.test(this.#last)) this.#lost = "a comment";
    if (follows("((") && isFirst) return this.#begin("((", 2);
    if (c === "(") return this.#begin("(", 1);
    if (c === ")" && this.#frames.at(-1) === "(") this.#frames.pop();
    if (
      isFirst && this.#frames.length > 0 && /^case\s/.test(text.slice(i, i + 5))
    ) {
      // The brackets of its patterns have no pair.
      this.#lost = "a case in brackets";
    }
    if (follows(">&") || follows("<&")) {
      this.#duplicates = "soon";
      return 2;
    }
    if (follows("<<<")) return 3;
    if (follows("<<")) return this.#beginDocument(text, i);
    if (c === "\n") this.#document = this.#pending.shift();
    return 1;
  }

  /** The word after `>&` begins at what is no space, and ends at a boundary. */
  #followDuplicate(c: string): void {
    if (this.#duplicates === "soon") {
      if (!/[ \t]/.test(c)) this.#duplicates = "now";
    } else if (/[\s;|&()<>]/.test(c)) {
      this.#duplicates = undefined;
    }
  }

  #begin(frame: Frame, length: number): number {
    this.#frames.push(frame);
    return length;
  }

  #endAt(end: string, c: string): number {
    if (c === end) this.#frames.pop();
    return 1;
  }

  #beginDocument(text: string, i: number): number {
    const rest = text.slice(i);
    const [all] = /^<<-?[ \t]*/.exec(rest)!;
    const [word = ""] = /^('[^'\n]*'|"[^"$`\\\n]*"|\\?[\w.+-]+)(?=[\s;|&()<>])/
      .exec(rest.slice(all.length)) ?? [];
    // One that is a value, or has one, has no end that can be known.
    if (word === "") this.#lost = "a here-document";
    this.#pending.push(word.replaceAll(/['"\\]/g, ""));
    return all.length + word.length;
  }

  #inDocument(text: string, i: number): number {
    const end = text.indexOf("\n", i);
    this.#documentLine += text.slice(i, end === -1 ? undefined : end);
    if (end === -1) return text.length - i;
    // It may go on in the next line.
    if (this.#documentLine.endsWith("\\")) this.#lost = "a here-document";
    if (this.#documentLine.replace(/^\t+/, "") === this.#document) {
      this.#document = this.#pending.shift();
    }
    this.#documentLine = "";
    return end - i + 1;
  }
}
