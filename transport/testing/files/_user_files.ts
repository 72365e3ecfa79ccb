/** A memory file system as one user sees it. */

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
import { FileNode, FolderNode, LinkNode, type Node } from "./_node.ts";
import { OpenMemoryFile } from "./_open_file.ts";
import {
  asFolder,
  follow,
  type LastLink,
  namelessError,
  type Place,
  realPath,
} from "./_tree.ts";
import type { User } from "./_user.ts";
import type { Volume } from "./_volume.ts";

/** What a user's view is made of. */
export interface UserFilesParts {
  readonly volume: Volume;
  readonly user: User;
  readonly home: string;
  /** Permissions that new files do not get. */
  readonly umask: number;
}

/** Follows paths and keeps permissions; the volume does the rest. */
export class UserFiles implements ServedFiles {
  readonly #volume: Volume;
  readonly #user: User;
  readonly #home: string;
  readonly #umask: number;

  constructor({ volume, user, home, umask }: UserFilesParts) {
    this.#volume = volume;
    this.#user = user;
    this.#home = home;
    this.#umask = umask;
  }

  open(path: string, how: OpenHow): ServedFile {
    const isNew = how.create && how.exclusive;
    const isFolder = how.create && path.endsWith("/");
    const place = this.#follow(path, isNew || isFolder ? "itself" : "follow");
    const { node, hasSlash } = place;
    if (hasSlash && how.create) throw new FileError("EISDIR");
    if (hasSlash) asFolder(node);
    if (node !== undefined && isNew) throw new FileError("EEXIST");
    if (node === undefined) return this.#openNew(place, how);
    const file = this.#openable(node, how);
    if (how.truncate && file instanceof FileNode) this.#volume.resize(file, 0);
    return this.#opened(file, how);
  }

