/**
 * The forwarded agent: each channel that the server opens leads to its socket.
 *
 * @module
 */

import { connectTarget } from "../forward/connect_target.ts";
import type { Lost } from "./_lost.ts";
import type { ChannelTable } from "./_channel_table.ts";
import { acceptTunnel } from "./_tunnel.ts";

/**
 * How many may be open at once: each is a socket of this machine, and a program
 * over there needs one for the moment of a signature.
 */
const MAX_OPEN = 64;

/** The agent of one connection. */
export interface ForwardedAgent {
  /**
   * The path of its socket, or of its named pipe; `undefined` where the
   * transport itself serves the channels.
   */
  readonly path?: string | undefined;
  /** Whether the server was asked to forward it; once for each connection. */
  isForwarded: boolean;
}

/** Serves the channels to an agent, as long as it is forwarded. */
export function serveAgent(
  table: ChannelTable,
  agent: ForwardedAgent,
  lost: Lost,
): void {
  const { path } = agent;
  if (path === undefined) return;
  let open = 0;
  table.offers.accept("auth-agent@openssh.com", () => {
    if (!agent.isForwarded || open >= MAX_OPEN) return undefined;
    return (take) => {
      open++;
      const tunnel = acceptTunnel(take, lost);
      tunnel.closed.then(() => open--);
      // Without its agent the channel is refused, and that is the answer.
      connectTarget(tunnel, { path }).catch(() => {});
    };
  });
}
