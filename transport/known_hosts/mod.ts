/**
 * The policies that read known_hosts files: `strict` and `accept-new`.
 *
 * @module
 */

import type { Notice } from "../connector.ts";
import { HostKeyError } from "../errors.ts";
import type { HostKey, ResolvedHost } from "../host.ts";
import type { HostKeyCheck } from "../host_key.ts";

/** Options for {@linkcode knownHostsCheck}. */
export interface KnownHostsCheckOptions {
  /** Add the key of an unknown host to the user's first file. */
  readonly acceptNew: boolean;
  /** Told of accepted keys and of bad lines. */
  readonly onNotice: (notice: Notice) => void;
}

/**
 * Prepares the check of a host against its known_hosts files.
 *
 * @param _host The host.
 * @param _options The policy.
 * @returns The check.
 */
export function knownHostsCheck(
  _host: ResolvedHost,
  _options: KnownHostsCheckOptions,
): Promise<HostKeyCheck> {
  const verify = (key: HostKey): Promise<void> =>
    Promise.reject(
      new HostKeyError(
        `Cannot trust the host key of ${JSON.stringify(key.host)}: ` +
          `no key of this host is known; the server shows ${key.type} ` +
          `${key.fingerprint}. If that is right, set hostKey: ` +
          `"${key.fingerprint}"`,
        {
          host: key.host,
          fingerprint: key.fingerprint,
          reason: "unknown",
        },
      ),
    );
  return Promise.resolve({ hostKeyAlgorithms: [], verify });
}
