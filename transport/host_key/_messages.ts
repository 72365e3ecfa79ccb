/**
 * What the errors of host keys say.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { DialError, HostKeyError } from "../errors.ts";
import { flagsFor, isForbidden } from "../host/forbidden.ts";
import { type HostKey, hostLabel, type ResolvedHost } from "../host/host.ts";
import { fingerprint } from "./check.ts";
import type { LocatedKey } from "./_judge.ts";
import type { KnownKey } from "./parser.ts";

/** No key is known for the host. */
export function unknownError(
  key: HostKey,
  looked: {
    readonly name: string;
    readonly paths: readonly string[];
    readonly authority: LocatedKey | undefined;
  },
): HostKeyError {
  const [first = "a known_hosts file"] = looked.paths;
  const authority = looked.authority && at(looked.authority);
  const hint = authority === undefined ? "" : `; ${authority} has an ` +
    `authority for it, but certificates are not supported`;
  return new HostKeyError(
    `Cannot trust the host key of ${quote(key.host)}: no key is known for ` +
      `${quote(looked.name)}, the server shows ${key.type} ` +
      `${key.fingerprint}${hint}. If that fingerprint is right, set hostKey: ` +
      `"${key.fingerprint}" or hostKey: "accept-new", or add the key to ` +
      first,
    {
      host: key.host,
      fingerprint: key.fingerprint,
      location: authority,
      reason: "unknown",
    },
  );
}

/** Other keys are known for the host. */
export function changedError(
  key: HostKey,
  known: readonly LocatedKey[],
): HostKeyError {
  const sameType = known.filter(({ type }) => type === key.type);
  const deciding = sameType[0] ?? known[0]!;
  const more = known.length > 1 ? ` and ${known.length - 1} more` : "";
  return new HostKeyError(
    `Cannot trust the host key of ${quote(key.host)}: it has changed. The ` +
      `server shows ${key.type} ${key.fingerprint}, known is ` +
      `${deciding.type} ${fingerprintOf(deciding)} in ${
        at(deciding)
      }${more}. ` +
      `Either somebody is on the path, or the key was replaced: then remove ` +
      `that line`,
    {
      host: key.host,
      fingerprint: key.fingerprint,
      expected: [...new Set(known.map(fingerprintOf))],
      location: at(deciding),
      reason: "mismatch",
    },
  );
}

/** The key is marked as revoked. */
export function revokedError(key: HostKey, by: LocatedKey): HostKeyError {
  return new HostKeyError(
    `Cannot trust the host key of ${quote(key.host)}: ${key.type} ` +
      `${key.fingerprint} is revoked in ${at(by)}`,
    {
      host: key.host,
      fingerprint: key.fingerprint,
      location: at(by),
      reason: "revoked",
    },
  );
}

/** A new key could not be added. */
export function unstoredError(
  key: HostKey,
  path: string,
  cause: unknown,
): HostKeyError {
  const { message } = cause as Error;
  const why = isForbidden(cause)
    ? "the runtime does not permit it, run with " +
      `${flagsFor(cause, "read", path)} ${flagsFor(cause, "write", path)}`
    : message;
  return new HostKeyError(
    `Cannot add the host key ${key.type} ${key.fingerprint} of ` +
      `${quote(key.host)} to ${path}: ${why}`,
    {
      cause,
      host: key.host,
      fingerprint: key.fingerprint,
      reason: "unknown",
    },
  );
}

/** A file cannot be read. */
export function fileError(
  host: ResolvedHost,
  path: string,
  { cause, global }: { readonly cause: unknown; readonly global: boolean },
): DialError {
  const name = hostLabel(host);
  const error = cause as Error;
  const option = global ? "globalKnownHostsFiles" : "knownHostsFiles";
  const refusal = error.cause ?? {};
  const advice = isForbidden(refusal)
    ? `run with ${flagsFor(refusal, "read", path)} or leave it out of the ` +
      `option ${option}`
    : `make it readable or leave it out of the option ${option}`;
  return new DialError(
    "hostkey",
    `Cannot verify the host key of ${quote(name)}: cannot read ${path}: ` +
      `${error.message}; ${advice}`,
    { host: name, cause: error.cause ?? error },
  );
}

function at(key: LocatedKey): string {
  return `${key.path}:${key.line}`;
}

function fingerprintOf(key: KnownKey): string {
  return fingerprint(Buffer.from(key.key, "base64"));
}

function quote(text: string): string {
  return JSON.stringify(text);
}
