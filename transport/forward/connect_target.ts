/**
 * This side of a remote forward: each tunnel is led to a target here.
 *
 * @module
 */

import { connect, type Socket } from "node:net";
import { streamOfTunnel } from "./tunnel_stream.ts";
import type { Tunnel } from "../connector.ts";
import { type ForwardTarget, targetName } from "../host/target.ts";
import { splice } from "./_splice.ts";
import { ForwardError } from "./errors.ts";

/** How long a target on this side may take to answer, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Leads a tunnel to a target on this side.
 *
 * @param tunnel The tunnel; it is closed if the target cannot be reached. If it
 * is closed first, the target is let go, also while it has not answered. Its
 * bytes are asked for once the target was reached: some are not opened before.
 * @param to The target.
 * @param opened Called when the target was reached.
 * @returns Resolves when both have ended in an orderly way.
 * @throws {ForwardError} If the target cannot be reached.
 */
export async function connectTarget(
  tunnel: Tunnel,
  to: ForwardTarget,
  opened?: () => void,
): Promise<void> {
  let socket: Socket;
  try {
    socket = await dial(to, tunnel.closed);
  } catch (cause) {
    tunnel.close();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ForwardError(
      `Cannot connect to ${JSON.stringify(targetName(to))}: ${why}`,
      { cause },
    );
  }
  opened?.();
  const failure = await splice(socket, streamOfTunnel(tunnel));
  if (failure !== undefined) throw failure;
}

function dial(to: ForwardTarget, left: Promise<void>): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const where = "path" in to
      ? { path: to.path }
      : { host: to.hostname, port: to.port, noDelay: true };
    const socket = connect({ ...where, allowHalfOpen: true });
    const giveUp = (why: string) => {
      if (socket.connecting) socket.destroy(new Error(why));
    };
    const timer = setTimeout(
      () => giveUp(`it did not answer in ${CONNECT_TIMEOUT_MS} ms`),
      CONNECT_TIMEOUT_MS,
    );
    // For good: a late error must not end the process.
    socket.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
    left.then(() => giveUp("the tunnel was closed"));
  });
}
