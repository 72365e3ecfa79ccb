/**
 * Reads the files of a configuration, and those that they include.
 *
 * @module
 */

import { stat } from "node:fs/promises";
import process from "node:process";
import { flagsFor, isForbidden } from "../host/forbidden.ts";
import { localUid } from "../host/local_user.ts";
import { readSmallFile } from "../host/read_file.ts";
import { errorAt, type SourceLine, SshConfigError } from "./errors.ts";
import { expandGlob, isAbsent } from "./_glob.ts";
import { type Include, type ParsedFile, parseFile } from "./_parser.ts";

/** A file to start from. */
export interface Root {
  readonly path: string;
  /** The user's: `~` may stand in its includes, which are below `~/.ssh`. */
  readonly user: boolean;
  /** It may be missing. */
  readonly optional: boolean;
  /** Refuse it if others than the user can write to it. */
  readonly checkMode: boolean;
}

/** What was read. */
export interface Loaded {
  /** The files to start from that are there, in order. */
  readonly roots: readonly ParsedFile[];
  /** Every path that the result depends on, and how it looked. */
  readonly watched: ReadonlyMap<string, string>;
}

// As OpenSSH.
const MAX_DEPTH = 16;
// OpenSSH has no such limit. With 16 levels that each include the next one many
// times, it runs for hours.
const MAX_FILES = 100_000;
const PARALLEL = 16;

interface Job extends Root {
  readonly include: SourceLine | undefined;
}

/** Reads the files. */
export async function loadFiles(
  roots: readonly Root[],
  home: () => string | undefined,
): Promise<Loaded> {
  const loader = new Loader(home);
  const files = await loader.load(roots);
  for (const file of files) checkDepth(file);
  return { roots: files, watched: loader.watched };
}

/** Returns how a path looks: anything else means that it changed. */
export async function signature(path: string): Promise<string> {
  try {
    const { mtimeMs, ctimeMs, size, ino } = await stat(path);
    return `${mtimeMs}:${ctimeMs}:${size}:${ino}`;
  } catch {
    return "absent";
  }
}

class Loader {
  readonly watched = new Map<string, string>();
  readonly #files = new Map<string, ParsedFile | undefined>();
  readonly #home: () => string | undefined;

  constructor(home: () => string | undefined) {
    this.#home = home;
  }

  // Level by level, and linked afterwards. So a file is read once however many
  // lines include it, and files that include each other do not wait for each
  // other.
  async load(roots: readonly Root[]): Promise<ParsedFile[]> {
    const links: [Include, string[]][] = [];
    let jobs: Job[] = roots.map((root) => ({ ...root, include: undefined }));
    while (jobs.length > 0) {
      const next = new Map<string, Job>();
      for (let at = 0; at < jobs.length; at += PARALLEL) {
        const batch = jobs.slice(at, at + PARALLEL);
        const read = await Promise.all(batch.map((job) => this.#read(job)));
        for (const [index, file] of read.entries()) {
          const job = batch[index]!;
          this.#files.set(keyOf(job.user, job.path), file);
          for (const include of file?.includes ?? []) {
            const paths = await this.#expand(include, job.user);
            links.push([include, paths.map((path) => keyOf(job.user, path))]);
            for (const path of paths) {
              const key = keyOf(job.user, path);
              if (this.#files.has(key)) continue;
              next.set(key, includedJob(path, job.user, include));
            }
          }
        }
      }
      jobs = [...next.values()];
      if (this.#files.size + jobs.length > MAX_FILES) {
        throw new SshConfigError(`more than ${MAX_FILES} files are included`);
      }
    }
    const present = (key: string) => this.#files.get(key);
    for (const [include, keys] of links) {
      include.files = keys.map(present).filter((f) => f !== undefined);
    }
    return roots.map((root) => present(keyOf(root.user, root.path)))
      .filter((file) => file !== undefined);
  }

  async #expand(include: Include, user: boolean): Promise<string[]> {
    const paths: string[] = [];
    const watch = (path: string) => this.watched.set(path, "");
    for (const pattern of include.patterns) {
      const anchored = this.#anchor(pattern, user, include);
      try {
        paths.push(...await expandGlob(anchored, watch));
      } catch (error) {
        throw unreadable(anchored, error, include);
      }
    }
    for (const path of this.watched.keys()) {
      if (this.watched.get(path) === "") {
        this.watched.set(path, await signature(path));
      }
    }
    return paths;
  }

  #anchor(pattern: string, user: boolean, place: SourceLine): string {
    if (pattern.startsWith("/")) return pattern;
    if (!user) {
      if (!pattern.startsWith("~")) return `/etc/ssh/${pattern}`;
      throw errorAt(place, "Include with ~ is for the user's files only");
    }
    const home = this.#home();
    if (home === undefined) {
      throw errorAt(place, "Include is relative to a home that is not known");
    }
    if (!pattern.startsWith("~")) return `${home}/.ssh/${pattern}`;
    if (/^~(?:\/|$)/.test(pattern)) return home + pattern.slice(1);
    throw errorAt(place, "Include cannot look into the home of another user");
  }

  async #read(job: Job): Promise<ParsedFile | undefined> {
    // Before reading, so that a change during the read is seen later.
    this.watched.set(job.path, await signature(job.path));
    const text = await readText(job);
    return text === undefined ? undefined : parseFile(text, job.path);
  }
}

