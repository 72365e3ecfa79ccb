/**
 * Runs the benches and writes what they found as Markdown and as one HTML page,
 * with plots: `deno task bench:report`.
 *
 * Arguments are those of `run.ts`, and:
 *
 * - `--peers`: the peers too, as `bench:peers` runs them;
 * - `--from=figures.json`: show the figures of an earlier run, and run nothing;
 * - `--out=folder`: where to write to, `bench/out` by default.
 *
 * A full run of all files also makes `bench/report.svg`, the picture of the
 * README, if it is written to the default folder.
 *
 * @module
 */

import { join } from "node:path";
import type { Figures } from "./report/figures.ts";
import { describeMachine } from "./kit/machine.ts";
import { toMarkdown } from "./report/markdown.ts";
import { takePeerFigures } from "./peers/figures.ts";
import { toPage } from "./report/page.ts";
import { drawPicture } from "./report/picture.ts";
import { short } from "./report/report.ts";
import { runAndPrint } from "./run.ts";

const FOLDER = join(import.meta.dirname!, "out");
const PICTURE = join(import.meta.dirname!, "report.svg");

/** Writes a run into a folder: `index.html`, `report.md`, its picture and its figures. */
export async function writeReport(
  figures: Figures,
  folder: string,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const picture = drawPicture(figures);
  const files: Record<string, string> = {
    "figures.json": JSON.stringify(figures) + "\n",
    "index.html": toPage(figures, picture),
    "report.md": toMarkdown(figures, picture && "picture.svg"),
    ...picture === undefined ? {} : { "picture.svg": picture },
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(join(folder, name), text);
  }
}

/** Returns the value of `--name=value` among arguments. */
function valueOf(args: readonly string[], name: string): string | undefined {
  const prefix = `--${name}=`;
  return args.find((arg) => arg.startsWith(prefix))?.slice(prefix.length);
}

async function takeFigures(
  args: readonly string[],
  withPeers: boolean,
): Promise<Figures> {
  const [at, machine] = [new Date().toISOString(), await describeMachine()];
  const results = await runAndPrint(args);
  if (!withPeers) return { at, short, machine, results };
  const peers = await takePeerFigures();
  return {
    at,
    short,
    machine: { ...machine, peers: peers.machine.rivals! },
    results: [...results, ...peers.results],
  };
}

if (import.meta.main) {
  const [from, out] = [valueOf(Deno.args, "from"), valueOf(Deno.args, "out")];
  const rest = Deno.args.filter((arg) => !/^--((from|out)=|peers$)/.test(arg));
  const folder = out ?? FOLDER;
  const figures: Figures = from === undefined
    ? await takeFigures(rest, Deno.args.includes("--peers"))
    : JSON.parse(await Deno.readTextFile(from));
  await writeReport(figures, folder);
  // A part of the suite, or a short run, would make a picture that misleads.
  if (!figures.short && rest.length === 0 && out === undefined) {
    await Deno.copyFile(join(folder, "picture.svg"), PICTURE);
  }
  // deno-lint-ignore no-console -- says where the report is
  console.log(`The report: ${join(folder, "index.html")}`);
}
