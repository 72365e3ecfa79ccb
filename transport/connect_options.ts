/**
 * What the options of a connection and of its calls may hold, over any adapter.
 *
 * @module
 */

import type { ConnectOptions } from "./connector.ts";
import type { DialPhase } from "./errors.ts";
import {
  callback,
  duration,
  objectWith,
  plainText,
  signal,
  wholeNumber,
} from "./options/rules.ts";
import { Field, OptionTable } from "./options/table.ts";

const time = duration({ zero: true });

/** Of {@linkcode Connector.connect}. */
export const CONNECT_OPTIONS = new OptionTable<ConnectOptions>("connect", {
  signal,
  timeoutMs: duration({ zero: false }),
  keepaliveIntervalMs: time,
  keepaliveCountMax: wholeNumber(0),
  channelOpenTimeoutMs: time,
  tunnel: objectWith("close"),
  openTunnel: callback,
  onNotice: callback,
}, { synonyms: { timeout: "timeoutMs", dialtimeoutms: "timeoutMs" } });

/** Of the calls of a connection that take a signal and nothing else. */
export const SIGNAL_OPTIONS = new OptionTable<
  { readonly signal?: AbortSignal }
>("use the connection", { signal });

/** What the message of a deadline says was under way. */
export const DIAL_STEPS: Readonly<Record<DialPhase, string>> = {
  config: "preparing keys and host keys",
  dns: "looking up the host name",
  tcp: "connecting",
  proxy: "waiting for the proxy",
  banner: "waiting for the server's banner",
  kex: "exchanging keys",
  hostkey: "verifying the host key",
  auth: "authenticating",
  timeout: "waiting",
};

const SUBSYSTEM = new Field("start the subsystem", "name");

/**
 * Checks the name of a subsystem.
 *
 * @throws {TypeError} If it is none.
 */
export function checkSubsystem(name: string): void {
  plainText(name, SUBSYSTEM);
}
