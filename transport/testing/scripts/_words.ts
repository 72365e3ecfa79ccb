/** The words of a command line, as a POSIX shell splits it. */

const WORD = /(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+/gs;

/** Splits a command line, without expansions. */
export function words(line: string): string[] {
  if (!/['"\\]/.test(line)) return line.split(/\s+/).filter((w) => w !== "");
  return [...line.matchAll(WORD)].map(([word]) => unquote(word));
}

/** The name of the command. */
export function firstWord(line: string): string {
  return words(line)[0] ?? "";
}

/** Whether a shell would do more with a line than split it. */
export function needsShell(line: string): boolean {
  const unquoted = line.replace(
    /'[^']*'|\\.|"((?:\\.|[^"\\$`])*)"/gs,
    "",
  );
  return /[;&|<>()$`\n*?[\]{}~#"']/.test(unquoted);
}

function unquote(word: string): string {
  return word.replace(
    /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/gs,
    (_all, single?: string, double?: string, escaped?: string) =>
      single ?? double?.replace(/\\(["\\$`])/g, "$1") ?? escaped ?? "",
  );
}
