/** What the names of a memory file system stand for. */

import type {
  FileAttributes,
  FileChanges,
} from "../sftp_server/served_files.ts";
import { Content } from "./_content.ts";

/** The part of a mode that says which kind it is. */
export const TypeBits = {
  FILE: 0o100000,
  FOLDER: 0o040000,
  LINK: 0o120000,
} as const;

/** Who owns a node, and what is allowed. */
interface NodeParts {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In seconds since 1970. */
  readonly time: number;
}

abstract class BaseNode {
  /** Permissions, without the kind. */
  mode: number;
  uid: number;
  gid: number;
  /** In seconds since 1970. */
  atime: number;
  /** In seconds since 1970. */
  mtime: number;
  /** How many names it has. */
  links = 1;
  protected abstract readonly typeBits: number;
  abstract readonly size: number;

  constructor({ mode, uid, gid, time }: NodeParts) {
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    this.atime = this.mtime = time;
  }

  get attributes(): FileAttributes {
    const { size, uid, gid, mode, atime, mtime, links, typeBits } = this;
    return { size, uid, gid, mode: typeBits | mode, atime, mtime, links };
  }

  /** Changes all but the size. */
  assign({ owner, mode, times }: FileChanges): void {
    if (owner !== undefined) [this.uid, this.gid] = [owner.uid, owner.gid];
    if (mode !== undefined) this.mode = mode & 0o7777;
    if (times !== undefined) {
      [this.atime, this.mtime] = [times.atime, times.mtime];
    }
  }
}

/** A regular file. */
export class FileNode extends BaseNode {
  readonly content: Content = new Content();
  protected override readonly typeBits = TypeBits.FILE;

  override get size(): number {
    return this.content.size;
  }
}

/** A folder. */
export class FolderNode extends BaseNode {
  /** What is in it, in the order in which it came there. */
  readonly entries: Map<string, Node> = new Map();
  /** Where `..` leads to; itself for the root. */
  parent: FolderNode;
  protected override readonly typeBits = TypeBits.FOLDER;

  constructor(parts: NodeParts, parent?: FolderNode) {
    super(parts);
    this.parent = parent ?? this;
    this.links = 2;
  }

  /** As most file systems have it: one block. */
  override get size(): number {
    return 4096;
  }
}

/** A symbolic link. */
export class LinkNode extends BaseNode {
  readonly target: string;
  override readonly size: number;
  protected override readonly typeBits = TypeBits.LINK;

  constructor(parts: NodeParts, target: string, size: number) {
    super(parts);
    this.target = target;
    this.size = size;
  }
}

/** Whatever a name can stand for. */
export type Node = FileNode | FolderNode | LinkNode;
