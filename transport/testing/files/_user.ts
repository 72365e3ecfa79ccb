/** What one user may do in a memory file system. */

import { FileError, type ServedEntry } from "../sftp_server/served_files.ts";
import type { FolderNode, Node } from "./_node.ts";

const READ = 4;
const WRITE = 2;
const ENTER = 1;
const STICKY = 0o1000;

/** A user, who is root if the number is 0. */
export class User {
  readonly uid: number;
  readonly gid: number;

  constructor(uid: number, gid: number) {
    this.uid = uid;
    this.gid = gid;
  }

  /** Throws unless the folder may be entered. */
  enter(folder: FolderNode): void {
    if (!this.#may(folder, ENTER)) throw new FileError("EACCES");
  }

  /** Throws unless it may be read. */
  read(node: Node): void {
    if (!this.#may(node, READ)) throw new FileError("EACCES");
  }

  /** Throws unless it may be written. */
  write(node: Node): void {
    if (!this.#may(node, WRITE)) throw new FileError("EACCES");
  }

  /** Throws unless a name may be added to a folder. */
  add(folder: FolderNode): void {
    if (!this.#may(folder, WRITE) || !this.#may(folder, ENTER)) {
      throw new FileError("EACCES");
    }
  }

  /** Throws unless the name of a node may be taken out of a folder. */
  remove(folder: FolderNode, node: Node): void {
    this.add(folder);
    const isSticky = (folder.mode & STICKY) !== 0;
    if (isSticky && !this.#owns(node) && !this.#owns(folder)) {
      throw new FileError("EPERM");
    }
  }

  /** Throws unless a node may get another name, as Linux does by default. */
  link(node: Node): void {
    if (this.#owns(node)) return;
    if (!this.#may(node, READ) || !this.#may(node, WRITE)) {
      throw new FileError("EPERM");
    }
  }

  /** Throws unless permissions and times may be changed. */
  own(node: Node): void {
    if (!this.#owns(node)) throw new FileError("EPERM");
  }

  /** Throws unless the owner may be changed so: by root alone. */
  give(node: Node, to: { readonly uid: number; readonly gid: number }): void {
    if (this.uid === 0) return;
    const isSame = to.uid === node.uid &&
      (to.gid === node.gid || to.gid === this.gid);
    if (!this.#owns(node) || !isSame) throw new FileError("EPERM");
  }

  /** The entries of a folder, as far as they may be looked at. */
  entriesOf(folder: FolderNode): ServedEntry[] {
    this.read(folder);
    if (!this.#may(folder, ENTER)) return [];
    return [...folder.entries].map(([name, { attributes }]) => ({
      name,
      attributes,
    }));
  }

  #owns(node: Node): boolean {
    return this.uid === 0 || this.uid === node.uid;
  }

  #may({ mode, uid, gid }: Node, bit: number): boolean {
    if (this.uid === 0) return true;
    const shift = uid === this.uid ? 6 : gid === this.gid ? 3 : 0;
    return ((mode >> shift) & bit) !== 0;
  }
}
