/**
 * The error of forwards.
 *
 * @module
 */

import { type ErrorPhase, SshError } from "../errors.ts";

/**
 * A forward could not be set up, or one of its connections failed on this
 * side: the address is in use, a client does not speak SOCKS, there are too
 * many connections. The `cause` has the system's own error.
 */
export class ForwardError extends SshError {
  static {
    this.prototype.name = "ForwardError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_FORWARD";
  /** The step that failed. */
  override readonly phase: ErrorPhase = "channel";
}
