/**
 * How an operation on a file fails.
 *
 * @module
 */

/** Why an operation on a file failed, as POSIX names it. */
export type FileErrorCode =
  | "EACCES"
  | "EBADF"
  | "EBUSY"
  | "EDQUOT"
  | "EEXIST"
  | "EFBIG"
  | "EINVAL"
  | "EIO"
  | "EISDIR"
  | "ELOOP"
  | "EMFILE"
  | "ENAMETOOLONG"
  | "ENOENT"
  | "ENOSPC"
  | "ENOSYS"
  | "ENOTDIR"
  | "ENOTEMPTY"
  | "EPERM"
  | "EROFS";

/**
 * An operation on a file failed. An SFTP server answers it with a status:
 * the one that OpenSSH has for the code, and the message as its text.
 *
 * @example A disk that fails on every write
 * ```ts
 * import { FileError, MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector({
 *   onSftpRequest: ({ operation }) =>
 *     operation === "write" ? new FileError("EIO", "the disk is gone") : "ok",
 * });
 * const host = { hostname: "db1", port: 22, user: "ops" };
 * await using connection = await connector.connect(host);
 * await using sftp = await connection.sftp();
 * await assertRejects(
 *   () => sftp.writeTextFile("a", "text"),
 *   Error,
 *   "the disk is gone",
 * );
 * ```
 */
export class FileError extends Error {
  static {
    this.prototype.name = "FileError";
  }

  /** Why it failed. */
  readonly code: FileErrorCode;
  /** The SFTP status to answer with; `undefined` for that of the code. */
  readonly status: number | undefined;

  /**
   * Makes the error.
   *
   * @param code Why it failed.
   * @param message What the server says. Default: nothing but the status.
   * @param options The status, and the cause.
   */
  constructor(
    code: FileErrorCode,
    message = "",
    options: ErrorOptions & {
      /**
       * The SFTP status (`SSH_FX_...`) to answer with. Default: what OpenSSH
       * answers for the code.
       */
      readonly status?: number;
    } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = options.status;
  }
}
