/**
 * Awkward copies, and how each tool of OpenSSH and rsync does them.
 *
 * @module
 */

import { join } from "node:path";
import type { PoolTransferOptions } from "../../mod.ts";
import { run } from "./_tools.ts";

/** Where one tool does one case: a folder of its own. */
export interface Place {
  /** The source: `from` on the side that is read. */
  readonly from: string;
  /** The target. */
  readonly to: string;
  /** The home of the user on the server. */
  readonly home: string;
}

/** One row of the table. */
export interface Case {
  readonly name: string;
  /** In which directions; both by default. */
  readonly only?: "up" | "down";
  /** A file, or a folder that goes into the folder `to`. */
  readonly isTree?: boolean;
  /** What the target is called on the command line, if it is not the path. */
  readonly target?: (place: Place) => string;
  /** Options of ours, and those of rsync that mean the same. */
  readonly options?: PoolTransferOptions;
  readonly rsync?: readonly string[];
  /** Whether the files of the target stay those of root. */
  readonly isOfRoot?: boolean;
  /** Makes source and target. */
  make(place: Place): Promise<void>;
  /** What is there afterwards, in few words. */
  look(place: Place): Promise<string>;
}

const write = async (path: string, text: string, mode = 0o644) => {
  await Deno.writeTextFile(path, text);
  await Deno.chmod(path, mode);
};
const read = (path: string) => Deno.readTextFile(path).catch(() => undefined);
const stat = (path: string) => Deno.lstat(path).catch(() => undefined);
const modeOf = async (path: string) =>
  (((await stat(path))?.mode ?? 0) & 0o7777).toString(8);
const OLD_S = 1_000_000_000;

/** Makes the folder of a tree, and that in which it is to be. */
async function makeTree({ from, to }: Place): Promise<void> {
  await Deno.mkdir(from);
  await write(join(from, "a"), "a");
  await Deno.mkdir(to, { recursive: true });
  await Deno.chmod(to, 0o777);
}

/** What has become of the rest of a tree when one entry is awkward. */
async function others(tree: string, path: string): Promise<string> {
  const rest = await read(join(tree, "a")) === "a"
    ? "the others are copied"
    : "nothing is copied";
  return await stat(path) === undefined ? rest : "copied";
}

const inTree = ({ from, to }: Place, name = "") =>
  join(to, from.split("/").at(-1)!, name);