  #openNew(place: Place, how: OpenHow): ServedFile {
    if (!how.create) throw new FileError("ENOENT");
    const { folder, name } = this.#free(place);
    const file = this.#volume.addFile(folder, name, this.#owner(how.mode));
    return this.#opened(file, how);
  }

  #openable(node: Node, how: OpenHow): FileNode | FolderNode {
    if (node instanceof LinkNode) throw new FileError("ELOOP");
    const changes = how.write || how.truncate;
    if (node instanceof FolderNode && (changes || how.create)) {
      throw new FileError("EISDIR");
    }
    if (how.read) this.#user.read(node);
    if (changes) {
      this.#user.write(node);
      this.#volume.checkWritable();
    }
    return node;
  }

  #opened(node: FileNode | FolderNode, how: OpenHow): ServedFile {
    return new OpenMemoryFile(node, how, {
      volume: this.#volume,
      change: (changes) => this.#change(node, changes, true),
    });
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
    const node = this.#find(path, isLink ? "look" : "follow");
    this.#change(node, changes, false);
  }

  #change(node: Node, changes: FileChanges, isOpen: boolean): void {
    const { size, mode, times, owner } = changes;
    this.#volume.checkWritable();
    if (size !== undefined) {
      if (node instanceof FolderNode) throw new FileError("EISDIR");
      // Of an open file that was settled when it was opened.
      if (!isOpen) this.#user.write(node);
      if (node instanceof FileNode) this.#volume.resize(node, size);
    }
    if (mode !== undefined && node instanceof LinkNode) {
      throw new FileError("EIO"); // Linux has no permissions of links
    }
    if (mode !== undefined || times !== undefined) this.#user.own(node);
    if (owner !== undefined) this.#user.give(node, owner);
    node.assign(changes);
  }

  readDir(path: string): readonly ServedEntry[] {
    return this.#user.entriesOf(asFolder(this.#find(path)));
  }

  makeDir(path: string, mode: number): void {
    const { folder, name } = this.#free(this.#follow(path, "itself"));
    this.#volume.addFolder(folder, name, this.#owner(mode));
  }

  removeDir(path: string): void {
    const { folder, name, node } = this.#follow(path, "itself");
    if (name === "") {
      throw namelessError(path) ?? new FileError("EBUSY");
    }
    if (node === undefined) throw new FileError("ENOENT");
    this.#user.remove(folder, node);
    this.#volume.checkWritable();
    const { entries } = asFolder(node);
    if (entries.size > 0) throw new FileError("ENOTEMPTY");
    this.#volume.removeName(folder, name);
  }

  remove(path: string): void {
    const { folder, name, node, hasSlash } = this.#named(path);
    if (name === "") throw new FileError("EISDIR");
    if (hasSlash) asFolder(node);
    this.#user.remove(folder, node);
    if (node instanceof FolderNode) throw new FileError("EISDIR");
    this.#volume.checkWritable();
    this.#volume.removeName(folder, name);
  }

  rename(from: string, to: string): void {
    const { folder, name, node, hasSlash } = this.#follow(from, "itself");
    const target = this.#follow(to, "itself");
    if (name === "" || target.name === "") throw new FileError("EBUSY");
    this.#volume.checkWritable();
    if (node === undefined) throw new FileError("ENOENT");
    if (hasSlash || target.hasSlash) asFolder(node);
    if (isWithin(target.folder, node)) throw new FileError("EINVAL");
    if (isWithin(folder, target.node)) throw new FileError("ENOTEMPTY");
    this.#user.remove(folder, node);
    if (target.node === node) return;
    this.#checkRename(node, target);
    // Its ".." is changed.
    const moves = folder !== target.folder;
    if (moves && node instanceof FolderNode) this.#user.write(node);
    this.#volume.move(folder, name, target.folder, target.name);
  }

  #checkRename(source: Node, target: Place): void {
    const isFolder = source instanceof FolderNode;
    const { node } = target;
    if (node === undefined) return this.#user.add(target.folder);
    this.#user.remove(target.folder, node);
    if (!(node instanceof FolderNode)) {
      if (isFolder) throw new FileError("ENOTDIR");
    } else if (!isFolder) throw new FileError("EISDIR");
    else if (node.entries.size > 0) throw new FileError("ENOTEMPTY");
  }

  symlink(target: string, path: string): void {
    if (target === "") throw new FileError("ENOENT");
    const { folder, name } = this.#freeFile(path);
    const owner = { ...this.#owner(0o777), mode: 0o777 };
    this.#volume.addLink(folder, name, { ...owner, target });
  }

  link(existing: string, path: string): void {
    const node = this.#find(existing, "look");
    const { folder, name } = this.#freeFile(path);
    if (node instanceof FolderNode) throw new FileError("EPERM");
    this.#user.link(node);
    this.#volume.addName(folder, name, node);
  }

  readLink(path: string): string {
    const node = this.#find(path, "look");
    if (!(node instanceof LinkNode)) throw new FileError("EINVAL");
    return node.target;
  }

  realPath(path: string): string {
    return realPath(path, {
      root: this.#volume.root,
      home: this.#home,
      enter: (folder) => this.#user.enter(folder),
    });
  }

  space(path: string): ServedSpace {
    this.#find(path);
    return this.#volume.space;
  }

  #follow(path: string, last: LastLink = "follow"): Place {
    return follow(path, {
      root: this.#volume.root,
      home: this.#home,
      enter: (folder) => this.#user.enter(folder),
      last,
    });
  }

  #find(path: string, last?: LastLink): Node {
    const { node, hasSlash } = this.#follow(path, last);
    if (node === undefined) throw new FileError("ENOENT");
    return hasSlash ? asFolder(node) : node;
  }

  #named(path: string): Place & { readonly node: Node } {
    const place = this.#follow(path, "itself");
    const { node } = place;
    if (node === undefined) throw new FileError("ENOENT");
    return { ...place, node };
  }

  /** A place where something new may be made. */
  #free(place: Place): Place {
    if (place.node !== undefined) throw new FileError("EEXIST");
    this.#user.add(place.folder);
    this.#volume.checkWritable();
    return place;
  }

  /** The same for what is no folder, and so has no slash behind it. */
  #freeFile(path: string): Place {
    const place = this.#follow(path, "itself");
    if (place.hasSlash && place.node === undefined) {
      throw new FileError("ENOENT");
    }
    return this.#free(place);
  }

  #owner(mode: number) {
    const { uid, gid } = this.#user;
    return { uid, gid, mode: mode & 0o7777 & ~this.#umask };
  }
}

/** Whether a folder is another, or lies in it at any depth. */
function isWithin(folder: FolderNode, other: Node | undefined): boolean {
  for (let at = folder;; at = at.parent) {
    if (at === other) return true;
    if (at === at.parent) return false;
  }
}
