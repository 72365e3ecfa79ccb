/**
 * An open file on a server, and what the server tells of files.
 *
 * @module
 */

/** What a server tells of a file, in the shape of `Deno.FileInfo`. */
export interface SftpFileInfo {
  /** Whether it is a regular file. */
  readonly isFile: boolean;
  /** Whether it is a folder. */
  readonly isDirectory: boolean;
  /** Whether it is a symbolic link; only `lstat` and `readDir` see links. */
  readonly isSymlink: boolean;
  /**
   * Its size in bytes; 0 if the server did not say. Files of `/proc` have size
   * 0 and content all the same. A size beyond `Number.MAX_SAFE_INTEGER`, as of a
   * sparse file, is nearly right; such a file can be neither copied nor appended
   * to.
   */
  readonly size: number;
  /** When it was last written, to the second; `null` if the server did not say. */
  readonly mtime: Date | null;
  /** When it was last read, to the second; `null` if the server did not say. */
  readonly atime: Date | null;
  /** Type and permissions as `st_mode`; `null` if the server did not say. */
  readonly mode: number | null;
  /** The number of its owner; `null` if the server did not say. */
  readonly uid: number | null;
  /** The number of its group; `null` if the server did not say. */
  readonly gid: number | null;
}

/** One entry of a folder. */
export interface SftpDirEntry {
  /**
   * Its name. Bytes that are not UTF-8 are lone surrogates in it: see
   * `decodeFileName`. It never has a `/` or a NUL in it.
   */
  readonly name: string;
  /** Whether it is a regular file. */
  readonly isFile: boolean;
  /** Whether it is a folder. */
  readonly isDirectory: boolean;
  /** Whether it is a symbolic link. */
  readonly isSymlink: boolean;
  /**
   * How many names (hard links) it has, as the line of the listing tells;
   * `null` if that does not.
   */
  readonly nlink: number | null;
  /** What `lstat` would tell of it. */
  readonly info: SftpFileInfo;
}

/** One entry of a tree. */
export interface SftpWalkEntry extends SftpDirEntry {
  /** Its path: that of the folder that was named, and the names below it. */
  readonly path: string;
}

/**
 * How full a file system is. Numbers beyond `Number.MAX_SAFE_INTEGER`, which is
 * 9 PB, are nearly right.
 */
export interface SftpFileSystemInfo {
  /** Its size in bytes. */
  readonly totalBytes: number;
  /** Bytes that are free. */
  readonly freeBytes: number;
  /** Bytes that are free for users other than root. */
  readonly availableBytes: number;
  /** How many files it can have; 0 if it has no limit. */
  readonly totalFiles: number;
  /** How many more files it can have. */
  readonly freeFiles: number;
  /** Whether it cannot be written to. */
  readonly isReadOnly: boolean;
}

/** Options that every operation on files takes. */
export interface SftpCallOptions {
  /**
   * Gives the operation up: its promise rejects with the signal's reason at
   * once. A request that was sent already may still take effect.
   */
  readonly signal?: AbortSignal | undefined;
}

/** What {@linkcode SftpFile.setAttributes} can set. */
export interface SftpAttributes {
  /** The permissions, such as `0o644`. */
  readonly mode?: number | undefined;
  /** Its owner and group, by number. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** When it was last read and written, to the second. */
  readonly times?: {
    /** When it was last read: a date, or seconds since 1970. */
    readonly atime: number | Date;
    /** When it was last written: a date, or seconds since 1970. */
    readonly mtime: number | Date;
  } | undefined;
}

/** Options for {@linkcode SftpFile.writeFrom}. */
export interface SftpWriteFromOptions extends SftpCallOptions {
  /**
   * Called as soon as the server is to carry out what is sent from then on
   * after all of this: with the last request, if the server keeps the order of
   * requests, as OpenSSH does. What follows then costs no round trip of its
   * own. With other servers it is called after the last answer. Not called if
   * this fails first. Must not throw.
   */
  readonly onSent?: (() => void) | undefined;
  /**
   * Called with a piece of the source when the server has it: its memory may
   * be used again. In the order of the answers. Must not throw.
   */
  readonly onWritten?: ((piece: Uint8Array) => void) | undefined;
}

/** Options for {@linkcode SftpFile.readRange}. */
export interface SftpRangeOptions extends SftpCallOptions {
  /**
   * As for `writeFrom`. Called again if a short answer makes one more request
   * needed, and not before the end of the file if there is no `end`.
   */
  readonly onSent?: (() => void) | undefined;
  /**
   * Where to begin, in bytes.
   *
   * @default {0}
   */
  readonly offset?: number | undefined;
  /** Where to stop, in bytes. Default: at the end of the file. */
  readonly end?: number | undefined;
  /**
   * Use the memory of a piece again when the next one is asked for. Each piece
   * has to be used up by then. Takes less memory for a large file.
   *
   * @default {false}
   */
  readonly reuse?: boolean | undefined;
}