/** All of them, in the order of the table. */
export const CASES: readonly Case[] = [
  {
    name: "the target is a link to a file",
    async make({ from, to }) {
      await write(from, "new");
      await write(`${to}-file`, "old", 0o666);
      await Deno.symlink(`${to}-file`, to);
    },
    async look({ to }) {
      if (!(await stat(to))?.isSymlink) return "the link is replaced";
      return await read(`${to}-file`) === "new" ? "followed" : "nothing";
    },
  },
  {
    name: "the target is a device",
    async make({ from, to }) {
      await write(from, "new");
      await run("mknod", ["-m", "666", to, "c", "1", "3"]);
    },
    look: async ({ to }) =>
      (await stat(to))?.isCharDevice ? "written to" : "replaced by a file",
  },
  {
    name: "the file may be written, its folder may not",
    only: "up",
    isOfRoot: true,
    async make({ from, to }) {
      await write(from, "new");
      await Deno.mkdir(join(to, ".."), { recursive: true });
      await write(to, "old", 0o666);
      await Deno.chmod(join(to, ".."), 0o755);
    },
    look: async ({ to }) => await read(to) === "new" ? "in place" : "nothing",
  },
  {
    name: "the folder above the target is missing",
    make: ({ from }) => write(from, "new"),
    target: ({ to }) => join(to, "file"),
    look: async ({ to }) =>
      await read(join(to, "file")) === undefined ? "nothing" : "made",
  },
  {
    name: "the same, with `parents` or `--mkpath`",
    options: { parents: true },
    rsync: ["--mkpath"],
    make: ({ from }) => write(from, "new"),
    target: ({ to }) => join(to, "file"),
    look: async ({ to }) =>
      await read(join(to, "file")) === undefined ? "nothing" : "made",
  },
  {
    name: "`~/file` as the target",
    only: "up",
    make: ({ from }) => write(from, "new"),
    target: ({ to }) => `~/${to.split("/").at(-1)}`,
    async look({ to, home }) {
      const path = join(home, to.split("/").at(-1)!);
      const isHome = await read(path) === "new";
      await Deno.remove(path).catch(() => {});
      return isHome ? "home" : "elsewhere";
    },
  },
  {
    name: "the target is a folder",
    async make({ from, to }) {
      await write(from, "new");
      await Deno.mkdir(to);
      await Deno.chmod(to, 0o777);
    },
    look: async ({ from, to }) =>
      await read(join(to, from.split("/").at(-1)!)) === undefined
        ? "nothing"
        : "into it",
  },
  {
    name: "the target is a folder that ends in `/`",
    async make({ from, to }) {
      await write(from, "new");
      await Deno.mkdir(to);
      await Deno.chmod(to, 0o777);
    },
    target: ({ to }) => `${to}/`,
    look: async ({ from, to }) =>
      await read(join(to, from.split("/").at(-1)!)) === undefined
        ? "nothing"
        : "into it",
  },
  {
    name: "the target has two names (hard link)",
    async make({ from, to }) {
      await write(from, "new");
      await write(to, "old", 0o666);
      await Deno.link(to, `${to}-2`);
    },
    look: async ({ to }) =>
      await read(`${to}-2`) === "new" ? "both are new" : "the other is old",
  },
  {
    name: "the mode of a file that is replaced",
    async make({ from, to }) {
      await write(from, "new", 0o644);
      await write(to, "old", 0o666);
    },
    look: async ({ to }) =>
      await modeOf(to) === "666" ? "kept" : "that of the source",
  },
  {
    name: "the mode of a folder that was there",
    isTree: true,
    async make(place) {
      await makeTree(place);
      await Deno.chmod(place.from, 0o755);
      await Deno.mkdir(inTree(place));
      await Deno.chmod(inTree(place), 0o1777);
    },
    look: async (place) =>
      await modeOf(inTree(place)) === "1777" ? "kept" : "that of the source",
  },
  {
    name: "the time of a new file",
    async make({ from }) {
      await write(from, "new");
      await Deno.utime(from, OLD_S, OLD_S);
    },
    look: async ({ to }) =>
      (await stat(to))?.mtime?.getTime() === OLD_S * 1000 ? "kept" : "now",
  },
  {
    name: "a time beyond 2106",
    async make({ from }) {
      await write(from, "new");
      await run("touch", ["-d", "2200-01-01T00:00:00Z", from]);
    },
    async look({ to }) {
      const year = (await stat(to))?.mtime?.getUTCFullYear();
      return year === undefined
        ? "nothing"
        : year === 2200
        ? "kept"
        : year === 2106
        ? "the last one that there is"
        : year < 2106 && year !== new Date().getUTCFullYear()
        ? `${year}`
        : "now";
    },
  },
  {
    name: "an empty folder in a tree",
    isTree: true,
    async make(place) {
      await makeTree(place);
      await Deno.mkdir(join(place.from, "empty"));
    },
    look: async (place) =>
      (await stat(inTree(place, "empty")))?.isDirectory ? "made" : "left out",
  },
  {
    name: "a link in a tree",
    isTree: true,
    async make(place) {
      await makeTree(place);
      await Deno.symlink("a", join(place.from, "link"));
    },
    async look(place) {
      const link = await stat(inTree(place, "link"));
      if (link === undefined) return "left out";
      return link.isSymlink ? "the same link" : "a file";
    },
  },
  {
    name: "a pipe in a tree",
    isTree: true,
    async make(place) {
      await makeTree(place);
      await run("mkfifo", [join(place.from, "fifo")]);
    },
    look: (place) => others(inTree(place), inTree(place, "fifo")),
  },
  {
    name: "a name that is not UTF-8",
    isTree: true,
    async make(place) {
      await makeTree(place);
      await run("sh", ["-c", 'printf x >"$0/$(printf "\\351")"', place.from]);
    },
    async look(place) {
      const found = await run("sh", ["-c", 'ls "$0" | wc -l', inTree(place)]);
      const rest = await read(inTree(place, "a")) === "a"
        ? "the others are copied"
        : "nothing is copied";
      return found.stdout.trim() === "2" ? "copied" : rest;
    },
  },
  {
    name: 'an unreadable file in a tree, with `onError: "continue"`',
    only: "down",
    isTree: true,
    options: { onError: "continue" },
    async make(place) {
      await makeTree(place);
      await write(join(place.from, "secret"), "x", 0o600);
    },
    look: (place) => others(inTree(place), inTree(place, "secret")),
  },
  {
    name: "an unreadable folder in a tree, with the same",
    only: "down",
    isTree: true,
    options: { onError: "continue" },
    async make(place) {
      await makeTree(place);
      await Deno.mkdir(join(place.from, "secret"), { mode: 0o700 });
    },
    look: (place) => others(inTree(place), inTree(place, "secret/none")),
  },
  {
    name: "a file of the same size and time, with `changedOnly`",
    isTree: true,
    options: { changedOnly: true },
    async make(place) {
      await makeTree(place);
      await Deno.utime(join(place.from, "a"), OLD_S, OLD_S);
      await Deno.mkdir(inTree(place));
      await Deno.chmod(inTree(place), 0o777);
      await write(inTree(place, "a"), "b", 0o666);
      await Deno.utime(inTree(place, "a"), OLD_S, OLD_S);
    },
    look: async (place) =>
      await read(inTree(place, "a")) === "b" ? "left alone" : "copied again",
  },
  {
    name: "what the source has not, with `delete` or `--delete`",
    isTree: true,
    options: { delete: true },
    rsync: ["--delete"],
    async make(place) {
      await makeTree(place);
      await Deno.mkdir(inTree(place));
      await Deno.chmod(inTree(place), 0o777);
      await write(inTree(place, "old"), "b", 0o666);
    },
    look: async (place) =>
      await stat(inTree(place, "old")) === undefined ? "removed" : "kept",
  },
];
