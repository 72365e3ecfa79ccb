/**
 * Files of the user's that others may have a hand in: keys, configurations.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { constants, type Stats } from "node:fs";
import { open } from "node:fs/promises";

// Without O_NONBLOCK, opening a FIFO without a writer would block for ever.
// Windows has no such flag.
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/**
 * Reads a file. One that may have no end is not read: a device is as an empty
 * file, and a FIFO is an error, since nothing can end a read once it has begun.
 *
 * @param path Its path.
 * @param maxBytes The most it may have.
 * @param check Looks at what the system says of it, and may throw.
 * @returns Its content, and what the system says of it.
 */
export async function readSmallFile(
  path: string,
  maxBytes: number,
  check: (stats: Stats) => void = () => {},
): Promise<{ readonly bytes: Buffer; readonly stats: Stats }> {
  const file = await open(path, READ);
  try {
    const stats = await file.stat();
    if (stats.isCharacterDevice()) return { bytes: Buffer.alloc(0), stats };
    if (!stats.isFile() && !stats.isDirectory()) {
      throw new Error(
        stats.isFIFO() ? "it is a FIFO, must be a file" : "it is not a file",
      );
    }
    if (stats.size > maxBytes && stats.isFile()) {
      throw new Error(
        `it has ${stats.size} bytes, must have at most ${maxBytes}`,
      );
    }
    check(stats);
    return { bytes: await file.readFile(), stats };
  } finally {
    await file.close();
  }
}
