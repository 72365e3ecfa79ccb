/**
 * The wildcards of `Include`: `*`, `?` and `[a-z]`, in every part of a path.
 *
 * @module
 */

import { readdir, stat } from "node:fs/promises";
import { NamePattern } from "../names/name_pattern.ts";

const MAGIC = /[*?[\\]/;

/** Called with every path that the result depends on. */
export type Watch = (path: string) => void;

/**
 * Finds the files that a pattern names, in order.
 *
 * @param pattern An absolute path with wildcards.
 * @param watch Called with the directories that were read, and plain paths.
 * @returns The paths of the files.
 */
export async function expandGlob(
  pattern: string,
  watch: Watch,
): Promise<string[]> {
  let found = [""];
  const parts = pattern.split("/").filter((p) => p !== "");
  for (const part of parts) {
    found = MAGIC.test(part)
      ? (await Promise.all(found.map((dir) => children(dir, part, watch))))
        .flat()
      : found.map((dir) => `${dir}/${part}`);
  }
  if (!MAGIC.test(pattern)) {
    watch(found[0]!);
    return await exists(found[0]!) ? found : [];
  }
  // The last parts may be plain, as in "*/config".
  const there = await Promise.all(found.map(exists));
  return found.filter((_, index) => there[index]).sort(byCode);
}

function byCode(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function children(
  dir: string,
  part: string,
  watch: Watch,
): Promise<string[]> {
  const path = dir === "" ? "/" : dir;
  watch(path);
  const names = await readdir(path).catch((error) => {
    if (isAbsent(error)) return [];
    throw error;
  });
  const pattern = new NamePattern(part, { dot: false, groups: false });
  return names
    .filter((name) => pattern.matches(name))
    .map((name) => `${dir}/${name}`);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Returns whether an error says that there is no such file. */
export function isAbsent(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "ENOENT" || code === "ENOTDIR";
}
