import { diagnosed, lookForExisting } from "./_diagnose.ts";
import { operationError, SftpError } from "./errors.ts";
import { PacketType } from "./packets.ts";
import type { Call, Protocol } from "./_protocol.ts";

/**
 * Makes a folder and those above it. Begins at the last one, since most often
 * only that is missing.
 */
export async function makeFolders(
  protocol: Protocol,
  call: Call,
  mode: number | undefined,
): Promise<void> {
  try {
    await makeFolder(protocol, call, mode);
  } catch (error) {
    const above = parent(call.path);
    const isMissing = error instanceof SftpError &&
      error.code === "SSH_SFTP_NOT_FOUND";
    if (!isMissing || above === undefined) throw error;
    await makeFolders(protocol, { ...call, path: above }, mode);
    await makeFolder(protocol, call, mode);
  }
}

/** Makes one folder, or takes one that exists for success. */
async function makeFolder(
  protocol: Protocol,
  call: Call,
  mode: number | undefined,
): Promise<void> {
  try {
    await diagnosed(
      protocol,
      call,
      () => protocol.entry(call, PacketType.MKDIR, mode),
      lookForExisting,
      ["SSH_SFTP_FAILURE", "SSH_SFTP_PERMISSION_DENIED"],
    );
  } catch (error) {
    const exists = error instanceof SftpError &&
      error.code === "SSH_SFTP_ALREADY_EXISTS";
    if (!exists) throw error;
    const { isDirectory } = await protocol.stat(call, PacketType.STAT);
    if (!isDirectory) {
      throw operationError("SSH_SFTP_NOT_A_DIRECTORY", {
        ...call,
        host: protocol.host,
      }, { cause: error });
    }
  }
}

/** The folder above a path; `undefined` if there is none to make. */
function parent(path: string): string | undefined {
  const trimmed = path.replace(/\/+$/, "");
  const above = trimmed.slice(0, trimmed.lastIndexOf("/") + 1)
    .replace(/\/+$/, "");
  return above === "" ? undefined : above;
}
