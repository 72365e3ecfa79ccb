/**
 * What the embedded server of the tests touches of ssh2's server.
 *
 * @module
 */

// @ts-types="@types/ssh2"
import type { Connection, Session } from "ssh2";
import type { RawServerConnection, RawServerSession } from "./internals.ts";

/** Looks inside the server's side of a connection. */
export function serverInternalsOf(connection: Connection): RawServerConnection {
  return connection as unknown as RawServerConnection;
}

/** Looks inside a session of a server. */
export function sessionInternalsOf(session: Session): RawServerSession {
  return session as unknown as RawServerSession;
}
