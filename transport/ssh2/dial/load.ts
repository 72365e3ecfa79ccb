/**
 * Loading a module at its first use, within the deadline of a dial.
 *
 * @module
 */

import { onAbort } from "../../abort.ts";
import type { ConnectOptions } from "../../connector.ts";
import { DialError } from "../../errors.ts";
import { hostLabel, type ResolvedHost } from "../../host/host.ts";

/**
 * Loads once: all callers share one load. A load that failed is not kept, so
 * that the next caller tries again.
 *
 * @param load Loads the module.
 * @returns What to call in its place.
 */
export function loadOnce<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => {
    if (loading !== undefined) return loading;
    const mine = loading = load();
    mine.catch(() => loading = undefined);
    return mine;
  };
}

/** What a runtime says of a CommonJS package within a bundle of ES modules. */
const BUNDLED =
  /Dynamic require of|(require|__dirname|__filename) is not defined/;

/** What a dial has to say about its load. */
export type LoadOptions =
  & Pick<ConnectOptions, "signal" | "tunnel">
  & Required<Pick<ConnectOptions, "timeoutMs">>;

/**
 * Loads what a dial needs. The load itself goes on after an abort, for others.
 *
 * @param load Loads the module.
 * @param host The host of the dial.
 * @param options The signal, the deadline and the tunnel of the dial; the
 *   tunnel is closed if this fails.
 * @throws {DialError} If it cannot be loaded, or not before the deadline.
 * @throws The signal's reason on abort.
 */
export async function loadFor<T>(
  load: () => Promise<T>,
  host: ResolvedHost,
  { signal, timeoutMs, tunnel }: LoadOptions,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop = () => {};
  const ended = new Promise<never>((_, reject) => {
    stop = onAbort(signal, () => reject(signal?.reason));
    timer = setTimeout(() => reject(timedOut(host, timeoutMs)), timeoutMs);
  });
  try {
    signal?.throwIfAborted();
    const loaded = load().catch((error) => Promise.reject(failed(host, error)));
    return await Promise.race([loaded, ended]);
  } catch (error) {
    tunnel?.close();
    throw error;
  } finally {
    clearTimeout(timer);
    stop();
  }
}

function failed(host: ResolvedHost, cause: unknown): DialError {
  const name = hostLabel(host);
  const message = cause instanceof Error ? cause.message : String(cause);
  const [why] = message.split("\n");
  return new DialError(
    "config",
    `Cannot connect to ${JSON.stringify(name)}: ssh2 cannot be loaded: ${why}`,
    {
      host: name,
      cause,
      hint: BUNDLED.test(message)
        ? "Tell your bundler that ssh2 and bcrypt-pbkdf are external"
        : "Install the dependencies of @sshpool/sshpool; ssh2 is one of them",
    },
  );
}

function timedOut(host: ResolvedHost, timeoutMs: number): DialError {
  const name = hostLabel(host);
  return new DialError(
    "timeout",
    `Cannot connect to ${JSON.stringify(name)}: no success within ` +
      `${Math.round(timeoutMs)} ms, while loading ssh2`,
    { host: name },
  );
}
