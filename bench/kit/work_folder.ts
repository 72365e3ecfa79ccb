/**
 * A folder for files that are copied, in memory where that is possible: a disk
 * would be what is measured.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { atEnd } from "./at_end.ts";

const parent = existsSync("/dev/shm") ? "/dev/shm" : undefined;

let made: string | undefined;

/**
 * Returns the folder of this bench file; it is removed when the file has run.
 */
export function workFolder(): string {
  if (made !== undefined) return made;
  const dir = Deno.makeTempDirSync({
    prefix: "sshpool-bench-",
    ...parent === undefined ? {} : { dir: parent },
  });
  // The user who logs in to sshd is another.
  Deno.chmodSync(dir, 0o777);
  atEnd(() => {
    if (existsSync(dir)) Deno.removeSync(dir, { recursive: true });
  });
  return made = dir;
}

/** Makes a file of random bytes, once, and gives its path. */
export async function randomFile(bytes: number): Promise<string> {
  const path = join(workFolder(), `random-${bytes}`);
  if (existsSync(path)) return path;
  await succeeds("sh", "-c", `head -c ${bytes} /dev/urandom > "${path}"`);
  await Deno.chmod(path, 0o644);
  return path;
}

/** Makes a tree of small files, once, and gives its path. */
export async function smallFiles(count: number): Promise<string> {
  const tree = join(workFolder(), `tree-${count}`);
  if (existsSync(tree)) return tree;
  const bytes = crypto.getRandomValues(new Uint8Array(8192));
  await Deno.mkdir(tree);
  for (let i = 0; i < count; i++) {
    const folder = join(tree, `folder-${Math.floor(i / 100)}`);
    if (i % 100 === 0) await Deno.mkdir(folder);
    const size = (i * 7919) % bytes.length;
    await Deno.writeFile(join(folder, `file-${i}`), bytes.subarray(0, size));
  }
  return tree;
}

/** Asserts that two files, or two trees, have the same content. */
export async function assertSame(a: string, b: string): Promise<void> {
  const isFolder = (await Deno.stat(a)).isDirectory;
  await (isFolder ? succeeds("diff", "-r", a, b) : succeeds("cmp", a, b));
}

async function succeeds(command: string, ...args: string[]): Promise<void> {
  const { code, stderr, stdout } = await new Deno.Command(command, { args })
    .output();
  const said = new TextDecoder().decode(stderr) +
    new TextDecoder().decode(stdout);
  assertEquals(code, 0, `${command}: ${said.slice(0, 500)}`);
}
