import { ConnectionLostError, SshError } from "../../errors.ts";
import { isGarbled } from "../../options/rules.ts";
import { showValue } from "../../options/show_value.ts";
import { quotedPath, SftpError, type SftpErrorCode } from "../errors.ts";
import { isUnicodeFileName } from "../names.ts";

/** Why a file whose name is not is not copied: a runtime takes another for it. */
export const NOT_UTF8 = "its name is not UTF-8";

/** Whether an error is about one entry, and not about the whole transfer. */
export function isAboutEntry(error: unknown): error is Error {
  if (error instanceof SftpError) {
    return error.code !== "SSH_SFTP_CLOSED" &&
      error.code !== "SSH_SFTP_PROTOCOL" &&
      error.code !== "SSH_SFTP_NO_SPACE";
  }
  // What node:fs throws.
  return error instanceof Error && "code" in error && "syscall" in error &&
    error.code !== "ENOSPC";
}

/**
 * Checks the paths of a transfer.
 *
 * @throws {TypeError} If one is none, or no file here can have it.
 */
export function checkPaths(local: string, remote: string): void {
  for (const path of [local, remote] as unknown[]) {
    if (path instanceof Uint8Array) {
      throw new TypeError(
        "Cannot copy bytes: must be the path of a file; to write bytes to one there is Sftp.writeFile()",
      );
    }
    if (typeof path !== "string" || path === "" || isGarbled(path)) {
      throw new TypeError(
        `Cannot copy: a path is ${showValue(path)}, must be a string that is ` +
          "not empty and has no NUL or half of a character",
      );
    }
  }
  // A runtime would take a file whose name looks like it.
  if (!isUnicodeFileName(local)) {
    throw new TypeError(
      `Cannot copy: the local path is ${
        showValue(local)
      }, must have no half of a character`,
    );
  }
}

/** Makes the error of a transfer. */
export function transferError(
  code: SftpErrorCode,
  path: string,
  detail: string,
): SftpError {
  return new SftpError(code, `Cannot copy ${quotedPath(path)}: ${detail}`, {
    path,
  });
}

/** Whether what failed may have changed something on the server. */
export function mayHaveChanged(error: unknown): boolean {
  return error instanceof SshError && error.mayHaveRun;
}

/**
 * The error of a transfer whose last step failed without having run, but not
 * those before it.
 */
export function afterChanges(error: unknown): unknown {
  if (!(error instanceof SshError) || error.mayHaveRun) return error;
  const { message, host, hint } = error;
  const options = { host, hint, mayHaveRun: true, cause: error };
  if (error instanceof ConnectionLostError) {
    return new ConnectionLostError(message, options);
  }
  if (!(error instanceof SftpError)) return error;
  const { code, path, status } = error;
  return new SftpError(code, message, { ...options, path, status });
}
