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
} from "../../tests/kit/sshd.ts";

import { atEnd } from "./at_end.ts";

export { noSshd };

/** Says why there are no figures, in the name of a bench that is ignored. */
export const sshdHint = noSshd
  ? " (ignored: install openssh-server to run this bench)"
  : "";

const running = new Map<string, Promise<Sshd>>();

/** Returns an sshd with these options, started once. */
export function sharedSshd(options: SshdOptions = {}): Promise<Sshd> {
  const key = JSON.stringify(options);
  const known = running.get(key);
  if (known !== undefined) return known;
  // As it is without any flag: what a login costs is measured.
  const started = startSshd({ reexec: true, ...options }).then(killAtEnd);
  running.set(key, started);
  return started;
}

function killAtEnd(sshd: Sshd): Sshd {
  atEnd(() => {
    // The kill is synchronous, too, up to waiting for its end.
    sshd.kill();
    Deno.removeSync(sshd.dir, { recursive: true });
  });
  return sshd;
}
