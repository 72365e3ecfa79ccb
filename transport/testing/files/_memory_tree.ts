/** The files of a {@linkcode MemoryFiles}: a map from paths to what has them. */

import { encodeFileName } from "../../sftp/names.ts";
import {
  type FileAttributes,
  type FileChanges,
  FileError,
  type OpenHow,
  type ServedEntry,
  type ServedFile,
  type ServedFiles,
  type ServedSpace,
} from "../sftp_server/served_files.ts";
import { FileContent } from "./_content.ts";
import { namelessError, type PathEnd, type TreePath, walk } from "./_walk.ts";

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

/** How a file is opened to be written anew. */
export const NEW_FILE: OpenHow = {
  read: false,
  write: true,
  append: false,
  create: true,
  truncate: true,
  exclusive: false,
  mode: 0o644,
};

/** When the clock begins, in seconds since 1970: in September of 2001. */
const FIRST_SECOND = 1_000_000_000;
/** Permissions that new files do not get. */
const UMASK = 0o022;
/** Whose the files are, until a client says otherwise. */
const OWNER = 1000;
const BLOCK_BYTES = 4096;
/** As much room as no test fills. */
const BLOCKS = 2 ** 28;

/** What has a path: a folder, a file if it has content, or a link. */
class Node {
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
      : [TypeBits.FOLDER, BLOCK_BYTES];
    return { size, uid, gid, mode: type | mode, atime, mtime };
  }
}

/** All that is there, by absolute path; only the root ends with `/`. */
export class MemoryTree implements ServedFiles {
  readonly #nodes = new Map<string, Node>();
  readonly #home: string;
  readonly #now: () => number;
  /** How many files are open, each as often as it is. */
  openFiles = 0;

  /**
   * @param home Where relative paths begin.
   * @param now The clock, in seconds; one second more at each call by default.
   */
  constructor(home: string, now?: () => number) {
    let seconds = FIRST_SECOND;
    this.#home = home;
    this.#now = () => Math.floor(now?.() ?? seconds++);
    this.#nodes.set("/", new Node({}, 0o755, this.#now()));
  }

  /** Returns all bytes of a file. */
  readAll(path: string): Uint8Array<ArrayBuffer> {
    const { content } = this.#find(path);
    if (content === undefined) throw new FileError("EISDIR");
    return content.read(0, content.size);
  }

