/**
 * Listeners on this side: each connection goes through a tunnel of its own.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Tunnel } from "../connector.ts";
import {
  type ForwardTarget,
  parseListen,
  parseTarget,
  targetName,
} from "../host/target.ts";
import { Listener, type Route } from "./_listener.ts";
import { serveSocks } from "./_socks.ts";
import type { CommonForwardOptions, Forward, TellFailure } from "./forward.ts";

/** How long a SOCKS client may take to say where to, in milliseconds. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * Opens a tunnel to a target.
 *
 * @param target Where to.
 * @param options The signal aborts when the client hangs up or the forward is
 * closed.
 */
export type OpenTunnel = (
  target: ForwardTarget,
  options: { readonly signal: AbortSignal },
) => Promise<Tunnel>;

/** Options of {@linkcode listenLocal}. */
export interface ListenLocalOptions extends CommonForwardOptions {
  /** Where to listen: a port of 127.0.0.1, `host:port`, or the path of a unix socket. */
  readonly listen: number | string | ForwardTarget;
  /** Where each connection leads to. */
  readonly to: string | ForwardTarget;
}

/** Options of {@linkcode listenSocks}. */
export interface ListenSocksOptions extends CommonForwardOptions {
  /** Where to listen: a port of 127.0.0.1, `host:port`, or the path of a unix socket. */
  readonly listen: number | string | ForwardTarget;
  /**
   * How long a client may take to say where to, in milliseconds.
   *
   * @default {10_000}
   */
  readonly handshakeTimeoutMs?: number;
}

/**
 * Listens, and leads each connection to one target, as `ssh -L` does.
 *
 * @param open Opens the tunnels.
 * @param options Where to listen and where to.
 * @param tell Called for each connection that failed.
 * @returns The forward, which listens.
 * @throws {TypeError} If an address is none.
 * @throws {ForwardError} If it cannot listen there.
 */
export async function listenLocal(
  open: OpenTunnel,
  options: ListenLocalOptions,
  tell?: TellFailure,
): Promise<Forward> {
  const to = parseTarget(options.to);
  const address = parseListen(options.listen);
  const serve = (_client: Socket, { signal }: Route) => open(to, { signal });
  return await Listener.start(address, {
    ...options,
    to,
    tell,
    serve,
    name: `the connection to ${JSON.stringify(targetName(to))}`,
  });
}

/**
 * Listens as a SOCKS proxy (versions 4, 4a and 5), as `ssh -D` does: each client
 * says where to. Host names are looked up by the server. There is no
 * authentication: a user id of version 4 is read and not looked at.
 *
 * @param open Opens the tunnels.
 * @param options Where to listen.
 * @param tell Called for each connection that failed.
 * @returns The forward, which listens.
 * @throws {TypeError} If the address is none.
 * @throws {ForwardError} If it cannot listen there.
 */
export async function listenSocks(
  open: OpenTunnel,
  options: ListenSocksOptions,
  tell?: TellFailure,
): Promise<Forward> {
  const address = parseListen(options.listen);
  const handshakeTimeoutMs = options.handshakeTimeoutMs ??
    HANDSHAKE_TIMEOUT_MS;
  return await Listener.start(address, {
    ...options,
    tell,
    name: "a SOCKS client",
    serve: (client, route) =>
      serveSocks(client, {
        handshakeTimeoutMs,
        open: (target) => open(route.to = target, { signal: route.signal }),
      }),
  });
}
