/**
 * Host keys: who may answer to the name of a host.
 *
 * @module
 */

import type { Notice } from "../connector.ts";
import { HostKeyError } from "../errors.ts";
import {
  type HostKey,
  type HostKeyVerifier,
  hostLabel,
  type ResolvedHost,
} from "../host/host.ts";
import { knownHostsCheck } from "./known_hosts.ts";
import { fingerprint, type HostKeyCheck } from "./check.ts";

type Pin = `SHA256:${string}`;

const PIN = /^SHA256:[A-Za-z0-9+/]{43}=?$/;

/** A fleet fits. A caller that makes up names without end does not leak. */
const MAX_TOLD = 50_000;

/** Hosts whose missing verification was told; one line for each is enough. */
const toldInsecure = new Set<string>();

/**
 * Reads the host's policy, and the known_hosts files if it needs them, before
 * the dial: which keys are known decides which algorithms are offered.
 *
 * @param host The host.
 * @param onNotice Called for accepted keys, for bad lines, and for a missing check.
 * @returns The check.
 * @throws {TypeError} If `host.hostKey` is no policy.
 * @throws {DialError} If a known_hosts file exists and cannot be read.
 *
 * @example Usage
 * ```ts no-assert
 * import { prepareHostKeyCheck } from "./policy.ts";
 *
 * const check = await prepareHostKeyCheck({
 *   hostname: "db1",
 *   user: "ops",
 *   port: 22,
 *   hostKey: "SHA256:n3jcYVdXy6Rd2OTlVCdnbPAsz/XnLhGj0Un7tuU9UGc",
 * });
 * check.hostKeyAlgorithms; // []: a pin does not tell its key type
 * ```
 */
export async function prepareHostKeyCheck(
  host: ResolvedHost,
  onNotice: (notice: Notice) => void = () => {},
): Promise<HostKeyCheck> {
  const policy: unknown = host.hostKey ?? "strict";
  switch (policy) {
    case "strict":
      return await knownHostsCheck(host, { acceptNew: false, onNotice });
    case "accept-new":
      return await knownHostsCheck(host, { acceptNew: true, onNotice });
    case "insecure-accept-any":
      return acceptAny(host, onNotice);
  }
  if (typeof policy === "function") return ask(policy as HostKeyVerifier);
  const pins: readonly unknown[] = Array.isArray(policy) ? policy : [policy];
  if (pins.length === 0 || !pins.every(isPin)) throw badPolicy(policy);
  return pinned(pins.map((pin) => pin.replace(/=$/, "")));
}

function isPin(value: unknown): value is Pin {
  return typeof value === "string" && PIN.test(value);
}

function badPolicy(policy: unknown): TypeError {
  const shown = Array.isArray(policy)
    ? `[${policy.map(show).join(", ")}]`
    : show(policy);
  return new TypeError(
    `Cannot use the option hostKey: it is ${shown}, must be "strict", ` +
      `"accept-new", "insecure-accept-any", "SHA256:" with 43 characters of ` +
      `base64, a list of such fingerprints, or a function`,
  );
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value === null || typeof value !== "object") return String(value);
  return "an object";
}

function acceptAny(
  host: ResolvedHost,
  onNotice: (notice: Notice) => void,
): HostKeyCheck {
  const name = hostLabel(host);
  const verify = (key: HostKey): Promise<void> => {
    if (!toldInsecure.has(name)) {
      if (toldInsecure.size >= MAX_TOLD) toldInsecure.clear();
      toldInsecure.add(name);
      onNotice({
        code: "insecure-host-key",
        message: `Accepting any host key of ${JSON.stringify(name)}: ` +
          `nothing protects this connection from whoever is on the path; ` +
          `the server showed ${key.type} ${key.fingerprint}`,
      });
    }
    return Promise.resolve();
  };
  return { hostKeyAlgorithms: [], verify };
}

function ask(verifier: HostKeyVerifier): HostKeyCheck {
  const verify = async (key: HostKey): Promise<void> => {
    let answer: unknown;
    try {
      answer = await verifier(key);
    } catch (cause) {
      throw refused(key, "the function of the option hostKey threw", { cause });
    }
    // Only `true`: a forgotten `return`, or a truthy object, must not open
    // the door.
    if (answer === true) return;
    throw refused(
      key,
      answer === false
        ? "the function of the option hostKey refused it"
        : `the function of the option hostKey gave ${show(answer)}, ` +
          `must give true or false`,
    );
  };
  return { hostKeyAlgorithms: [], verify };
}

function refused(
  key: HostKey,
  why: string,
  options: ErrorOptions = {},
): HostKeyError {
  return new HostKeyError(
    `Cannot trust the host key ${key.type} ${key.fingerprint} of ` +
      `${JSON.stringify(key.host)}: ${why}`,
    {
      ...options,
      host: key.host,
      fingerprint: key.fingerprint,
      reason: "refused",
    },
  );
}

function pinned(pins: readonly string[]): HostKeyCheck {
  const verify = (key: HostKey): Promise<void> => {
    // From the key itself, and not from the field that an adapter filled in.
    const shown = fingerprint(key.key);
    if (pins.includes(shown)) return Promise.resolve();
    return Promise.reject(
      new HostKeyError(
        `Cannot trust the host key of ${JSON.stringify(key.host)}: ` +
          `the server shows ${key.type} ${shown}, the option hostKey allows ` +
          `${pins.join(" or ")}; either somebody is on the path, or the key ` +
          `was changed, or it is another of the server's keys`,
        {
          host: key.host,
          fingerprint: shown,
          expected: pins,
          reason: "mismatch",
        },
      ),
    );
  };
  return { hostKeyAlgorithms: [], verify };
}
