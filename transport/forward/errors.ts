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
 *
 * @example A port that is in use
 * ```ts
 * import { ConnectionPool, ForwardError } from "@sshpool/sshpool";
 * import { MemoryConnector } from "@sshpool/sshpool/testing";
 * import { assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector();
 * await using pool = new ConnectionPool({ connector, config: false });
 * using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const listen = (taken.addr as Deno.NetAddr).port;
 * await assertRejects(
 *   () => pool.forward("ops@gate", { type: "local", listen, to: "db:5432" }),
 *   ForwardError,
 * );
 * ```
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

/** How many connections a forward may have at once unless it is told otherwise. */
export const MAX_CONNECTIONS = 1024;

/**
 * Makes the error of one connection too many.
 *
 * @param name What the connection was to reach.
 * @param most How many may be open.
 * @returns The error.
 */
export function tooMany(name: string, most: number): ForwardError {
  return new ForwardError(
    `Cannot serve ${name}: ${most} connections are open, the most allowed`,
  );
}
