/**
 * SFTP version 3 says no more than "failure" where a name exists already or
 * the disk is full. These functions look a second time to find out, and leave
 * the error as it is where that tells nothing for certain.
 *
 * @module
 */

import { operationError, SftpError, type SftpErrorCode } from "./errors.ts";
import type { SftpFileInfo } from "./file.ts";
import { PacketType } from "./packets.ts";
import type { Handle, SftpCall } from "./_call.ts";

/** Looks for the reason of a failure; `undefined` if it finds none. */
type Look = (call: SftpCall) => Promise<SftpErrorCode | undefined>;

/**
 * Runs an operation, and names the reason when the server does not.
 *
 * @param call What the operation is for.
 * @param run The operation.
 * @param look How to find the reason of a failure.
 * @param codes Which errors are looked into.
 * @returns What the operation gives.
 */
export async function diagnosed<T>(
  call: SftpCall,
  run: () => Promise<T>,
  look: Look,
  codes: readonly SftpErrorCode[] = ["SSH_SFTP_FAILURE"],
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof SftpError) || !codes.includes(error.code)) {
      throw error;
    }
    const code = await look(call).catch(() => undefined);
    call.signal?.throwIfAborted();
    throw code === undefined ? error : restated(error, code, call);
  }
}

function restated(
  error: SftpError,
  code: SftpErrorCode,
  call: SftpCall,
): SftpError {
  return operationError(code, call, {
    ...(error.status === undefined ? {} : { status: error.status }),
    cause: error,
  });
}

/** For what makes a new name. */
export const lookForExisting: Look = async (call) => {
  return await lstat(call) === undefined
    ? undefined
    : "SSH_SFTP_ALREADY_EXISTS";
};

/** For what opens a file to write. */
export const lookForFolder: Look = async (call) => {
  const info = await call.stat(PacketType.STAT);
  return info.isDirectory ? "SSH_SFTP_IS_A_DIRECTORY" : undefined;
};

/** For what needs a folder. */
export const lookForFile: Look = async (call) => {
  const info = await call.stat(PacketType.STAT);
  return !info.isDirectory && info.mode !== null
    ? "SSH_SFTP_NOT_A_DIRECTORY"
    : undefined;
};

/** How many answers without a name are waited for: an empty folder has one. */
const MAX_EMPTY = 10;

/** For what removes a folder. */
export const lookForEntries: Look = async (call) => {
  const handle = await call.openDir();
  try {
    for (let empty = 0; empty < MAX_EMPTY; empty++) {
      const entries = await call.readDir(handle);
      if (entries === null) break;
      if (entries.length > 0) return "SSH_SFTP_NOT_EMPTY";
    }
    return undefined;
  } finally {
    call.closeUnobserved(handle);
  }
};

/** For what renames: the new name decides. */
export function lookAtTarget(to: string): Look {
  return async (call) => {
    const target = call.at(to);
    const info = await lstat(target);
    if (info === undefined) return undefined;
    if (!call.protocol.has("posix-rename@openssh.com", "1")) {
      return "SSH_SFTP_ALREADY_EXISTS";
    }
    const source = await lstat(call);
    if (!info.isDirectory || source === undefined) return undefined;
    if (!source.isDirectory) return "SSH_SFTP_IS_A_DIRECTORY";
    return await lookForEntries(target);
  };
}

/**
 * For a failed write: the file system of a file is full if it has less room
 * than the write needs. The handle may be closed already, since the request for
 * that can follow the write at once: then the path tells.
 */
export function lookForSpace(handle: Handle, bytes: number): Look {
  return async (call) => {
    if (!call.protocol.has("fstatvfs@openssh.com", "2")) return undefined;
    const { availableBytes } = await call.fileSystem(handle)
      .catch(() => call.fileSystem());
    return availableBytes < bytes ? "SSH_SFTP_NO_SPACE" : undefined;
  };
}

async function lstat(
  call: SftpCall,
): Promise<SftpFileInfo | undefined> {
  try {
    return await call.stat(PacketType.LSTAT);
  } catch (error) {
    if (error instanceof SftpError && error.code === "SSH_SFTP_NOT_FOUND") {
      return undefined;
    }
    throw error;
  }
}
