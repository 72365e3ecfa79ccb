// Either direction of a copy, against OpenSSH's sftp-server on this machine.

import { download } from "../../../../transport/sftp/transfer/download.ts";
import { upload } from "../../../../transport/sftp/transfer/upload.ts";
import {
  noServer,
  type ServerOptions,
  startServer,
  type TestServer,
} from "../_server.ts";

export interface Site {
  readonly copy: typeof upload;
  readonly verb: "upload" | "download";
  readonly server: TestServer;
  /** The folder of the test. */
  readonly dir: string;
  /** A path in it, of which there is nothing yet. */
  readonly source: string;
  /** The same. */
  readonly target: string;
}

/** Tests both directions. */
export function testCopies(
  name: string,
  fn: (site: Site) => Promise<void>,
  { ignore = false, ...options }: ServerOptions & { ignore?: boolean } = {},
): void {
  for (const verb of ["upload", "download"] as const) {
    testCopy(verb, name, fn, { ignore, ...options });
  }
}

/** Tests one direction. */
export function testCopy(
  verb: "upload" | "download",
  name: string,
  fn: (site: Site) => Promise<void>,
  { ignore = false, ...options }: ServerOptions & { ignore?: boolean } = {},
): void {
  Deno.test({
    name: `${verb}() ${name}`,
    ignore: noServer || ignore,
    async fn() {
      await using server = await startServer(options);
      const { dir } = server;
      const copy = verb === "upload" ? upload : download as typeof upload;
      const [source, target] = [`${dir}/source`, `${dir}/target`];
      await fn({ copy, verb, server, dir, source, target });
    },
  });
}

/** The names in a folder, in order. */
export async function names(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name)
    .toSorted();
}

/** Permissions of a file. */
export async function modeOf(path: string): Promise<number> {
  return (await Deno.lstat(path)).mode! & 0o7777;
}

/** Writes files with their folders. */
export async function write(
  root: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  await Deno.mkdir(root, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    await Deno.mkdir(`${root}/${folder}`, { recursive: true });
    await Deno.writeTextFile(`${root}/${path}`, text);
  }
}

/** Bytes that differ from each other. */
export function content(length: number, seed = 1): Uint8Array {
  return new Uint8Array(length)
    .map((_, index) => index * 31 * seed + (index >> 8));
}

/** The permissions that new files do not get. */
export function umask(): number {
  const probe = Deno.makeTempDirSync();
  Deno.mkdirSync(`${probe}/d`, { mode: 0o777 });
  const { mode } = Deno.statSync(`${probe}/d`);
  Deno.removeSync(probe, { recursive: true });
  return ~mode! & 0o777;
}
