/**
 * The byte channel that an SFTP session runs over.
 *
 * @module
 */

/**
 * A two-way byte channel to an SFTP server: an SSH channel with the `sftp`
 * subsystem, or the standard input and output of an `sftp-server` process.
 *
 * The session sets each callback once, before it writes anything.
 */
export interface SftpTransport {
  /**
   * Sends bytes, in the order of the calls. The bytes must not be kept after
   * the transport has sent them, and are not changed before.
   *
   * @returns A promise if the session is to wait before it sends more: it
   * resolves when there is room again. `undefined` if there is room.
   */
  write(bytes: Uint8Array): Promise<void> | undefined;
  /**
   * Sets who receives the bytes of the server. A transport that can must not
   * read more from the peer while the callback runs.
   */
  onData(receive: (bytes: Uint8Array) => void): void;
  /**
   * Sets who is told, once, that the channel has ended: with an error if it
   * was lost, without one if the server closed it.
   */
  onEnd(ended: (error?: Error) => void): void;
  /**
   * Says what is known of the end of the server's program, for a message, such
   * as `exit code 127: sftp-server: not found`; `""` if nothing is. Asked when
   * the channel has ended.
   */
  lastWords?(): string;
  /** Keeps the process alive: an answer is waited for. */
  ref?(): void;
  /** Lets the process end: no answer is waited for. */
  unref?(): void;
  /** Ends the channel. Idempotent, never throws. */
  close(): void;
}
