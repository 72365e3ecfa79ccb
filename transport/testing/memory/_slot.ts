/** One session channel of a memory connection, as its users see it. */

/** The right to one session channel. */
export interface SessionSlot {
  /** Whether the server has opened it; `undefined` if it is still to be asked. */
  readonly opened: Promise<void> | undefined;
  /** Gives it back. Idempotent. */
  give(): void;
}

/** What ends with the connection. */
export interface Ending {
  /** The connection has ended, and why. */
  lost(message: string): void;
}
