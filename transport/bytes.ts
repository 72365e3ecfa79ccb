/**
 * Puts pieces of bytes together.
 *
 * @module
 */

/** Returns all pieces as one, which is a copy. */
export function joinBytes(
  pieces: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const piece of pieces) size += piece.length;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/**
 * Returns all that a source gives, as one.
 *
 * @param source The source.
 * @param onBytes Told of each piece before it is kept; may throw, which ends it.
 */
export async function collectBytes(
  source: AsyncIterable<Uint8Array>,
  onBytes: (length: number) => void = () => {},
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) {
    onBytes(piece.length);
    pieces.push(piece);
  }
  return joinBytes(pieces);
}
