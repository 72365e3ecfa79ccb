/**
 * Transfers, cut: no file has its name before all of it is there, and on this
 * side nothing else is left.
 *
 * @module
 */

import { join } from "node:path";
import { type PoolTransferOptions, SshError } from "../../../mod.ts";
import { halfFiles, listing } from "./_files.ts";
import { type Cell, must, type Verb } from "./_kit.ts";
import { isPayload, PAYLOAD, TREE } from "./_site.ts";

/** A direction of copying. */
interface Way {
  readonly name: "upload" | "download";
  /** The folder that it copies into. */
  folder(cell: Cell): string;
}

const WAYS: Way[] = [
  { name: "upload", folder: ({ remote }) => remote },
  { name: "download", folder: ({ local }) => local },
];

async function copy(
  way: Way,
  cell: Cell,
  [from, to]: [string, string],
  options: PoolTransferOptions = {},
): Promise<number> {
  const { pool, host } = cell;
  const { files } = await pool[way.name](host, from, to, options);
  return files;
}

/** What is left beside the files, under names of this library. */
async function leftovers(folder: string): Promise<string[]> {
  return (await listing(folder)).filter((it) => it.includes(".sshpool-"))
    .map((it) => `it leaves ${it}`);
}

/** What is wrong with a file that should be whole, or not there. */
async function halfFile(path: string): Promise<string[]> {
  const bytes = await Deno.readFile(path).catch(() => undefined);
  if (bytes === undefined || isPayload(bytes)) return [];
  return [`half a file: ${bytes.length} of ${PAYLOAD.length} bytes`];
}

/** Whether there is anything new on the host. */
async function hasRun({ remote }: Cell): Promise<boolean> {
  return (await listing(remote)).length > 0;
}

function verbsOf(way: Way): Verb[] {
  const isHere = way.name === "download";
  const out = (cell: Cell) => join(way.folder(cell), "out");
  const left = async (cell: Cell) => isHere ? await leftovers(cell.local) : [];
  const resumes = { resume: true };
  return [{
    name: way.name,
    async run(cell) {
      const files = await copy(way, cell, [cell.site.payload, out(cell)]);
      const bytes = await Deno.readFile(out(cell));
      must(files === 1 && isPayload(bytes), `${bytes.length} bytes`);
    },
    ...isHere ? {} : { hasRun },
    faults: async (cell) => [...await halfFile(out(cell)), ...await left(cell)],
  }, {
    name: `${way.name} of a tree`,
    async run(cell) {
      const files = await copy(way, cell, [cell.site.tree, out(cell)]);
      const half = await halfFiles(out(cell));
      must(files === TREE.length && half.length === 0, `${files}, ${half}`);
      const link = await Deno.readLink(join(out(cell), "link"));
      must(link === "a", `a link to ${link}`);
    },
    ...isHere ? {} : { hasRun },
    faults: async (
      cell,
    ) => [...await halfFiles(out(cell)), ...await left(cell)],
  }, {
    name: `${way.name}, to be resumed`,
    async run(cell) {
      const { payload } = cell.site;
      await copy(way, cell, [payload, out(cell)], resumes);
      must(isPayload(await Deno.readFile(out(cell))), "another file");
    },
    async faults(cell, error) {
      const half = await halfFile(out(cell));
      const cannotHaveRun = error instanceof SshError && !error.mayHaveRun;
      if (cannotHaveRun && await hasRun(cell)) half.push("it has run");
      const { payload } = cell.site;
      await copy(way, cell, [payload, out(cell)], resumes);
      const bytes = await Deno.readFile(out(cell));
      if (!isPayload(bytes)) half.push(`resumed to ${bytes.length} bytes`);
      return [...half, ...await leftovers(way.folder(cell))];
    },
  }];
}

/** The verbs of this file. */
export const transferVerbs: Verb[] = WAYS.flatMap(verbsOf);
