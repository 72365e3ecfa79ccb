/** What a client has opened. */

import { FileError, type FileErrorCode } from "../files/file_error.ts";
import type { FileAttributes } from "../files/file_node.ts";
import type { ServedFile } from "../files/memory_tree.ts";

/** As many as OpenSSH allows a process that may open 1024 files. */
export const MAX_HANDLES = 1019;

/** One entry of a folder. */
export interface FolderEntry {
  readonly name: string;
  readonly attributes: FileAttributes;
}

/** An open file, or an open folder: its entries that were not given yet. */
export interface ServedHandle {
  readonly path: string;
  readonly file?: ServedFile;
  readonly entries?: FolderEntry[];
}

/** The handles of one session, each named by a number of 4 bytes. */
export class Handles {
  readonly #open = new Map<number, ServedHandle>();
  #next = 0;

  /** Makes a handle of what `open` gives, if there is room for one more. */
  add(open: () => ServedHandle): Uint8Array {
    if (this.#open.size >= MAX_HANDLES) throw new FileError("EMFILE");
    const handle = open();
    const id = this.#next;
    this.#next = (id + 1) >>> 0;
    this.#open.set(id, handle);
    const name = new Uint8Array(4);
    new DataView(name.buffer).setUint32(0, id);
    return name;
  }

  /** Returns a handle, if it is one. */
  get(name: Uint8Array): ServedHandle | undefined {
    return this.#open.get(idOf(name));
  }

  /**
   * Returns an open file. Most requests say no more than "failure" if it is
   * none.
   *
   * @param code What is thrown then.
   */
  file(name: Uint8Array, code: FileErrorCode = "EIO"): ServedFile {
    const file = this.get(name)?.file;
    if (file === undefined) throw new FileError(code);
    return file;
  }

  /** Closes a handle. */
  close(name: Uint8Array): void {
    const handle = this.get(name);
    if (handle === undefined) throw new FileError("ENOENT");
    this.#open.delete(idOf(name));
    handle.file?.close();
  }

  /** Closes all: the client is gone. */
  closeAll(): void {
    for (const { file } of this.#open.values()) file?.close();
    this.#open.clear();
  }
}

/** A name of any other length is none of ours. */
function idOf(name: Uint8Array): number {
  if (name.length !== 4) return -1;
  return new DataView(name.buffer, name.byteOffset).getUint32(0);
}
