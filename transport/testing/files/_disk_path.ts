/** Where a path of a client leads to in a folder on disk that it cannot leave. */

import { Buffer } from "node:buffer";
import { lstat, readlink } from "node:fs/promises";
import {
  decodeFileName,
  encodeFileName,
  isUnicodeFileName,
} from "../../sftp/names.ts";
import { FileError } from "../sftp_server/served_files.ts";
import type { LastLink } from "./_tree.ts";

const MAX_LINKS = 40;

/** A path, as the client and as the disk has it. */
export interface DiskPlace {
  /** From the root of the client; has no link in it, unless it is the last. */
  readonly path: string;
  /** For the functions of `node:fs`. */
  readonly native: string | Buffer;
}

/** A folder on disk that is the root of a client. */
export class DiskRoot {
  readonly #folder: string;

  /**
   * @param folder Its absolute path.
   */
  constructor(folder: string) {
    this.#folder = folder.replace(/\/+$/, "");
  }

  /**
   * Follows a path: `..` in the root leads to the root, and an absolute link
   * begins there. Each link is followed here, so that the system has none to
   * follow; who can change the folder meanwhile from elsewhere could still
   * lead it out.
   */
  async follow(path: string, last: LastLink): Promise<DiskPlace> {
    if (path === "") throw new FileError("ENOENT");
    const rest = split(path);
    let hasSlash = path.endsWith("/");
    const followsLast = last === "follow" || (last === "look" && hasSlash);
    let names: string[] = [];
    let links = 0;
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      if (name === ".") continue;
      if (name === "..") {
        names.pop();
        continue;
      }
      const isLast = rest.length === 0;
      names.push(name);
      if (isLast && !followsLast) break;
      const target = await this.#linkAt(names, !isLast);
      if (target === undefined) continue;
      if (++links > MAX_LINKS) throw new FileError("ELOOP");
      hasSlash ||= isLast && target.endsWith("/");
      names = target.startsWith("/") ? [] : names.slice(0, -1);
      rest.unshift(...split(target));
    }
    const end = hasSlash && names.length > 0 ? "/" : "";
    const found = `/${names.join("/")}`;
    return { path: found, native: this.#native(`${found}${end}`) };
  }

  /**
   * The path without links, as OpenSSH makes it: `.` and `..` are taken out
   * also behind what is no folder, and the last name need not be there.
   */
  async real(path: string): Promise<string> {
    const rest = split(path);
    let hasSlash = path.endsWith("/");
    let names: string[] = [];
    let links = 0;
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      if (name === ".") continue;
      if (name === "..") {
        names.pop();
        continue;
      }
      const isLast = rest.length === 0 && !hasSlash;
      names.push(name);
      const native = this.#native(`/${names.join("/")}`);
      const target = await this.#linkAt(names, false);
      if (target === undefined) {
        if (!isLast) await lstat(native);
        continue;
      }
      if (++links > MAX_LINKS) throw new FileError("ELOOP");
      if (isLast) hasSlash = target.endsWith("/");
      names = target.startsWith("/") ? [] : names.slice(0, -1);
      rest.unshift(...split(target));
    }
    return `/${names.join("/")}`;
  }

  /** A text as the functions of `node:fs` take it. */
  native(text: string): string | Buffer {
    if (isUnicodeFileName(text)) return text;
    // Deno would take another name.
    if ("Deno" in globalThis) throw new FileError("EINVAL");
    return Buffer.from(encodeFileName(text));
  }

  /** Where a link leads to; `undefined` if it is none. */
  async #linkAt(
    names: readonly string[],
    mustBeFolder: boolean,
  ): Promise<string | undefined> {
    const native = this.#native(`/${names.join("/")}`);
    try {
      const found = await lstat(native);
      if (found.isSymbolicLink()) {
        return decodeFileName(await readlink(native, { encoding: "buffer" }));
      }
      if (found.isDirectory() || !mustBeFolder) return undefined;
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code === "ENOENT" && !mustBeFolder) return undefined;
      throw error;
    }
    throw new FileError("ENOTDIR");
  }

  #native(path: string): string | Buffer {
    return this.native(`${this.#folder}${path}`);
  }
}

function split(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}
