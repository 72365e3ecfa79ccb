/** What the README and the pages of the rooms hold: examples, links, tables. */

import { fileURLToPath } from "node:url";

/** The folder of the project. */
export const root: URL = new URL("../../", import.meta.url);

/** The pages, from the project's folder. */
export const PAGES: readonly string[] = [
  "README.md",
  "pool/README.md",
  "pool/RECIPES.md",
  "transport/README.md",
  "tests/README.md",
  "bench/README.md",
  ".github/CONTRIBUTING.md",
  ".github/SECURITY.md",
  "CHANGELOG.md",
];

/** The recipes that `recipes_test.ts` runs. */
export const RECIPES = [
  "An MCP server 1",
  "A rolling deploy 1",
  "A terminal in the browser 1",
  "A database driver 1",
  "A copy from host to host 1",
  "A password and a one-time code 1",
] as const;

/** A page, as it is. */
export function textOf(page: string): string {
  return Deno.readTextFileSync(new URL(page, root));
}

/** An example of a page. */
export interface Example {
  /** The heading that it is under, with its number there: `Files 2`. */
  readonly name: string;
  /** The program. */
  readonly source: string;
  /** `ts` or `js`. */
  readonly language: string;
}

/** Every program in the pages, in their order. */
export function examples(): Example[] {
  const found: Example[] = [];
  const counts = new Map<string, number>();
  let heading = "";
  const pattern = /^#{1,6} (.+)$|^```(\w+)\n([^]*?)^```$/gm;
  for (const text of PAGES.map(textOf)) {
    for (const [, title, language, source] of text.matchAll(pattern)) {
      if (title !== undefined) heading = title;
      if (language !== "ts" && language !== "js") continue;
      const count = (counts.get(heading) ?? 0) + 1;
      counts.set(heading, count);
      found.push({ name: `${heading} ${count}`, source: source!, language });
    }
  }
  return found;
}

/** A link of a page. */
export interface Link {
  /** The page that it stands in. */
  readonly from: string;
  /** The file that it leads to, from the project's folder; a whole URL as it is. */
  readonly to: string;
  /** The heading of that page, if it names one: `#files`. */
  readonly anchor: string;
}

/** Where the links of a page lead to. */
export function links(page: string): Link[] {
  return [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => {
    const { href, hash } = new URL(link!, new URL(page, root));
    const to = href.slice(0, href.length - hash.length);
    return { from: page, to: to.replace(root.href, ""), anchor: hash };
  });
}

/** The anchors of the headings of a page, as GitHub, npm and JSR make them. */
export function anchors(page: string): Set<string> {
  const prose = textOf(page).replaceAll(/^```[^]*?^```$/gm, "");
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

/**
 * The cells of the rows of the table of a page whose first column has this
 * title; of several, the one that has this first row.
 */
export function table(
  page: string,
  firstColumn: string,
  firstRow?: string,
): string[][] {
  const tables = textOf(page).match(/(^\|.*\|\n)+/gm) ?? [];
  for (const text of tables) {
    const [head, , ...rows] = text.trim().split("\n").map(cells);
    if (head?.[0] !== firstColumn) continue;
    if (firstRow === undefined || rows[0]?.[0]?.includes(firstRow)) return rows;
  }
  throw new Error(`${page} has no table of ${firstColumn}`);
}

function cells(line: string): string[] {
  return line.slice(1, -1).split("|").map((cell) => cell.trim());
}

/** A file of the project, as a path. */
export function pathOf(name: string): string {
  return fileURLToPath(new URL(name, root));
}
