import { Buffer } from "node:buffer";
import type { FileHandle } from "node:fs/promises";
import type { SftpFile } from "../file.ts";

/**
 * Compares a file on the server with a local one, byte for byte: what an
 * attribute says of them proves nothing.
 *
 * @param size How much of them is compared; both have to have it.
 */
export async function isSameContent(
  remote: SftpFile,
  local: FileHandle,
  size: number,
  signal: AbortSignal,
): Promise<boolean> {
  let offset = 0;
  const range = { end: size, reuse: true, signal };
  for await (const theirs of remote.readRange(range)) {
    const ours = new Uint8Array(theirs.length);
    const { bytesRead } = await local.read(ours, 0, ours.length, offset);
    if (bytesRead < ours.length || Buffer.compare(theirs, ours) !== 0) {
      return false;
    }
    offset += theirs.length;
  }
  return offset === size;
}
