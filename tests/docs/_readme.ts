/** What the README holds: its examples, its links, its tables. */

import { fileURLToPath } from "node:url";

/** The folder of the project. */
export const root: URL = new URL("../../", import.meta.url);

/** The README, as it is. */
export const readme: string = await Deno.readTextFile(
  new URL("README.md", root),
);

/** An example of the README. */
export interface Example {
  /** The heading that it is under, with its number there: `Files 2`. */
  readonly name: string;
  /** The program. */
  readonly source: string;
  /** `ts` or `js`. */
  readonly language: string;
}

/** Every program in the README, in its order. */
export function examples(): Example[] {
  const found: Example[] = [];
  const counts = new Map<string, number>();
  let heading = "";
  const pattern = /^#{1,6} (.+)$|^```(\w+)\n([^]*?)^```$/gm;
  for (const [, title, language, source] of readme.matchAll(pattern)) {
    if (title !== undefined) heading = title;
    if (language !== "ts" && language !== "js") continue;
    const count = (counts.get(heading) ?? 0) + 1;
    counts.set(heading, count);
    found.push({ name: `${heading} ${count}`, source: source!, language });
  }
  return found;
}

/** Where the links of the README lead to. */
export function links(): string[] {
  return [...readme.matchAll(/\]\(([^)\s]+)\)/g)].map(([, to]) => to!);
}

/** The anchors of its headings, as GitHub, npm and JSR make them. */
export function anchors(): Set<string> {
  const prose = readme.replaceAll(/^```[^]*?^```$/gm, "");
  const titles = prose.matchAll(/^#{1,6} (.+)$/gm);
  return new Set(
    Array.from(
      titles,
      ([, title]) =>
        `#${
          title!.toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-")
        }`,
    ),
  );
}

/** The cells of the rows of the table whose first column has this title. */
export function table(firstColumn: string): string[][] {
  const tables = readme.match(/(^\|.*\|\n)+/gm) ?? [];
  for (const text of tables) {
    const [head, , ...rows] = text.trim().split("\n").map(cells);
    if (head?.[0] === firstColumn) return rows;
  }
  throw new Error(`The README has no table of ${firstColumn}`);
}

function cells(line: string): string[] {
  return line.slice(1, -1).split("|").map((cell) => cell.trim());
}

/** A file of the project, as a path. */
export function pathOf(name: string): string {
  return fileURLToPath(new URL(name, root));
}
