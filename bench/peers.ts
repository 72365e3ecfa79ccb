/**
 * sshpool beside its peers in one run: `deno task bench:peers`.
 *
 * It prints the table and writes it, as `bench:report` does, as Markdown and as
 * a page with plots. Each peer is there that is installed: Go's x/crypto/ssh,
 * asyncssh, ssh2 and node-ssh in Node, `ssh` and `sftp`, and both of our
 * transports. Each is tried as its documentation shows, and once set by hand.
 *
 * Arguments: `--out=folder`, `bench/out/peers` by default. Environment:
 * `SSHPOOL_BENCH_SHORT=1` makes a short run, `SSHPOOL_SEED` another order.
 *
 * @module
 */

import { join } from "node:path";
import { describeMachine } from "./kit/machine.ts";
import { noSshd, sharedSshd } from "./kit/sshd.ts";
import { workFolder } from "./kit/work_folder.ts";
import { findPeers } from "./peers/find.ts";
import { FULL, hostOf, runPeers, SHORT } from "./peers/run.ts";
import { writeReport } from "./report.ts";
import type { Figures } from "./report/figures.ts";
import { short } from "./report/report.ts";
import { formatFile } from "./run.ts";

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
  const result = await runPeers(found, {
    sizes: short ? SHORT : FULL,
    host: await hostOf(sshd, folder),
    folder,
    // deno-lint-ignore no-console -- tells how far it is
    onRun: (text) => console.error(text),
  });
  const rivals = found.versions.join(", ");
  return { at, short, machine: { ...machine, rivals }, results: [result] };
}

if (import.meta.main) {
  const given = Deno.args.find((arg) => arg.startsWith("--out="));
  const out = given?.slice("--out=".length) ??
    join(import.meta.dirname!, "out", "peers");
  const figures = await takePeerFigures();
  await writeReport(figures, out);
  const machine = Object.entries(figures.machine).map(([name, text]) =>
    `${name}: ${text}`
  );
  const table = formatFile(figures.results[0]!);
  // deno-lint-ignore no-console -- it is there to print
  console.log([...machine, "", table, `The report: ${out}`].join("\n"));
}
