import { CHARACTERS_PER_ENTRY, MAX_DEPTH, MAX_PATH } from "./_entries.ts";
import { type FilterFunction, filterOf, Glob } from "./_patterns.ts";
import { quotedPath, SftpError } from "./errors.ts";
import type { SftpDirEntry, SftpWalkEntry } from "./file.ts";
import type { SftpGlobOptions, SftpWalkOptions } from "./options.ts";
import type { Sftp } from "./sftp.ts";

/** A server could have no end of them. */
const MAX_ENTRIES = 250_000;

/** What a walk needs of a session. */
type Reader = Pick<Sftp, "lstat" | "readDir" | "realPath">;

/** What a walk takes and where it goes. */
interface Route {
  /** What the caller has named, for errors. */
  readonly name: string;
  takes(below: string, entry: SftpDirEntry): boolean;
  enters(
    below: string,
    entry: SftpDirEntry,
    folder: Folder,
  ): Promise<Folder | undefined>;
  /** Whether a folder is passed over that cannot be read, and why. */
  passes(error: SftpError): boolean;
}

interface Folder {
  readonly path: string;
  /** The path below the top with a slash at its end; empty for the top. */
  readonly below: string;
  readonly depth: number;
  /** Where it really is, if links are followed. */
  readonly real: Real | undefined;
}

/** Where a folder really is, and those above it, which all in a folder share. */
interface Real {
  readonly path: string;
  readonly above: Real | undefined;
}

/**
 * Walks through a tree: the entries of a folder, and then its folders. One of
 * them is open at a time, and closed when the reader stops.
 */
async function* walkRoute(
  sftp: Reader,
  top: Folder,
  route: Route,
  { maxDepth = Infinity, maxEntries = MAX_ENTRIES, signal }: SftpWalkOptions,
): AsyncGenerator<SftpWalkEntry, void, undefined> {
  const folders: Folder[] = maxDepth > 0 ? [top] : [];
  const maxWaiting = CHARACTERS_PER_ENTRY * Math.max(maxEntries, MAX_ENTRIES);
  let entries = 0;
  let waiting = 0;
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    if (folder.depth > MAX_DEPTH) {
      throw refused(
        route.name,
        `it has more than ${MAX_DEPTH} folders in each other`,
      );
    }
    const next: Folder[] = [];
    const { path, below, depth, real } = folder;
    waiting -= below.length;
    try {
      for await (const entry of sftp.readDir(path || ".", { signal })) {
        if (++entries > maxEntries) {
          const why =
            `it has more than ${maxEntries} entries, which maxEntries allows`;
          throw refused(route.name, why);
        }
        const at = joined(path, entry.name);
        const name = below + entry.name;
        if (name.length > MAX_PATH) {
          const why =
            `it has a path of ${name.length} characters, allowed are ${MAX_PATH}`;
          throw refused(route.name, why);
        }
        if (route.takes(name, entry)) yield { ...entry, path: at };
        if (depth + 1 >= maxDepth) continue;
        const inner = await route.enters(name, entry, {
          path: at,
          below: `${name}/`,
          depth: depth + 1,
          real,
        });
        if (inner === undefined) continue;
        next.push(inner);
        waiting += inner.below.length;
        if (waiting > maxWaiting) {
          const why =
            `the paths of folders yet to be read have more than ${maxWaiting} characters`;
          throw refused(route.name, why);
        }
      }
    } catch (error) {
      const isPassed = error instanceof SftpError && depth > 0 &&
        route.passes(error);
      if (!isPassed) throw error;
    }
    folders.push(...next.reverse());
  }
}

function joined(folder: string, name: string): string {
  return folder === "" || folder.endsWith("/")
    ? folder + name
    : `${folder}/${name}`;
}

function refused(path: string, why: string): SftpError {
  return new SftpError(
    "SSH_SFTP_TRANSFER_REFUSED",
    `Cannot walk through ${quotedPath(path)}: ${why}`,
    { path },
  );
}

