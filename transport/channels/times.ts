/**
 * How long a connection waits for a server, and a process for its reader.
 *
 * @module
 */

/** How long a server may take, in milliseconds; 0 for ever. */
export interface ChannelTimeouts {
  /** To answer a request for a channel. */
  readonly openMs: number;
  /** To answer our CLOSE with its own, and to send it once all is said. */
  readonly closeMs: number;
  /**
   * To answer a request on a channel. Not the time for an open: a server
   * starts a process before it answers, and a command that was not answered
   * may have run, so it cannot be tried again.
   */
  readonly answerMs: number;
}

/** Times, in milliseconds. */
export interface Times extends ChannelTimeouts {
  /** For the reader of a full output, once its process was sent a signal. */
  readonly stallMs: number;
}

/** What holds outside of tests. */
export const TIMES: Times = {
  openMs: 20_000,
  closeMs: 10_000,
  answerMs: 20_000,
  stallMs: 1_000,
};

/**
 * Returns the times of a connection.
 *
 * @param openMs `channelOpenTimeoutMs`. What is asked on a channel has as much
 *   time, where that is more than usual, and no deadline where an open has none.
 */
export function timesFor(openMs: number = TIMES.openMs): Times {
  const answerMs = openMs && Math.max(openMs, TIMES.answerMs);
  return { ...TIMES, openMs, answerMs };
}
