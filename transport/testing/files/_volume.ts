/** What all users of a memory file system share: its tree, its room, its clock. */

import { FileError, type ServedSpace } from "../sftp_server/served_files.ts";
import { FileNode, FolderNode, LinkNode, type Node } from "./_node.ts";
import { encodeFileName } from "../../sftp/names.ts";

/** When the clock begins, in seconds since 1970: in September of 2001. */
const FIRST_SECOND = 1_000_000_000;
const BLOCK_BYTES = 4096;

/** How much room there is. */
export interface VolumeOptions {
  capacityBytes: number;
  capacityFiles: number;
  isReadOnly: boolean;
  /** The time in seconds; one second more with each change by default. */
  now: (() => number) | undefined;
}

/** Who makes a node, and with which permissions. */
export interface NodeOwner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** The tree, and the count of what is in it. */
export class Volume {
  readonly options: VolumeOptions;
  readonly root: FolderNode;
  /** How often each file is open. */
  readonly #opens = new Map<FileNode, number>();
  #usedBytes = 0;
  #nodes = 1;
  #seconds = FIRST_SECOND;

  constructor(options: VolumeOptions, owner: NodeOwner) {
    this.options = options;
    this.root = new FolderNode({ ...owner, time: this.tick() });
  }

  /** Bytes of all files together. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** How many files are open, each as often as it is. */
  get openFiles(): number {
    let count = 0;
    for (const opens of this.#opens.values()) count += opens;
    return count;
  }

  get space(): ServedSpace {
    const { capacityBytes, capacityFiles, isReadOnly } = this.options;
    const free = Math.floor(
      Math.max(0, capacityBytes - this.#usedBytes) / BLOCK_BYTES,
    );
    return {
      blockSize: BLOCK_BYTES,
      blocks: Math.floor(capacityBytes / BLOCK_BYTES),
      freeBlocks: free,
      availableBlocks: free,
      files: capacityFiles,
      freeFiles: Math.max(0, capacityFiles - this.#nodes),
      isReadOnly,
    };
  }

  /** The time of a change, in whole seconds. */
  tick(): number {
    return Math.floor(this.options.now?.() ?? this.#seconds++);
  }

  /** Throws if nothing may be changed. */
  checkWritable(): void {
    if (this.options.isReadOnly) throw new FileError("EROFS");
  }

  addFile(folder: FolderNode, name: string, owner: NodeOwner): FileNode {
    return this.#add(folder, name, (time) => new FileNode({ ...owner, time }));
  }

  addFolder(folder: FolderNode, name: string, owner: NodeOwner): FolderNode {
    const made = this.#add(
      folder,
      name,
      (time) => new FolderNode({ ...owner, time }, folder),
    );
    folder.links++;
    return made;
  }

  addLink(
    folder: FolderNode,
    name: string,
    link: NodeOwner & { readonly target: string },
  ): LinkNode {
    const { target } = link;
    const { length } = encodeFileName(target);
    return this.#add(
      folder,
      name,
      (time) => new LinkNode({ ...link, time }, target, length),
    );
  }

  #add<N extends Node>(
    folder: FolderNode,
    name: string,
    make: (time: number) => N,
  ): N {
    if (this.#nodes >= this.options.capacityFiles) {
      throw new FileError("ENOSPC");
    }
    const time = this.tick();
    const node = make(time);
    this.#nodes++;
    folder.entries.set(name, node);
    folder.mtime = time;
    return node;
  }

  /** Gives a node one more name. */
  addName(folder: FolderNode, name: string, node: Node): void {
    node.links++;
    folder.entries.set(name, node);
    folder.mtime = this.tick();
  }

  /** Takes a name away, and the node with it if it was the last. */
  removeName(folder: FolderNode, name: string): void {
    const node = folder.entries.get(name);
    if (node === undefined) throw new Error("Bug: no such name");
    folder.entries.delete(name);
    folder.mtime = this.tick();
    if (node instanceof FolderNode) {
      folder.links--;
      node.links = 0;
      this.#nodes--;
    } else {
      node.links--;
      this.#freeIfUnused(node);
    }
  }

  /** Puts a node under another name. */
  move(from: FolderNode, name: string, to: FolderNode, newName: string): void {
    const node = from.entries.get(name);
    if (node === undefined) throw new Error("Bug: no such name");
    if (to.entries.has(newName)) this.removeName(to, newName);
    from.entries.delete(name);
    to.entries.set(newName, node);
    from.mtime = to.mtime = this.tick();
    if (!(node instanceof FolderNode)) return;
    from.links--;
    to.links++;
    node.parent = to;
  }

  write(file: FileNode, offset: number, data: Uint8Array): void {
    if (data.length === 0) return;
    this.#reserve(Math.max(0, offset + data.length - file.size));
    file.content.write(offset, data);
    file.mtime = this.tick();
  }

  resize(file: FileNode, size: number): void {
    this.#reserve(size - file.size);
    file.content.resize(size);
    file.mtime = this.tick();
  }

  opened(file: FileNode): void {
    this.#opens.set(file, (this.#opens.get(file) ?? 0) + 1);
  }

  closed(file: FileNode): void {
    const left = (this.#opens.get(file) ?? 0) - 1;
    if (left > 0) this.#opens.set(file, left);
    else this.#opens.delete(file);
    this.#freeIfUnused(file);
  }

  #reserve(bytes: number): void {
    if (bytes > 0 && this.#usedBytes + bytes > this.options.capacityBytes) {
      throw new FileError("ENOSPC");
    }
    this.#usedBytes += bytes;
  }

  /** A file without a name lives on as long as somebody has it open. */
  #freeIfUnused(node: FileNode | LinkNode): void {
    if (node.links > 0) return;
    if (node instanceof FileNode) {
      if (this.#opens.has(node)) return;
      this.#usedBytes -= node.size;
    }
    this.#nodes--;
  }
}
