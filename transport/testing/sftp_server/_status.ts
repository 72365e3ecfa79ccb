/** Which SFTP status stands for which failure, as in OpenSSH's sftp-server. */

import { Status } from "../../sftp/packets.ts";
import { FileError, type FileErrorCode } from "./served_files.ts";

const STATUSES: Partial<Record<FileErrorCode, number>> = {
  ENOENT: Status.NO_SUCH_FILE,
  ENOTDIR: Status.NO_SUCH_FILE,
  EBADF: Status.NO_SUCH_FILE,
  ELOOP: Status.NO_SUCH_FILE,
  EPERM: Status.PERMISSION_DENIED,
  EACCES: Status.PERMISSION_DENIED,
  ENAMETOOLONG: Status.BAD_MESSAGE,
  EINVAL: Status.BAD_MESSAGE,
  ENOSYS: Status.OP_UNSUPPORTED,
};

const TEXTS = [
  "Success",
  "End of file",
  "No such file",
  "Permission denied",
  "Failure",
  "Bad message",
  "No connection",
  "Connection lost",
  "Operation unsupported",
];

/** What OpenSSH says with a status. */
export function statusText(status: number): string {
  return TEXTS[status] ?? "Unknown error";
}

/** The status of a failure, and what to say with it. */
export function failureOf(error: unknown): { status: number; text: string } {
  if (!(error instanceof FileError)) {
    const text = error instanceof Error ? error.message : String(error);
    return { status: Status.FAILURE, text };
  }
  const status = error.status ?? STATUSES[error.code] ?? Status.FAILURE;
  return { status, text: error.message || statusText(status) };
}