/**
 * An open file. Get one with `Sftp.open`, and close it.
 *
 * @example Copy what a program makes into a file
 * ```ts
 * import type { Sftp } from "@sshpool/sshpool";
 *
 * async function save(sftp: Sftp, data: ReadableStream<Uint8Array>) {
 *   const file = await sftp.open("/var/tmp/data", { write: true, create: true });
 *   await data.pipeTo(file.writable);
 * }
 * ```
 */
export interface SftpFile extends AsyncDisposable {
  /** The path that it was opened with. */
  readonly path: string;
  /**
   * The content from the first byte, read with many requests in flight. The
   * file is closed when the stream ends, fails or is cancelled.
   */
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * Writes from the first byte, or from the end of a file that was opened to
   * append, with many requests in flight. The file is closed when the stream
   * is closed or aborted; closing it waits until the server has all data, and
   * rejects if a write failed. A chunk must not be changed after it is given.
   */
  readonly writable: WritableStream<Uint8Array>;
  /**
   * Reads at an offset. Fills all of the buffer unless the file ends first.
   *
   * @param into Where the bytes go.
   * @param offset Where in the file to begin.
   * @param options The signal.
   * @returns How many bytes were read; `null` if the file ends at the offset.
   * @throws {SftpError} If the server refuses.
   */
  readAt(
    into: Uint8Array,
    offset: number,
    options?: SftpCallOptions,
  ): Promise<number | null>;
  /**
   * Writes all of the data at an offset. The data must not change before the
   * promise settles.
   *
   * @param data What to write.
   * @param offset Where in the file to begin; a file that was opened to append
   * grows at its end whatever this says.
   * @param options The signal.
   * @throws {SftpError} If the server refuses.
   */
  writeAt(
    data: Uint8Array,
    offset: number,
    options?: SftpCallOptions,
  ): Promise<void>;
  /**
   * Reads a range in order, with many requests in flight. The file stays open.
   *
   * @param options Where to begin and to stop, the signal, memory.
   * @returns The pieces. A piece is the caller's to keep, unless `reuse` is set.
   * @throws {SftpError} If the server refuses.
   */
  readRange(options?: SftpRangeOptions): AsyncIterableIterator<Uint8Array>;
  /**
   * Writes what a source gives, in order, with many requests in flight, and
   * waits until the server has it all. The file stays open. A piece must not
   * be changed before the server has it: see `onWritten`.
   *
   * @param source What to write.
   * @param offset Where in the file to begin.
   * @param options The signal.
   * @throws {SftpError} If the server refuses, or its disk is full.
   */
  writeFrom(
    source: AsyncIterable<Uint8Array>,
    offset: number,
    options?: SftpWriteFromOptions,
  ): Promise<void>;
  /**
   * Tells its size, times and permissions.
   *
   * @param options The signal.
   * @throws {SftpError} If the server refuses.
   */
  stat(options?: SftpCallOptions): Promise<SftpFileInfo>;
  /**
   * Cuts it off, or fills it up with zeros.
   *
   * @param length Its new size in bytes. Default: 0.
   * @param options The signal.
   * @throws {SftpError} If the server refuses.
   */
  truncate(length?: number, options?: SftpCallOptions): Promise<void>;
  /**
   * Sets its permissions.
   *
   * @param mode The permissions, such as `0o644`.
   * @param options The signal.
   * @throws {SftpError} If the server refuses.
   */
  chmod(mode: number, options?: SftpCallOptions): Promise<void>;
  /**
   * Sets permissions and times in one request.
   *
   * @param attributes What is to change.
   * @param options The signal.
   * @throws {SftpError} If the server refuses.
   * @throws {RangeError} If a time is before 1970 or after 2106.
   */
  setAttributes(
    attributes: SftpAttributes,
    options?: SftpCallOptions,
  ): Promise<void>;
  /**
   * Waits until the server has its data on the disk.
   *
   * @param options The signal.
   * @returns `false` if the server has no such request
   * (`fsync@openssh.com`), so that nothing is known.
   * @throws {SftpError} If the server fails to.
   */
  sync(options?: SftpCallOptions): Promise<boolean>;
  /**
   * Closes it. Idempotent.
   *
   * @throws {SftpError} If the server says that closing failed, which may mean
   * that data was not written.
   */
  close(): Promise<void>;
  /** Closes it, and ignores a failure to. */
  [Symbol.asyncDispose](): Promise<void>;
}
