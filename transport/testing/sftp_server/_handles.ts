/** What a client has opened. */

import {
  FileError,
  type FileErrorCode,
  type ServedEntry,
  type ServedFile,
} from "./served_files.ts";

/** As many as OpenSSH allows a process that may open 1024 files. */
export const MAX_HANDLES = 1019;

/** An open file. */
export interface FileHandle {
  readonly path: string;
  readonly file: ServedFile;
}

/** An open folder: its entries as they were when it was opened. */
export interface FolderHandle {
  readonly path: string;
  readonly entries: readonly ServedEntry[];
  /** How many entries were given. */
  given: number;
}

type AnyHandle = FileHandle | FolderHandle;

/** The handles of one session, each named by a number of 4 bytes. */
export class Handles {
  readonly #open = new Map<number, AnyHandle>();
  #next = 0;

  /** Makes a handle. */
  add(handle: AnyHandle): Uint8Array {
    while (this.#open.has(this.#next)) this.#next = (this.#next + 1) >>> 0;
    const id = this.#next;
    this.#next = (id + 1) >>> 0;
    this.#open.set(id, handle);
    const name = new Uint8Array(4);
    new DataView(name.buffer).setUint32(0, id);
    return name;
  }

  /** Throws if there is no room for one more. */
  checkRoom(): void {
    if (this.#open.size >= MAX_HANDLES) throw new FileError("EMFILE");
  }

  /** Returns the path of a handle, if it is one. */
  pathOf(name: Uint8Array): string | undefined {
    return this.#open.get(idOf(name))?.path;
  }

  /**
   * Returns an open file. Most requests say no more than "failure" if it is
   * none.
   *
   * @param code What is thrown then.
   */
  file(name: Uint8Array, code: FileErrorCode = "EIO"): FileHandle {
    const handle = this.#open.get(idOf(name));
    if (handle !== undefined && "file" in handle) return handle;
    throw new FileError(code);
  }

  /** Returns an open folder. */
  folder(name: Uint8Array): FolderHandle {
    const handle = this.#open.get(idOf(name));
    if (handle !== undefined && "entries" in handle) return handle;
    throw new FileError("EIO");
  }

  /** Takes a handle out; it is to be closed. */
  take(name: Uint8Array): AnyHandle {
    const id = idOf(name);
    const handle = this.#open.get(id);
    if (handle === undefined) throw new FileError("ENOENT");
    this.#open.delete(id);
    return handle;
  }

  /** Closes all: the client is gone. */
  closeAll(): void {
    for (const handle of this.#open.values()) {
      if ("file" in handle) handle.file.close();
    }
    this.#open.clear();
  }
}

/** A name of any other length is none of ours. */
function idOf(name: Uint8Array): number {
  if (name.length !== 4) return -1;
  return new DataView(name.buffer, name.byteOffset).getUint32(0);
}
