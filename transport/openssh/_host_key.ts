/**
 * Who decides on the host key: known_hosts files are read by `ssh` itself,
 * fingerprints and functions are asked through its KnownHostsCommand.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Notice } from "../connector.ts";
import { DialError, HostKeyError } from "../errors.ts";
import { hostLabel, type ResolvedHost } from "../host/host.ts";
import { fingerprint } from "../host_key/check.ts";
import { prepareHostKeyCheck } from "../host_key/policy.ts";
import { asOneWord } from "./_arguments.ts";
import type { DialLog } from "./_log.ts";

/** How a dial lets `ssh` decide. */
export interface HostKeyPlan {
  /** Options of `ssh`. */
  readonly options: Readonly<Record<string, string>>;
  /** Whether `ssh` has to have KnownHostsCommand. */
  readonly needsCommand: boolean;
  /**
   * Judges a key that `ssh` asks about, given as its type and base64.
   *
   * @returns Whether it is trusted.
   */
  judge?(type: string, base64: string): Promise<boolean>;
  /** Reports what a dial that succeeded has to say about the key. */
  accepted?(log: DialLog): Promise<void>;
  /**
   * The error of a dial that failed because of the key.
   *
   * @param isRefused Whether ssh says that it was the key: it may be, too, that
   *   the server hung up meanwhile.
   * @returns `undefined` for that of the log.
   */
  failure(log: DialLog, isRefused: boolean): DialError | undefined;
}

/** What a plan needs of its dial. */
export interface HostKeyContext {
  /** The command that asks this process about a key. */
  readonly command: string;
  readonly onNotice: ((notice: Notice) => void) | undefined;
}

/** No file is asked besides. */
const NO_FILES = {
  UserKnownHostsFile: "/dev/null",
  GlobalKnownHostsFile: "/dev/null",
};
const COMMAND_ALONE = {
  ...NO_FILES,
  StrictHostKeyChecking: "yes",
  VerifyHostKeyDNS: "no",
  UpdateHostKeys: "no",
  CheckHostIP: "no",
};

/**
 * Makes the plan of a dial.
 *
 * @throws {TypeError} If `host.hostKey` is no policy.
 * @throws {DialError} With phase `config` if a path cannot be given to ssh.
 */
export async function hostKeyPlan(
  host: ResolvedHost,
  { command, onNotice }: HostKeyContext,
): Promise<HostKeyPlan> {
  const policy: unknown = host.hostKey ?? "strict";
  const common = {
    NoHostAuthenticationForLocalhost: "no",
    ...host.hostKeyAlias === undefined
      ? {}
      : { HostKeyAlias: asOneWord(host, "hostKeyAlias", host.hostKeyAlias) },
  };
  if (policy === "strict" || policy === "accept-new") {
    return knownHosts(host, policy, common);
  }
  const check = await prepareHostKeyCheck(host, onNotice);
  const keyOf = (type: string, key: Uint8Array, print: string) => ({
    host: hostLabel(host),
    hostname: host.hostKeyAlias ?? host.hostname,
    port: host.port,
    type,
    fingerprint: print,
    key,
  });
  if (policy === "insecure-accept-any") {
    return {
      options: { ...common, ...NO_FILES, StrictHostKeyChecking: "no" },
      needsCommand: false,
      // It is told of in a notice, once for each host.
      accepted: ({ shownKey: { type, fingerprint } }) =>
        check.verify(keyOf(type, new Uint8Array(0), fingerprint)),
      failure: () => undefined,
    };
  }
  if (typeof policy !== "function") return pinned(host, common);
  let refusal: unknown;
  return {
    options: { ...common, ...COMMAND_ALONE, KnownHostsCommand: command },
    needsCommand: true,
    async judge(type, base64) {
      const key = new Uint8Array(Buffer.from(base64, "base64"));
      try {
        await check.verify(keyOf(type, key, fingerprint(key)));
        return true;
      } catch (error) {
        refusal = error;
        return false;
      }
    },
    failure: () => refusal instanceof DialError ? refusal : undefined,
  };
}

function knownHosts(
  host: ResolvedHost,
  policy: "strict" | "accept-new",
  common: Readonly<Record<string, string>>,
): HostKeyPlan {
  const options: Record<string, string> = {
    ...common,
    StrictHostKeyChecking: policy === "strict" ? "yes" : "accept-new",
  };
  const { knownHostsFiles: user, globalKnownHostsFiles: global } = host;
  if (policy === "accept-new" && user?.length === 0) {
    throw new DialError(
      "config",
      `Cannot connect to ${JSON.stringify(hostLabel(host))}: knownHostsFiles ` +
        'is empty, must name the file to which hostKey "accept-new" adds keys',
      { host: hostLabel(host) },
    );
  }
  if (user !== undefined) {
    options.UserKnownHostsFile = user.length === 0 ? "/dev/null" : user
      .map((it) => asOneWord(host, "knownHostsFiles", it.replaceAll("%", "%%")))
      .join(" ");
  }
  if (global !== undefined) {
    options.GlobalKnownHostsFile = global.length === 0 ? "/dev/null" : global
      .map((it) => asOneWord(host, "globalKnownHostsFiles", it)).join(" ");
  }
  if (host.hashKnownHosts === true) options.HashKnownHosts = "yes";
  return { options, needsCommand: false, failure: () => undefined };
}

/** Fingerprints are compared by a shell: nobody has to be asked. */
function pinned(
  host: ResolvedHost,
  common: Readonly<Record<string, string>>,
): HostKeyPlan {
  const pins = [host.hostKey as string | readonly string[]].flat()
    .map((pin) => pin.replace(/=$/, ""));
  const script = `case "$1" in ${pins.join("|")}) echo "$2 $3 $4";; esac`;
  return {
    options: {
      ...common,
      ...COMMAND_ALONE,
      KnownHostsCommand: `/bin/sh -c '${script}' sh %f %H %t %K`,
    },
    needsCommand: true,
    failure: ({ shownKey: { type, fingerprint } }, isRefused) =>
      !isRefused ? undefined : new HostKeyError(
        `Cannot trust the host key of ${JSON.stringify(hostLabel(host))}: ` +
          `the server shows ${type} ${fingerprint}, the option hostKey allows ` +
          `${pins.join(" or ")}; either somebody is on the path, or the key ` +
          "was changed, or it is another of the server's keys",
        {
          host: hostLabel(host),
          fingerprint,
          expected: pins,
          reason: "mismatch",
        },
      ),
  };
}
