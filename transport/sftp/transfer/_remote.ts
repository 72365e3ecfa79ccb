import { SftpError } from "../errors.ts";
import type { SftpFileInfo } from "../file_info.ts";
import type { SourceInfo } from "./_plan.ts";

/** What is known of a file on the server. */
export function remoteInfo(
  { size, mode, atime, mtime }: SftpFileInfo,
): SourceInfo {
  return {
    size,
    mode: mode === null ? undefined : mode & 0o777,
    atime: atime === null ? undefined : atime.getTime() / 1000,
    mtime: mtime === null ? undefined : mtime.getTime() / 1000,
  };
}

/** Gives `undefined` where there is nothing of that name. */
export async function ifThere<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await looking;
  } catch (error) {
    if (error instanceof SftpError && error.code === "SSH_SFTP_NOT_FOUND") {
      return undefined;
    }
    throw error;
  }
}
