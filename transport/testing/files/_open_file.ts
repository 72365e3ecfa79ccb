/** A file of a memory file system that is open. */

import {
  type FileAttributes,
  type FileChanges,
  FileError,
  type OpenHow,
  type ServedFile,
} from "../sftp_server/served_files.ts";
import { FileNode, type FolderNode } from "./_node.ts";
import type { Volume } from "./_volume.ts";

/** Lives on when its name is taken away. A folder can be opened, not read. */
export class OpenMemoryFile implements ServedFile {
  readonly #node: FileNode | FolderNode;
  readonly #how: OpenHow;
  readonly #volume: Volume;
  readonly #change: (changes: FileChanges) => void;
  #isOpen = true;

  constructor(
    node: FileNode | FolderNode,
    how: OpenHow,
    parts: { volume: Volume; change: (changes: FileChanges) => void },
  ) {
    this.#node = node;
    this.#how = how;
    this.#volume = parts.volume;
    this.#change = parts.change;
    if (node instanceof FileNode) this.#volume.opened(node);
  }

  read(offset: number, length: number): Uint8Array {
    const node = this.#node;
    if (!this.#how.read) throw new FileError("EBADF");
    if (!(node instanceof FileNode)) throw new FileError("EISDIR");
    return node.content.read(offset, length);
  }

  write(offset: number, data: Uint8Array): void {
    const node = this.#node;
    if (!this.#how.write || !(node instanceof FileNode)) {
      throw new FileError("EBADF");
    }
    const at = this.#how.append ? node.size : offset;
    this.#volume.write(node, at, data);
  }

  stat(): FileAttributes {
    return this.#node.attributes;
  }

  change(changes: FileChanges): void {
    if (changes.size !== undefined && !this.#how.write) {
      throw new FileError("EINVAL");
    }
    this.#change(changes);
  }

  sync(): void {}

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.#node instanceof FileNode) this.#volume.closed(this.#node);
  }
}
