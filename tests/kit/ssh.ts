/**
 * Whether the `ssh` of this machine can be tested with.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Whether tests that need `ssh` have to be ignored. */
export const noSsh: boolean = !(Deno.env.get("PATH") ?? "").split(delimiter)
  .some((folder) => existsSync(join(folder, "ssh")));

/** What to tell whoever sees such a test ignored. */
export const sshHint = "install openssh-client to run this test";
