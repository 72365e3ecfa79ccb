/**
 * How long a connection waits for a server, and a process for its reader.
 *
 * @module
 */

import type { ChannelTimeouts } from "./_channel_table.ts";

/** Times, in milliseconds. */
export interface Times extends ChannelTimeouts {
  /** For the reader of a full output, once its process was sent a signal. */
  readonly stallMs: number;
}

/** What holds outside of tests. */
export const TIMES: Times = {
  openMs: 20_000,
  closeMs: 10_000,
  stallMs: 1_000,
};
