/**
 * SFTP version 3 says no more than "failure" where a name exists already or
 * the disk is full. These functions look a second time to find out, and leave
 * the error as it is where that tells nothing for certain.
 *
 * @module
 */

import { operationError, SftpError, type SftpErrorCode } from "./errors.ts";
import type { SftpFileInfo } from "./file_info.ts";
import { PacketType } from "./packets.ts";
import type { Call, Handle, Protocol } from "./_protocol.ts";

/** Looks for the reason of a failure; `undefined` if it finds none. */
type Look = (
  protocol: Protocol,
  call: Call,
) => Promise<SftpErrorCode | undefined>;

/**
 * Runs an operation, and names the reason when the server does not.
 *
 * @param protocol The session.
 * @param call What the operation is for.
 * @param run The operation.
 * @param look How to find the reason of a failure.
 * @param codes Which errors are looked into.
 * @returns What the operation gives.
 */
export async function diagnosed<T>(
  protocol: Protocol,
  call: Call,
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
    const code = await look(protocol, call).catch(() => undefined);
    call.signal?.throwIfAborted();
    throw code === undefined ? error : restated(error, code, call, protocol);
  }
}

function restated(
  error: SftpError,
  code: SftpErrorCode,
  call: Call,
  { host }: Protocol,
): SftpError {
  return operationError(code, { ...call, host }, {
    ...(error.status === undefined ? {} : { status: error.status }),
    cause: error,
  });
}

/** For what makes a new name. */
export const lookForExisting: Look = async (protocol, call) => {
  return await lstat(protocol, call) === undefined
    ? undefined
    : "SSH_SFTP_ALREADY_EXISTS";
};

/** For what opens a file to write. */
export const lookForFolder: Look = async (protocol, call) => {
  const info = await protocol.stat(call, PacketType.STAT);
  return info.isDirectory ? "SSH_SFTP_IS_A_DIRECTORY" : undefined;
};

/** For what needs a folder. */
export const lookForFile: Look = async (protocol, call) => {
  const info = await protocol.stat(call, PacketType.STAT);
  return !info.isDirectory && info.mode !== null
    ? "SSH_SFTP_NOT_A_DIRECTORY"
    : undefined;
};

/** For what removes a folder. */
export const lookForEntries: Look = async (protocol, call) => {
  const handle = await protocol.openDir(call);
  try {
    for (;;) {
      const entries = await protocol.readDir(call, handle);
      if (entries === null) return undefined;
      if (entries.length > 0) return "SSH_SFTP_NOT_EMPTY";
    }
  } finally {
    protocol.closeUnobserved(handle);
  }
};

/** For what renames: the new name decides. */
export function lookAtTarget(to: string): Look {
  return async (protocol, call) => {
    const target = { ...call, path: to };
    const info = await lstat(protocol, target);
    if (info === undefined) return undefined;
    if (!protocol.has("posix-rename@openssh.com", "1")) {
      return "SSH_SFTP_ALREADY_EXISTS";
    }
    const source = await lstat(protocol, call);
    if (!info.isDirectory || source === undefined) return undefined;
    if (!source.isDirectory) return "SSH_SFTP_IS_A_DIRECTORY";
    return await lookForEntries(protocol, target);
  };
}

/**
 * For a failed write: the file system of a file is full if it has less room
 * than the write needs. The handle may be closed already, since the request for
 * that can follow the write at once: then the path tells.
 */
export function lookForSpace(handle: Handle, bytes: number): Look {
  return async (protocol, call) => {
    if (!protocol.has("fstatvfs@openssh.com", "2")) return undefined;
    const { availableBytes } = await protocol.fileSystem(call, handle)
      .catch(() => protocol.fileSystem(call));
    return availableBytes < bytes ? "SSH_SFTP_NO_SPACE" : undefined;
  };
}

async function lstat(
  protocol: Protocol,
  call: Call,
): Promise<SftpFileInfo | undefined> {
  try {
    return await protocol.stat(call, PacketType.LSTAT);
  } catch (error) {
    if (error instanceof SftpError && error.code === "SSH_SFTP_NOT_FOUND") {
      return undefined;
    }
    throw error;
  }
}