/** Walks through all of a folder; see `Sftp.walk()`. */
export async function* walkTree(
  sftp: Reader,
  path: string,
  options: SftpWalkOptions,
): AsyncGenerator<SftpWalkEntry, void, undefined> {
  const { followSymlinks = false, signal } = options;
  const filter = filterOf(options.filter);
  const real = followSymlinks
    ? { path: await sftp.realPath(path, { signal }), above: undefined }
    : undefined;
  const top = { path, below: "", depth: 0, real };
  yield* walkRoute(sftp, top, {
    name: path,
    takes: (below, entry) => isWanted(filter, below, entry),
    async enters(below, entry, folder) {
      if (!isWanted(filter, below, entry)) return undefined;
      if (!followSymlinks) return entry.isDirectory ? folder : undefined;
      return await followed(sftp, entry, folder, signal);
    },
    passes: ({ code }) =>
      followSymlinks &&
      (code === "SSH_SFTP_NOT_A_DIRECTORY" || code === "SSH_SFTP_NOT_FOUND"),
  }, options);
}

function isWanted(
  filter: FilterFunction | undefined,
  below: string,
  { isDirectory }: SftpDirEntry,
): boolean {
  return filter === undefined || filter(isDirectory ? `${below}/` : below);
}

/** A folder, or a link to one that is none of those above it. */
async function followed(
  sftp: Reader,
  { isDirectory, isSymlink, name }: SftpDirEntry,
  folder: Folder,
  signal: AbortSignal | undefined,
): Promise<Folder | undefined> {
  const above = folder.real!;
  if (isDirectory) {
    return { ...folder, real: { path: joined(above.path, name), above } };
  }
  if (!isSymlink) return undefined;
  try {
    const path = await sftp.realPath(folder.path, { signal });
    for (let at: Real | undefined = above; at; at = at.above) {
      if (at.path === path) return undefined;
    }
    return { ...folder, real: { path, above } };
  } catch (error) {
    const leadsNowhere = error instanceof SftpError &&
      error.status !== undefined;
    if (leadsNowhere) return undefined;
    throw error;
  }
}

/** Finds what a pattern stands for; see `Sftp.glob()`. */
export async function* findMatches(
  sftp: Reader,
  pattern: string,
  options: SftpGlobOptions,
): AsyncGenerator<SftpWalkEntry, void, undefined> {
  const { dot = false, signal } = options;
  const found = Glob.of(pattern, dot);
  if (found === undefined) return yield* single(sftp, pattern, options);
  const top = { path: found.base, below: "", depth: 0, real: undefined };
  yield* walkRoute(sftp, top, {
    name: pattern,
    takes: (below, { isDirectory }) => found.matches(below, isDirectory),
    enters(below, { isDirectory, isSymlink }, folder) {
      const may = found.mayHave(below);
      // A link is followed only where the pattern names it, so not in a circle.
      const isIn = (isDirectory && may !== "no") ||
        (isSymlink && may === "named");
      return Promise.resolve(isIn ? folder : undefined);
    },
    // As a shell does.
    passes: ({ code }) =>
      code === "SSH_SFTP_NOT_A_DIRECTORY" || code === "SSH_SFTP_NOT_FOUND" ||
      code === "SSH_SFTP_PERMISSION_DENIED",
  }, { ...options, signal });
}

/** The entry that a pattern without special characters names, if it is there. */
async function* single(
  sftp: Reader,
  pattern: string,
  { signal }: SftpGlobOptions,
): AsyncGenerator<SftpWalkEntry, void, undefined> {
  const path = pattern.replace(/\\(.)/g, "$1");
  try {
    const info = await sftp.lstat(path, { signal });
    const { isFile, isDirectory, isSymlink } = info;
    const name = path.replace(/\/+$/, "").split("/").at(-1)!;
    yield { path, name, isFile, isDirectory, isSymlink, nlink: null, info };
  } catch (error) {
    if (error instanceof SftpError && error.code === "SSH_SFTP_NOT_FOUND") {
      return;
    }
    throw error;
  }
}
