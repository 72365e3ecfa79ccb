/**
 * Files, cut: each verb that changes something does it in a folder of its own,
 * where a change shows.
 *
 * @module
 */

import { join } from "node:path";
import type { Sftp } from "../../../mod.ts";
import { pieces, readAll } from "./_commands.ts";
import { type Cell, must, type Verb } from "./_kit.ts";
import {
  ENTRIES,
  entryName,
  isPayload,
  makeTree,
  partFor,
  PAYLOAD,
  TREE,
  TREE_ENTRIES,
} from "./_site.ts";

/** What an atomic write replaces. */
const OLD = "the old content\n";

/** The file that a cell makes on the host. */
const out = ({ remote }: Cell) => join(remote, "out");

/** The paths below a folder, and the sizes of files, in order. */
export async function listing(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    found.push(`${name} ${(await Deno.lstat(path)).size}`);
    if (!isDirectory) continue;
    found.push(...(await listing(path)).map((it) => `${name}/${it}`));
  }
  return found.toSorted();
}

/** A verb that does something with an SFTP session. */
function files(
  name: string,
  use: (sftp: Sftp, cell: Cell) => Promise<void>,
  more: Partial<Verb> = {},
): Verb {
  return {
    name,
    async run(cell) {
      await using sftp = await cell.pool.sftp(cell.host);
      await use(sftp, cell);
    },
    ...more,
  };
}

/** Whether there is anything in the folder of the cell. */
async function hasAnything({ remote }: Cell): Promise<boolean> {
  return (await listing(remote)).length > 0;
}

async function mustHavePayload(path: string): Promise<void> {
  const bytes = await Deno.readFile(path);
  must(isPayload(bytes), `${bytes.length} bytes were written`);
}

function mustBePayload(bytes: Uint8Array): void {
  must(isPayload(bytes), `${bytes.length} of ${PAYLOAD.length} bytes`);
}

const reads: Verb[] = [
  files("sftp", async (sftp) => {
    must((await sftp.realPath("/usr/..")) === "/", "a wrong path");
  }),
  files("sftp readFile", async (sftp, { site }) => {
    mustBePayload(await sftp.readFile(site.payload));
  }),
  files("sftp readable", async (sftp, { site }) => {
    await using file = await sftp.open(site.payload);
    mustBePayload(await readAll(file.readable));
  }),
  files("sftp readDir", async (sftp, { site }) => {
    const names = new Set<string>();
    for await (const { name } of sftp.readDir(site.entries)) names.add(name);
    must(names.size === ENTRIES, `${names.size} of ${ENTRIES} entries`);
    must(names.has(entryName(ENTRIES - 1)), "other entries");
  }),
];

const changes: Verb[] = [
  files("sftp writeFile", async (sftp, cell) => {
    await sftp.writeFile(out(cell), PAYLOAD);
    await mustHavePayload(out(cell));
  }, { hasRun: hasAnything }),
  files("sftp writeFile, atomic", async (sftp, cell) => {
    await sftp.writeFile(out(cell), PAYLOAD, { atomic: true });
    await mustHavePayload(out(cell));
  }, {
    async prepare(cell) {
      await Deno.writeTextFile(out(cell), OLD);
      await Deno.chmod(out(cell), 0o666);
    },
    async hasRun({ remote }) {
      return (await listing(remote)).join() !== `out ${OLD.length}`;
    },
    async faults(cell) {
      const bytes = await Deno.readFile(out(cell));
      const isWhole = isPayload(bytes) ||
        new TextDecoder().decode(bytes) === OLD;
      return isWhole ? [] : [`half a file: ${bytes.length} bytes`];
    },
  }),
  files("sftp writable", async (sftp, cell) => {
    const file = await sftp.open(out(cell), { write: true, create: true });
    await ReadableStream.from(pieces()).pipeTo(file.writable);
    await mustHavePayload(out(cell));
  }, { hasRun: hasAnything }),
  files("sftp mkdir, recursive", async (sftp, cell) => {
    await sftp.mkdir(join(cell.remote, "a/b/c/d"), { recursive: true });
    const found = await listing(cell.remote);
    must(found.length === 4, `folders ${found}`);
  }, { hasRun: hasAnything }),
  files("sftp remove, recursive", async (sftp, cell) => {
    await sftp.remove(join(cell.remote, "tree"), { recursive: true });
    must(!await hasAnything(cell), "something is left");
  }, {
    prepare: ({ remote }) => makeTree(join(remote, "tree")),
    async hasRun({ remote }) {
      return (await listing(remote)).length !== TREE_ENTRIES;
    },
  }),
  files("sftp small changes", async (sftp, cell) => {
    const path = join(cell.remote, "link");
    await sftp.symlink("nowhere", path);
    must(await sftp.readLink(path) === "nowhere", "another link");
    await sftp.rename(path, join(cell.remote, "renamed"));
    const { isSymlink } = await sftp.lstat(join(cell.remote, "renamed"));
    must(isSymlink, "no link");
  }),
];

/** The files of a tree that have their name and not their content. */
export async function halfFiles(tree: string): Promise<string[]> {
  const faults: string[] = [];
  for (const name of TREE) {
    const bytes = await Deno.readFile(join(tree, name)).catch(() => undefined);
    const whole = partFor(name);
    if (bytes === undefined || bytes.join() === whole.join()) continue;
    faults.push(`half a file: ${name} has ${bytes.length} bytes`);
  }
  return faults;
}

/** The verbs of this file. */
export const fileVerbs: Verb[] = [...reads, ...changes];
