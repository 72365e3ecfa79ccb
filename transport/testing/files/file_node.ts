/**
 * What has a path in the files of a {@linkcode MemoryFiles}.
 *
 * @module
 */

import { encodeFileName } from "../../sftp/names.ts";
import type { AttributeChanges } from "../../sftp/packets.ts";
import type { FileContent } from "./_content.ts";
import { FileError } from "./file_error.ts";

/** The attributes of a file; times are in seconds since 1970. */
export interface FileAttributes {
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
  /** Type and permissions, as `st_mode`. */
  readonly mode: number;
  readonly atime: number;
  readonly mtime: number;
}

/** The part of a mode that says which kind it is. */
export const TypeBits = {
  FILE: 0o100000,
  FOLDER: 0o040000,
  LINK: 0o120000,
} as const;

/** Takes the kind out of a mode. */
export function kindOf(mode: number): number {
  return mode & 0o170000;
}

/** Whose the files are, until a client says otherwise. */
const OWNER = 1000;
const FOLDER_BYTES = 4096;

/** What has a path: a folder, a file if it has content, or a link. */
export class FileNode {
  readonly content: FileContent | undefined;
  readonly link: string | undefined;
  mode: number;
  mtime: number;
  atime: number;
  uid = OWNER;
  gid = OWNER;

  constructor(
    of: { content?: FileContent; link?: string },
    mode: number,
    time: number,
  ) {
    this.content = of.content;
    this.link = of.link;
    this.mode = mode & 0o7777;
    this.mtime = this.atime = time;
  }

  get isFolder(): boolean {
    return this.content === undefined && this.link === undefined;
  }

  get attributes(): FileAttributes {
    const { content, link, uid, gid, mode, atime, mtime } = this;
    const [type, size] = content !== undefined
      ? [TypeBits.FILE, content.size]
      : link !== undefined
      ? [TypeBits.LINK, encodeFileName(link).length]
      : [TypeBits.FOLDER, FOLDER_BYTES];
    return { size, uid, gid, mode: type | mode, atime, mtime };
  }

  /** Changes attributes; `now` gives the time of a new size. */
  change(
    { size, owner, mode, times }: AttributeChanges,
    now: () => number,
  ): void {
    if (size !== undefined) {
      if (this.isFolder) throw new FileError("EISDIR");
      this.content?.resize(size);
      this.mtime = now();
    }
    if (mode !== undefined) {
      // Linux has no permissions of links.
      if (this.link !== undefined) throw new FileError("EIO");
      this.mode = mode & 0o7777;
    }
    if (owner !== undefined) ({ uid: this.uid, gid: this.gid } = owner);
    if (times !== undefined) {
      ({ atime: this.atime, mtime: this.mtime } = times);
    }
  }
}
