/** What is sent in one request where the server names no limit. */
export const DEFAULT_CHUNK_BYTES: number = 32 * 1024;

/** What is sent in one request at most, whatever the server names. */
const MAX_CHUNK_BYTES = 255 * 1024;

/** What one request carries at most; a limit of 0 stands for none. */
export function chunkBytes(limit: number): number {
  if (limit === 0) return DEFAULT_CHUNK_BYTES;
  return Math.min(limit, MAX_CHUNK_BYTES);
}