function keyOf(user: boolean, path: string): string {
  return `${user ? "u" : "s"}${path}`;
}

function includedJob(path: string, user: boolean, include: SourceLine): Job {
  return { path, user, optional: true, checkMode: true, include };
}

/** The longest file, in bytes: parsing one stops everything meanwhile. */
const MAX_BYTES = 16 * 1024 * 1024;

async function readText(job: Job): Promise<string | undefined> {
  try {
    const { bytes } = await readSmallFile(
      job.path,
      MAX_BYTES,
      (stats) => {
        if (job.checkMode && !stats.isDirectory()) checkMode(job.path, stats);
      },
    );
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof SshConfigError) throw error;
    if (job.optional && isAbsent(error)) return undefined;
    // As OpenSSH has it, directories are empty.
    if ((error as { code?: unknown }).code === "EISDIR") return "";
    throw unreadable(job.path, error, job.include);
  }
}

function checkMode(
  path: string,
  info: { readonly mode: number; readonly uid: number },
): void {
  if (process.platform === "win32") return;
  const uid = localUid();
  const stranger = info.uid !== 0 && uid !== undefined && info.uid !== uid;
  if (!stranger && (info.mode & 0o022) === 0) return;
  throw new SshConfigError(
    stranger
      ? "cannot be trusted: it belongs to another user"
      : "cannot be trusted: others can write to it, remove that with chmod go-w",
    { file: path },
  );
}

function unreadable(
  path: string,
  cause: unknown,
  include: SourceLine | undefined,
): SshConfigError {
  const { code, message } = cause as Error & { code?: string };
  const why = isForbidden(cause)
    ? `grant ${flagsFor(cause, "read", path)}, or set config: false`
    : code ?? message;
  const text = `Cannot read ${path}: ${why}`;
  return include === undefined
    ? new SshConfigError(text, { cause, file: path })
    : errorAt(include, text, { cause });
}

/** Refuses includes that lead back to themselves, or are too deep. */
function checkDepth(root: ParsedFile): void {
  const depths = new Map<ParsedFile, number>();
  const visit = (file: ParsedFile, path: readonly ParsedFile[]): number => {
    const known = depths.get(file);
    if (known !== undefined) return known;
    let depth = 0;
    for (const include of file.includes) {
      for (const child of include.files) {
        if (child === file || path.includes(child)) {
          throw errorAt(include, `Include leads back to ${child.path}`);
        }
        depth = Math.max(depth, 1 + visit(child, [...path, file]));
      }
      if (depth > MAX_DEPTH || path.length > MAX_DEPTH) {
        throw errorAt(include, `Include goes deeper than ${MAX_DEPTH} levels`);
      }
    }
    depths.set(file, depth);
    return depth;
  };
  visit(root, []);
}
