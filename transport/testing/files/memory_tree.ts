/**
 * The files of a {@linkcode MemoryFiles}: a map from paths to what has them.
 *
 * @module
 */

import { type AttributeChanges, OpenFlag } from "../../sftp/packets.ts";
import { FileContent } from "./_content.ts";
import { FileError } from "./file_error.ts";
import { type FileAttributes, FileNode } from "./file_node.ts";

/** An open file. It lives on when its path is taken away. */
export interface ServedFile {
  /** Reads; an empty array is the end of the file. */
  read(offset: number, length: number): Uint8Array;
  /** Writes all of it; does not keep the data. */
  write(offset: number, data: Uint8Array): void;
  stat(): FileAttributes;
  change(changes: AttributeChanges): void;
  close(): void;
}

/** When the clock begins, in seconds since 1970: in September of 2001. */
const FIRST_SECOND = 1_000_000_000;
/** Permissions that new files do not get. */
const UMASK = 0o022;
/** As many links as Linux follows in one path. */
const MAX_LINKS = 40;

/**
 * All that is there, by absolute path. Relative paths begin in the home, and
 * empty names and `.` in a path mean nothing. What cannot be done throws a
 * {@linkcode FileError}.
 */
export class MemoryTree {
  readonly #nodes = new Map<string, FileNode>();
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
    this.#nodes.set("/", new FileNode({}, 0o755, this.#now()));
  }

  /** Returns all bytes of a file. */
  readAll(path: string): Uint8Array<ArrayBuffer> {
    const { content } = this.#find(path);
    if (content === undefined) throw new FileError("EISDIR");
    return content.read(0, content.size);
  }

  /**
   * Opens a file.
   *
   * @param flags As in SFTP.
   * @param mode Permissions of a new file, before the umask.
   */
  open(path: string, flags: number, mode: number): ServedFile {
    const creates = (flags & OpenFlag.CREATE) !== 0;
    const isNew = creates && (flags & OpenFlag.EXCLUSIVE) !== 0;
    const place = this.realPath(path, !isNew);
    let node = this.#nodes.get(place);
    if (node === undefined) {
      if (!creates) throw new FileError("ENOENT");
      node = this.#add(place, { content: new FileContent() }, mode & ~UMASK);
    } else if (isNew) throw new FileError("EEXIST");
    const changes = flags & (OpenFlag.WRITE | OpenFlag.TRUNCATE);
    if (node.isFolder && (changes !== 0 || creates)) {
      throw new FileError("EISDIR");
    }
    if (flags & OpenFlag.TRUNCATE) node.change({ size: 0 }, this.#now);
    return this.#opened(node, flags);
  }

  #opened(node: FileNode, flags: number): ServedFile {
    const { content } = node;
    const writes = (flags & OpenFlag.WRITE) !== 0;
    const reads = !writes || (flags & OpenFlag.READ) !== 0;
    let isOpen = true;
    this.openFiles++;
    return {
      read: (offset, length) => {
        if (!reads) throw new FileError("EBADF");
        if (content === undefined) throw new FileError("EISDIR");
        return content.read(offset, length);
      },
      write: (offset, data) => {
        if (!writes || content === undefined) throw new FileError("EBADF");
        content.write(flags & OpenFlag.APPEND ? content.size : offset, data);
        if (data.length > 0) node.mtime = this.#now();
      },
      stat: () => node.attributes,
      change: (changes) => {
        if (changes.size !== undefined && !writes) {
          throw new FileError("EINVAL");
        }
        node.change(changes, this.#now);
      },
      close: () => {
        if (isOpen) this.openFiles--;
        isOpen = false;
      },
    };
  }

  /** Returns attributes, also those of a link at the end of the path. */
  stat(path: string, toTheEnd = true): FileAttributes {
    return this.#find(path, toTheEnd).attributes;
  }

  /** Returns whether something has a path, be it a link that leads nowhere. */
  exists(path: string, toTheEnd = false): boolean {
    try {
      this.#find(path, toTheEnd);
      return true;
    } catch {
      return false;
    }
  }

  /** Changes attributes; `isLink` says of the link itself. */
  change(path: string, changes: AttributeChanges, isLink = false): void {
    this.#find(path, !isLink).change(changes, this.#now);
  }

  /** Returns all entries of a folder, without `.` and `..`. */
  readDir(path: string): { name: string; attributes: FileAttributes }[] {
    const folder = this.#folder(path);
    return [...this.#below(folder)]
      .map(([path, { attributes }]) => ({
        name: path.slice(inside(folder).length),
        attributes,
      }))
      .filter(({ name }) => !name.includes("/"));
  }

  makeDir(path: string, mode: number): void {
    this.#add(this.#free(path), {}, mode & ~UMASK);
  }

  removeDir(path: string): void {
    const place = this.realPath(path, false);
    if (!this.#at(place).isFolder) throw new FileError("ENOTDIR");
    this.#checkEmpty(place);
    this.#take(place);
  }

  remove(path: string): void {
    const place = this.realPath(path, false);
    if (this.#at(place).isFolder) throw new FileError("EISDIR");
    this.#take(place);
  }

  /** Removes what has a path, with all that is in it. */
  removeAll(path: string): void {
    const place = this.realPath(path, false);
    this.#at(place);
    this.#take(place);
    for (const [below] of [...this.#below(place)]) this.#nodes.delete(below);
  }

  /** Returns all paths below a folder, at any depth: folders end with `/`. */
  paths(folder: string): string[] {
    return [...this.#below(this.#folder(folder))]
      .map(([path, { isFolder }]) => isFolder ? `${path}/` : path);
  }

  /** Renames, in place of what has the new name already. */
  rename(from: string, to: string): void {
    const source = this.realPath(from, false);
    const target = this.realPath(to, false);
    const node = this.#at(source);
    if (target === source) return;
    if (target.startsWith(inside(source))) throw new FileError("EINVAL");
    const replaced = this.#nodes.get(target);
    if (replaced !== undefined) {
      if (source.startsWith(inside(target))) throw new FileError("ENOTEMPTY");
      if (replaced.isFolder && !node.isFolder) throw new FileError("EISDIR");
      if (!replaced.isFolder && node.isFolder) throw new FileError("ENOTDIR");
      this.#checkEmpty(target);
      this.#take(target);
    }
    const moved = [...this.#below(source)];
    this.#take(source);
    this.#put(target, node);
    for (const [path, below] of moved) {
      this.#nodes.delete(path);
      this.#nodes.set(`${target}${path.slice(source.length)}`, below);
    }
  }

  symlink(target: string, path: string): void {
    this.#add(this.#free(path), { link: target }, 0o777);
  }

  /** Gives a file a second name. */
  link(existing: string, path: string): void {
    const node = this.#find(existing, false);
    const place = this.#free(path);
    if (node.isFolder) throw new FileError("EPERM");
    this.#put(place, node);
  }

  readLink(path: string): string {
    const { link } = this.#find(path, false);
    if (link === undefined) throw new FileError("EINVAL");
    return link;
  }

  /**
   * Returns the absolute path of what a path leads to, without links, unless
   * one is at its end and is not to be followed. The last name need not exist.
   */
  realPath(path: string, toTheEnd = true): string {
    if (path === "") throw new FileError("ENOENT");
    const whole = path.startsWith("/") ? path : `${this.#home}/${path}`;
    const rest = namesOf(whole);
    let names: string[] = [];
    let links = 0;
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      if (name === "..") {
        names.pop();
        continue;
      }
      names.push(name);
      const isLast = rest.length === 0;
      if (isLast && !toTheEnd) break;
      const node = this.#nodes.get(`/${names.join("/")}`);
      if (node?.link !== undefined) {
        if (++links > MAX_LINKS) throw new FileError("ELOOP");
        names = node.link.startsWith("/") ? [] : names.slice(0, -1);
        rest.unshift(...namesOf(node.link));
      } else if (!isLast && !node?.isFolder) {
        throw new FileError(node === undefined ? "ENOENT" : "ENOTDIR");
      }
    }
    return `/${names.join("/")}`;
  }

  #find(path: string, toTheEnd = true): FileNode {
    return this.#at(this.realPath(path, toTheEnd));
  }

  #at(path: string): FileNode {
    const node = this.#nodes.get(path);
    if (node === undefined) throw new FileError("ENOENT");
    return node;
  }

  #folder(path: string): string {
    const place = this.realPath(path);
    if (!this.#at(place).isFolder) throw new FileError("ENOTDIR");
    return place;
  }

  /** Returns a place where something new may be made. */
  #free(path: string): string {
    const place = this.realPath(path, false);
    if (this.#nodes.has(place)) throw new FileError("EEXIST");
    return place;
  }

  *#below(folder: string): Generator<[string, FileNode]> {
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
  ): FileNode {
    const node = new FileNode(of, mode, this.#now());
    this.#put(path, node);
    return node;
  }

  #put(path: string, node: FileNode): void {
    this.#nodes.set(path, node);
    this.#touchParent(path);
  }

  #take(path: string): void {
    if (path === "/") throw new FileError("EBUSY");
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

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
