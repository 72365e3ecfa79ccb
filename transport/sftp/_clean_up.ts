/** How long a server may take to tidy up, in milliseconds. */
const CLEAN_UP_MS = 5_000;

/**
 * Waits for what is tidied up after a failure, but not for ever: a caller who
 * has aborted since the server does not answer must not wait for its answer.
 * What has been sent by then is done all the same if the server comes back.
 *
 * @param work What was begun. Failures of it are ignored.
 */
export function cleanedUp(...work: readonly Promise<unknown>[]): Promise<void> {
  return settledWithin(CLEAN_UP_MS, ...work);
}

/**
 * Waits until all is settled, but not for longer than a time.
 *
 * @param ms The time, in milliseconds.
 * @param work What was begun. Failures of it are ignored.
 */
export async function settledWithin(
  ms: number,
  ...work: readonly Promise<unknown>[]
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([Promise.allSettled(work), late]);
  clearTimeout(timer);
}