  open(path: string, how: OpenHow): ServedFile {
    const isNew = how.create && (how.exclusive || path.endsWith("/"));
    const place = this.#follow(path, isNew ? "itself" : "follow");
    if (place.hasSlash && how.create) throw new FileError("EISDIR");
    let node = this.#nodes.get(place.path);
    if (node === undefined) {
      if (!how.create) throw new FileError("ENOENT");
      node = this.#add(
        place.path,
        { content: new FileContent() },
        how.mode & ~UMASK,
      );
    } else if (isNew) throw new FileError("EEXIST");
    const changes = how.write || how.truncate;
    if (!node.isFolder) {
      if (place.hasSlash) throw new FileError("ENOTDIR");
    } else if (changes || how.create) throw new FileError("EISDIR");
    if (how.truncate) this.#change(node, { size: 0 });
    return this.#opened(node, how);
  }

  /** It lives on when its path is taken away. */
  #opened(node: Node, how: OpenHow): ServedFile {
    const { content } = node;
    let isOpen = true;
    this.openFiles++;
    return {
      read: (offset, length) => {
        if (!how.read) throw new FileError("EBADF");
        if (content === undefined) throw new FileError("EISDIR");
        return content.read(offset, length);
      },
      write: (offset, data) => {
        if (!how.write || content === undefined) throw new FileError("EBADF");
        content.write(how.append ? content.size : offset, data);
        if (data.length > 0) node.mtime = this.#now();
      },
      stat: () => node.attributes,
      change: (changes) => {
        if (changes.size !== undefined && !how.write) {
          throw new FileError("EINVAL");
        }
        this.#change(node, changes);
      },
      sync: () => {},
      close: () => {
        if (isOpen) this.openFiles--;
        isOpen = false;
      },
    };
  }

  stat(path: string): FileAttributes {
    return this.#find(path).attributes;
  }

  lstat(path: string): FileAttributes {
    return this.#find(path, "look").attributes;
  }

  change(
    path: string,
    changes: FileChanges,
    { isLink = false }: { readonly isLink?: boolean } = {},
  ): void {
    this.#change(this.#find(path, isLink ? "look" : "follow"), changes);
  }

  #change(node: Node, { size, owner, mode, times }: FileChanges): void {
    if (size !== undefined) {
      if (node.isFolder) throw new FileError("EISDIR");
      node.content?.resize(size);
      node.mtime = this.#now();
    }
    if (mode !== undefined) {
      // Linux has no permissions of links.
      if (node.link !== undefined) throw new FileError("EIO");
      node.mode = mode & 0o7777;
    }
    if (owner !== undefined) ({ uid: node.uid, gid: node.gid } = owner);
    if (times !== undefined) {
      ({ atime: node.atime, mtime: node.mtime } = times);
    }
  }

  readDir(path: string): readonly ServedEntry[] {
    const folder = this.#folder(path);
    return [...this.#below(folder)]
      .map(([path, { attributes }]) => ({
        name: path.slice(inside(folder).length),
        attributes,
      }))
      .filter(({ name }) => !name.includes("/"));
  }

  makeDir(path: string, mode: number): void {
    this.#add(this.#free(path).path, {}, mode & ~UMASK);
  }

  removeDir(path: string): void {
    const error = namelessError(path);
    const place = this.#follow(path, "itself");
    const node = this.#at(place.path);
    if (error !== undefined) throw error;
    if (!node.isFolder) throw new FileError("ENOTDIR");
    this.#checkEmpty(place.path);
    this.#take(place.path);
  }

  remove(path: string): void {
    const place = this.#follow(path, "itself");
    const node = this.#at(place.path);
    if (node.isFolder) throw new FileError("EISDIR");
    if (place.hasSlash) throw new FileError("ENOTDIR");
    this.#take(place.path);
  }

  /** Removes what has a path, with all that is in it. */
  removeAll(path: string): void {
    const place = this.#follow(path, "itself");
    if (place.path === "/") throw new FileError("EBUSY");
    this.#at(place.path);
    for (const [below] of [...this.#below(place.path)]) {
      this.#nodes.delete(below);
    }
    this.#take(place.path);
  }

  /** Returns all paths below a folder, at any depth: folders end with `/`. */
  paths(folder: string): string[] {
    return [...this.#below(this.#folder(folder))]
      .map(([path, { isFolder }]) => isFolder ? `${path}/` : path);
  }

  rename(from: string, to: string): void {
    const source = this.#follow(from, "itself");
    const target = this.#follow(to, "itself");
    if (namelessError(from) ?? namelessError(to)) throw new FileError("EBUSY");
    const node = this.#at(source.path);
    if ((source.hasSlash || target.hasSlash) && !node.isFolder) {
      throw new FileError("ENOTDIR");
    }
    if (target.path === source.path) return;
    if (target.path.startsWith(inside(source.path))) {
      throw new FileError("EINVAL");
    }
    const replaced = this.#nodes.get(target.path);
    if (replaced !== undefined) {
      if (source.path.startsWith(inside(target.path))) {
        throw new FileError("ENOTEMPTY");
      }
      if (replaced.isFolder && !node.isFolder) throw new FileError("EISDIR");
      if (!replaced.isFolder && node.isFolder) throw new FileError("ENOTDIR");
      if (node.isFolder) this.#checkEmpty(target.path);
      this.#take(target.path);
    }
    const moved = node.isFolder ? [...this.#below(source.path)] : [];
    this.#take(source.path);
    this.#put(target.path, node);
    for (const [path, below] of moved) {
      this.#nodes.delete(path);
      this.#nodes.set(`${target.path}${path.slice(source.path.length)}`, below);
    }
  }

  symlink(target: string, path: string): void {
    if (target === "") throw new FileError("ENOENT");
    const place = this.#free(path);
    if (place.hasSlash) throw new FileError("ENOENT");
    this.#add(place.path, { link: target }, 0o777);
  }

  link(existing: string, path: string): void {
    const node = this.#find(existing, "look");
    const place = this.#free(path);
    if (node.isFolder) throw new FileError("EPERM");
    if (place.hasSlash) throw new FileError("ENOENT");
    this.#put(place.path, node);
  }

  readLink(path: string): string {
    const { link } = this.#find(path, "look");
    if (link === undefined) throw new FileError("EINVAL");
    return link;
  }

  realPath(path: string): string {
    return this.#follow(path, "real").path;
  }

  space(path: string): ServedSpace {
    this.#find(path);
    return {
      blockSize: BLOCK_BYTES,
      blocks: BLOCKS,
      freeBlocks: BLOCKS,
      availableBlocks: BLOCKS,
      files: BLOCKS,
      freeFiles: BLOCKS,
      isReadOnly: false,
    };
  }

  #follow(path: string, end: PathEnd): TreePath {
    if (path === "") throw new FileError("ENOENT");
    const whole = path.startsWith("/") ? path : `${this.#home}/${path}`;
    return walk(whole, end, (path) => this.#nodes.get(path));
  }

  #find(path: string, end: PathEnd = "follow"): Node {
    const place = this.#follow(path, end);
    const node = this.#at(place.path);
    if (place.hasSlash && !node.isFolder) throw new FileError("ENOTDIR");
    return node;
  }

  #at(path: string): Node {
    const node = this.#nodes.get(path);
    if (node === undefined) throw new FileError("ENOENT");
    return node;
  }

  #folder(path: string): string {
    const place = this.#follow(path, "follow");
    if (!this.#at(place.path).isFolder) throw new FileError("ENOTDIR");
    return place.path;
  }

  /** Returns a place where something new may be made. */
  #free(path: string): TreePath {
    const place = this.#follow(path, "itself");
    if (this.#nodes.has(place.path)) throw new FileError("EEXIST");
    return place;
  }

  *#below(folder: string): Generator<[string, Node]> {
    const prefix = inside(folder);
    for (const entry of this.#nodes) {
      if (entry[0].startsWith(prefix) && entry[0] !== "/") yield entry;
    }
  }

  #checkEmpty(path: string): void {
    for (const _ of this.#below(path)) throw new FileError("ENOTEMPTY");
  }

  #add(
    path: string,
    of: { content?: FileContent; link?: string },
    mode: number,
  ): Node {
    const node = new Node(of, mode, this.#now());
    this.#put(path, node);
    return node;
  }

  #put(path: string, node: Node): void {
    this.#nodes.set(path, node);
    this.#touchParent(path);
  }

  #take(path: string): void {
    this.#nodes.delete(path);
    this.#touchParent(path);
  }

  #touchParent(path: string): void {
    const parent = path.slice(0, path.lastIndexOf("/")) || "/";
    const node = this.#nodes.get(parent);
    if (node !== undefined) node.mtime = this.#now();
  }
}

/** Returns what the paths in a folder begin with. */
function inside(folder: string): string {
  return folder === "/" ? "/" : `${folder}/`;
}
