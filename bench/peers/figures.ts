/**
 * Takes the figures of the peers, on an sshd of this run.
 *
 * @module
 */

import { join } from "node:path";
import { describeMachine } from "../kit/machine.ts";
import { noSshd, sharedSshd } from "../kit/sshd.ts";
import { workFolder } from "../kit/work_folder.ts";
import type { Figures } from "../report/figures.ts";
import { short } from "../report/report.ts";
import { findPeers } from "./find.ts";
import { FULL, hostOf, runPeers, SHORT } from "./run.ts";

/** Takes the figures. */
export async function takePeerFigures(): Promise<Figures> {
  if (noSshd) throw new Error("Cannot compare: install openssh-server");
  const at = new Date().toISOString();
  const machine = await describeMachine();
  const folder = workFolder();
  const programs = join(folder, "programs");
  await Deno.mkdir(programs);
  const found = await findPeers(programs);
  const sshd = await sharedSshd({ listen: "0.0.0.0" });
  try {
    const result = await runPeers(found, {
      sizes: short ? SHORT : FULL,
      host: await hostOf(sshd, folder),
      folder,
      // deno-lint-ignore no-console -- tells how far it is
      onRun: (text) => console.error(text),
    });
    const rivals = found.versions.join(", ");
    return { at, short, machine: { ...machine, rivals }, results: [result] };
  } finally {
    // A child that runs would keep this process.
    await sshd.kill();
  }
}
