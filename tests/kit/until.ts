/**
 * Waits for what nothing tells of: a process that ends, a line in a log.
 *
 * @module
 */

/** Far more than it takes on a busy machine. */
const PATIENCE_MS = 30_000;

/**
 * Waits until something holds.
 *
 * @param holds Whether it does; asked every few milliseconds.
 * @param what What that is, for the message of the error.
 * @throws {Error} If it does not hold within half a minute.
 */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string = `${holds}`,
): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !await holds();) {
    if (performance.now() > end) {
      throw new Error(`Not within ${PATIENCE_MS} ms: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
