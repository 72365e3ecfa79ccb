/**
 * The byte stream below a connection: TCP, a proxy command, or a tunnel.
 *
 * @module
 */

import { connect, isIP } from "node:net";
import type { Duplex } from "node:stream";
import type { Tunnel } from "../../connector.ts";
import { DialError, type DialPhase } from "../../errors.ts";
import { hostLabel, type ResolvedHost } from "../../host/host.ts";
import { lookupHint } from "../../host/lookup_hint.ts";
import { openProxyCommand } from "./_proxy_command.ts";
import { streamOfTunnel } from "../../forward/tunnel_stream.ts";

/** Told which step of the dial is under way. */
export type OnPhase = (phase: DialPhase) => void;

/**
 * Starts the byte stream. It is the caller's to destroy, from the first moment.
 *
 * @param host The host.
 * @param tunnel What to use instead of TCP.
 * @param onPhase Told of `dns`, `tcp` and `proxy`.
 */
export function startSocket(
  host: ResolvedHost,
  tunnel: Tunnel | undefined,
  onPhase: OnPhase,
): Duplex {
  if (tunnel !== undefined) {
    onPhase("proxy");
    return streamOfTunnel(tunnel);
  }
  if (host.proxyCommand !== undefined) {
    onPhase("proxy");
    return openProxyCommand(host.proxyCommand, host);
  }
  return startTcp(host, onPhase);
}

function startTcp(host: ResolvedHost, onPhase: OnPhase): Duplex {
  const { hostname, port, addressFamily, bindAddress } = host;
  const version = isIP(hostname);
  const isAddress = version !== 0;
  if (isAddress && addressFamily !== undefined && version !== addressFamily) {
    // Left to itself the socket would look at the family of names alone.
    throw new DialError(
      "dns",
      `Cannot connect to ${JSON.stringify(hostLabel(host))}: ` +
        `addressFamily is ${addressFamily}, but it is an IPv${version} address`,
      { host: hostLabel(host) },
    );
  }
  onPhase(isAddress ? "tcp" : "dns");
  // By name and not by an address of our own lookup: Deno grants network
  // access by the name that is given here, and tries several addresses itself.
  const socket = connect({
    host: hostname,
    port,
    // ssh2 leaves Nagle's algorithm on, which costs 40 ms for each command.
    noDelay: true,
    autoSelectFamily: true,
    ...addressFamily === undefined ? {} : { family: addressFamily },
    ...bindAddress === undefined ? {} : { localAddress: bindAddress },
  });
  if (!isAddress) {
    socket.on("lookup", (error) => {
      if (!error) onPhase("tcp");
    });
  }
  return socket;
}

/** Resolves when the stream can be written to; rejects when it cannot. */
export function untilConnected(
  socket: Duplex & { connecting?: boolean },
): Promise<void> {
  if (socket.connecting !== true) return Promise.resolve();
  return new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("the socket was closed")));
  });
}

/** The error of a stream that did not come up. */
export function socketError(
  host: ResolvedHost,
  phase: DialPhase,
  cause: unknown,
): DialError {
  if (cause instanceof DialError) return cause;
  const error = firstCause(cause);
  const name = hostLabel(host);
  // A refusal has another code: this one was let in, and thrown out before
  // the runtime had told us so.
  if (phase === "tcp" && codeOf(error) === "ECONNRESET") {
    return new DialError(
      "banner",
      `Cannot connect to ${JSON.stringify(name)}: the connection was reset ` +
        "before the server's banner",
      { host: name, cause: error, throttled: true },
    );
  }
  const what = phase === "dns"
    ? `cannot look up ${JSON.stringify(host.hostname)}`
    : "no connection";
  // Deno's own refusal: no resolver has this code.
  const why = phase === "dns" && codeOf(error) === "EPERM"
    ? "the runtime does not permit it, run with " +
      `--allow-net=${host.hostname}:${host.port}`
    : error.message;
  return new DialError(
    phase,
    `Cannot connect to ${JSON.stringify(name)}: ${what}: ${why}`,
    {
      host: name,
      cause: error,
      hint: phase === "dns" ? lookupHint(host) : undefined,
    },
  );
}

function codeOf(error: Error): unknown {
  return "code" in error ? error.code : undefined;
}

/** Of several addresses that failed, the first says what is wrong. */
function firstCause(cause: unknown): Error {
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) {
    return cause.errors[0];
  }
  return cause instanceof Error ? cause : new Error(String(cause));
}
