/**
 * What an SFTP client asks for.
 *
 * @module
 */

/** A kind of request; the names of extensions are without their domain. */
export type SftpOperation =
  | "open"
  | "close"
  | "read"
  | "write"
  | "stat"
  | "lstat"
  | "fstat"
  | "setstat"
  | "lsetstat"
  | "fsetstat"
  | "opendir"
  | "readdir"
  | "remove"
  | "mkdir"
  | "rmdir"
  | "realpath"
  | "readlink"
  | "symlink"
  | "hardlink"
  | "rename"
  | "posix-rename"
  | "fsync"
  | "statvfs"
  | "fstatvfs"
  | "copy-data"
  | "limits"
  | "unknown";

/** One request of an SFTP client. */
export interface SftpRequest {
  /** What is asked for. */
  readonly operation: SftpOperation;
  /** Its number in the session; the first is 1. */
  readonly number: number;
  /**
   * The path that it names, or that its handle was opened with. Of a link that
   * is made it is the new name; bytes that are not UTF-8 are lone surrogates.
   */
  readonly path?: string | undefined;
  /** The second path: the new name of a rename, or where a link leads to. */
  readonly target?: string | undefined;
  /** Where a read or a write begins, in bytes. */
  readonly offset?: number | undefined;
  /** How much is read or written, in bytes. */
  readonly length?: number | undefined;
}
