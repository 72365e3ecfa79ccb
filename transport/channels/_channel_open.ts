/**
 * The request for a channel, and the refusal of one.
 *
 * @module
 */

import { ChannelOpenError } from "../errors.ts";
import type { ForwardTarget } from "../host/target.ts";
import { serverText } from "../session/server_text.ts";
import type { WireField } from "./_wire.ts";

/** What the reason codes of RFC 4254 mean, for servers that give no text. */
const REASONS: Readonly<Record<number, string>> = {
  1: "administratively prohibited",
  2: "connect failed",
  3: "unknown channel type",
  4: "resource shortage",
};

/** Returns the type of a channel to a target, or of a session, and its fields. */
export function openFields(
  target: ForwardTarget | undefined,
): [string, ...WireField[]] {
  if (target === undefined) return ["session"];
  if ("path" in target) {
    return ["direct-streamlocal@openssh.com", target.path, "", 0];
  }
  const { hostname, port } = target;
  return ["direct-tcpip", hostname, port, "127.0.0.1", 0];
}

/** Makes the error of a refusal, with what the server says of it. */
export function refusalOf(
  host: string,
  text: string,
  reason: number,
): ChannelOpenError {
  const why = text === "" ? REASONS[reason] ?? "" : serverText(text);
  return new ChannelOpenError(
    `Cannot open a channel on ${JSON.stringify(host)}: the server ` +
      `refused with reason ${reason}${why === "" ? "" : `: ${why}`}`,
    { host, reason },
  );
}
