/**
 * One sshd for all benches of a file, where it is installed.
 *
 * @module
 */

import {
  noSshd,
  type Sshd,
  type SshdOptions,
  startSshd,
} from "../tests/_sshd.ts";
import type { BareHost } from "./_ssh2.ts";

export { noSshd };

/** Says why there are no figures, in the name of a bench that is ignored. */
export const sshdHint = noSshd
  ? " (ignored: install openssh-server to run this bench)"
  : "";

const running = new Map<string, Promise<Sshd>>();

/** An sshd with these options, started once. */
export function sharedSshd(options: SshdOptions = {}): Promise<Sshd> {
  const key = JSON.stringify(options);
  const known = running.get(key);
  if (known !== undefined) return known;
  const started = startSshd(options).then(killAtEnd);
  running.set(key, started);
  return started;
}

function killAtEnd(sshd: Sshd): Sshd {
  globalThis.addEventListener("unload", () => {
    // The hook is synchronous: the kill is too, up to waiting for its end.
    sshd.kill();
    Deno.removeSync(sshd.dir, { recursive: true });
  });
  return sshd;
}

/** What bare ssh2 needs to know to log in. */
export function bareHost(sshd: Sshd, hostname = "127.0.0.1"): BareHost {
  const { port, user, privateKey } = sshd.host();
  if (port === undefined || user === undefined) throw new Error("Bug: no host");
  return { hostname, port, user, privateKey: String(privateKey) };
}
