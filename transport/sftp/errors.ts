/**
 * What an SFTP server refused, and for which path.
 *
 * @module
 */

import { serverText } from "../session/server_text.ts";
import { SshError, type SshErrorOptions } from "../errors.ts";

/**
 * What went wrong, in one word. SFTP version 3 has few status codes, so some
 * of these come from a second look at the path after the server said no more
 * than "failure"; `SSH_SFTP_FAILURE` is what remains unexplained.
 */
export type SftpErrorCode =
  /** There is no such file or folder. */
  | "SSH_SFTP_NOT_FOUND"
  /** The user may not do this. */
  | "SSH_SFTP_PERMISSION_DENIED"
  /** Something has this name already. */
  | "SSH_SFTP_ALREADY_EXISTS"
  /** The file system is full. */
  | "SSH_SFTP_NO_SPACE"
  /** A folder is needed, and this is something else. */
  | "SSH_SFTP_NOT_A_DIRECTORY"
  /** This is a folder, and something else is needed. */
  | "SSH_SFTP_IS_A_DIRECTORY"
  /** The folder still has entries. */
  | "SSH_SFTP_NOT_EMPTY"
  /** The server cannot do this. */
  | "SSH_SFTP_UNSUPPORTED"
  /** The server calls a value of the request invalid, such as a name that is too long. */
  | "SSH_SFTP_INVALID_ARGUMENT"
  /** The server says that it failed, and nothing more is known. */
  | "SSH_SFTP_FAILURE"
  /** The source changed while it was copied. */
  | "SSH_SFTP_SOURCE_CHANGED"
  /** A transfer was refused, since it would be unsafe or not verifiable. */
  | "SSH_SFTP_TRANSFER_REFUSED"
  /** The server broke the rules of the protocol. The session is closed. */
  | "SSH_SFTP_PROTOCOL"
  /** The session was closed, by this side or by the server. */
  | "SSH_SFTP_CLOSED";

/**
 * An SFTP operation failed.
 *
 * @example Take a missing file for an empty one
 * ```ts
 * import { type Sftp, SftpError } from "@sshpool/sshpool";
 *
 * async function readOr(sftp: Sftp, path: string, other: string) {
 *   try {
 *     return await sftp.readTextFile(path);
 *   } catch (error) {
 *     if (!(error instanceof SftpError)) throw error;
 *     if (error.code !== "SSH_SFTP_NOT_FOUND") throw error;
 *     return other;
 *   }
 * }
 * ```
 */
export class SftpError extends SshError {
  static {
    this.prototype.name = "SftpError";
  }

  /** What went wrong. */
  override readonly code: SftpErrorCode;
  /** The step that failed. */
  override readonly phase = "sftp";
  /**
   * Whether the operation may have changed something on the server, also by an
   * earlier one of its requests. Of an operation on an open file: whether
   * anything was changed through that file.
   */
  override readonly mayHaveRun: boolean;
  /** The path that the operation named, if it named one. */
  readonly path: string | undefined;
  /** The status code of the server (`SSH_FX_...`), if it sent one. */
  readonly status: number | undefined;

  /**
   * Makes the error.
   *
   * @param code What went wrong.
   * @param message What failed.
   * @param options The path, the status code, the host and the cause.
   */
  constructor(
    code: SftpErrorCode,
    message: string,
    options: SshErrorOptions & {
      /** The path that the operation named. */
      readonly path?: string | undefined;
      /** The status code of the server (`SSH_FX_...`), if it sent one. */
      readonly status?: number | undefined;
      /** Whether the operation may have changed something on the server. */
      readonly mayHaveRun?: boolean;
    } = {},
  ) {
    super(message, options);
    this.code = code;
    this.path = options.path;
    this.status = options.status;
    this.mayHaveRun = options.mayHaveRun ?? false;
  }
}

/**
 * Puts a path between quotes, safe to print.
 *
 * @param path The path; lone surrogates in it stand for bytes.
 * @returns The path for a message.
 */
export function quotedPath(path: string): string {
  const safe = serverText(path, 400).replace(
    /[\ud800-\udfff]/gu,
    (c) => `\\x${(c.charCodeAt(0) & 0xff).toString(16)}`,
  );
  return `"${safe}"`;
}

/** What each error code is called in a message. */
const CODE_TEXTS: Partial<Record<SftpErrorCode, string>> = {
  SSH_SFTP_NOT_FOUND: "no such file or folder",
  SSH_SFTP_PERMISSION_DENIED: "permission denied",
  SSH_SFTP_ALREADY_EXISTS: "something has this name already",
  SSH_SFTP_NO_SPACE: "no space left on the file system",
  SSH_SFTP_NOT_A_DIRECTORY: "not a folder",
  SSH_SFTP_IS_A_DIRECTORY: "is a folder",
  SSH_SFTP_NOT_EMPTY: "the folder is not empty",
  SSH_SFTP_UNSUPPORTED: "the server does not support it",
  SSH_SFTP_INVALID_ARGUMENT: "the server calls the request invalid",
  SSH_SFTP_FAILURE: "the server does not say why",
};

/** What the server said, for errors that are made of other ones. */
const words = new WeakMap<SftpError, string>();

/** What is known of a failed operation. */
export interface FailedOperation {
  /** What was to be done, such as `"read"`. */
  readonly action: string;
  /** To which path. */
  readonly path: string;
  /** On which host, as `user@host:port`. */
  readonly host?: string | undefined;
  /** What it had changed by then, if anything. */
  readonly effects?: { readonly isDone: boolean } | undefined;
}

/**
 * Names the path of the caller in an error about a file that is written beside
 * it first.
 *
 * @param error Any error.
 * @param beside The path of that file.
 * @param operation What the caller wants.
 * @returns The same error, if it is about something else.
 */
export function aboutPath(
  error: unknown,
  beside: string,
  operation: FailedOperation,
): unknown {
  const isAbout = error instanceof SftpError && error.path === beside &&
    error.status !== undefined;
  if (!isAbout) return error;
  const { code, status } = error;
  const said = words.get(error) ?? "";
  return operationError(code, operation, {
    status: status!,
    said,
    cause: error,
  });
}

/**
 * Makes the error of a failed operation.
 *
 * @param code What went wrong.
 * @param operation What was to be done.
 * @param options The status, what the server said, and the cause.
 * @returns The error.
 */
export function operationError(
  code: SftpErrorCode,
  operation: FailedOperation,
  options: { status?: number; said?: string; cause?: unknown } = {},
): SftpError {
  const { action, path, host, effects } = operation;
  const text = CODE_TEXTS[code] ?? code;
  const said = options.said === undefined || options.said === ""
    ? ""
    : ` (server says "${serverText(options.said)}")`;
  const on = host === undefined ? "" : ` on "${host}"`;
  const error = new SftpError(
    code,
    `Cannot ${action} ${quotedPath(path)}${on}: ${text}${said}`,
    {
      host,
      path,
      status: options.status,
      mayHaveRun: effects?.isDone ?? false,
      ...(options.cause === undefined ? {} : { cause: options.cause }),
    },
  );
  if (options.said !== undefined) words.set(error, options.said);
  return error;
}
