/**
 * sshpool beside its peers in one run: `deno task bench:peers`.
 *
 * It prints the table and writes it, as `bench:report` does, as Markdown and as
 * a page with plots. Each peer is there that is installed: Go's x/crypto/ssh,
 * asyncssh, ssh2 and node-ssh in Node, `ssh` and `sftp`, and both of our
 * transports. Each is tried as its documentation shows, and once set by hand.
 *
 * Arguments: `--out=folder`, `bench/out/peers` by default; a full run that is
 * written there also makes `bench/peers.svg`, the picture of the page. Environment:
 * `SSHPOOL_BENCH_SHORT=1` makes a short run, `SSHPOOL_SEED` another order.
 *
 * @module
 */

import { join } from "node:path";
import { takePeerFigures } from "./peers/figures.ts";
import { writeReport } from "./report.ts";
import { formatFile } from "./run.ts";

if (import.meta.main) {
  const given = Deno.args.find((arg) => arg.startsWith("--out="));
  const out = given?.slice("--out=".length) ??
    join(import.meta.dirname!, "out", "peers");
  const figures = await takePeerFigures();
  await writeReport(figures, out);
  if (!figures.short && given === undefined) {
    const picture = join(import.meta.dirname!, "peers.svg");
    await Deno.copyFile(join(out, "picture.svg"), picture);
  }
  const machine = Object.entries(figures.machine).map(([name, text]) =>
    `${name}: ${text}`
  );
  const table = formatFile(figures.results[0]!);
  // deno-lint-ignore no-console -- it is there to print
  console.log([...machine, "", table, `The report: ${out}`].join("\n"));
}
