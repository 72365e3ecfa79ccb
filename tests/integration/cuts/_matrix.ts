/**
 * Runs the matrix of cuts: each verb, over connections that are cut in each
 * phase, has to be right as a whole or to fail with a typed error, and to leave
 * nothing.
 *
 * `SSHPOOL_CUTS=all` runs the whole matrix, which takes some minutes. Without
 * it the dial of a verb is cut at one of five points, and what comes after it at
 * one of five or, over `ssh`, of seven, each verb in another way there, so that
 * all have their turn. `SSHPOOL_CUTS_VERB` takes one verb alone, by its name.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { DialError, SshError } from "../../../mod.ts";
import type { Cut } from "../../kit/fault_proxy.ts";
import { noSshd, sshdHint } from "../../kit/sshd.ts";
import {
  record,
  type Recording,
  type Report,
  runCell,
  type Times,
  type Verb,
} from "./_kit.ts";
import { Site, type Transport } from "./_site.ts";

const isWhole = Deno.env.get("SSHPOOL_CUTS") === "all";
const only = Deno.env.get("SSHPOOL_CUTS_VERB");

/** How many cells run at the same time. Those that freeze wait for most of it. */
const LANES = { ssh2: 8, openssh: 2 };
const FREEZE_LANES = { ssh2: 16, openssh: 6 };

const DIRECTIONS = ["down", "up"] as const;
const HOWS = ["reset", "end", "freeze"] as const;
const TIMES = ["once", "always"] as const;

/** Where a dial is cut, as shares of its bytes: banner, key exchange, login. */
const DIAL_SHARES = [0, 0.01, 0.4, 0.7, 0.95];

/** Where the rest is cut: at its first messages, and at its last bytes. */
function pointsOf(login: number, total: number): number[] {
  const size = total - login;
  const points = [
    ...[0, 1, 50, 100, 200].filter((it) => it < size),
    ...[0.3, 0.6, 0.9].map((share) => Math.floor(share * size)),
    ...[-60, -1].map((back) => size + back).filter((it) => it > 0),
  ];
  return [...new Set(points)].map((it) => login + it);
}

/** All cuts of one direction. */
function cutsOf(
  { login, total }: Recording,
  direction: "up" | "down",
): number[] {
  return [
    ...DIAL_SHARES.map((share) => Math.floor(share * login[direction])),
    ...pointsOf(login[direction], total[direction]),
  ];
}

interface Job {
  readonly verb: Verb;
  readonly cut: Cut;
  readonly times: Times;
}

/**
 * A verb gets one of so many points of a dial, and of what comes after it. These
 * share no factor with the 2 directions, 2 times and 3 ways, which turn as well.
 */
const EVERY = { ssh2: [5, 5], openssh: [5, 7] } as const;

/** Whether a point is left to other verbs. */
function isSpared(nth: number, point: number, transport: Transport): boolean {
  const [ofDial, ofRest] = EVERY[transport];
  return (2 * nth + point) % (point < DIAL_SHARES.length ? ofDial : ofRest) > 0;
}

/** The cells of a verb: all, or one for each of its points. */
function* jobsOf(
  verb: Verb,
  nth: number,
  recording: Recording,
  transport: Transport,
): Generator<Job> {
  for (const [i, direction] of DIRECTIONS.entries()) {
    for (const [j, bytes] of cutsOf(recording, direction).entries()) {
      if (!isWhole && isSpared(nth, j, transport)) continue;
      // Another kind for the same point of the next verb. With this one each part
      // has every step of a dial: a banner is surely missing only where what
      // comes down is cut each time.
      const turn = nth + i + j + 7;
      for (const [k, how] of HOWS.entries()) {
        for (const [l, times] of TIMES.entries()) {
          const isChosen = turn % 3 === k && (turn >> 1) % 2 === l &&
            (nth + j) % 2 === i;
          if (!isWhole && !isChosen) continue;
          yield { verb, cut: { direction, bytes, how }, times };
        }
      }
    }
  }
}

/** Runs the matrix of some verbs. */
async function runMatrix(
  verbs: readonly Verb[],
  transport: Transport,
  first: number,
): Promise<Report[]> {
  await using site = await Site.start(transport);
  const jobs: Job[] = [];
  for (const [nth, verb] of verbs.entries()) {
    const recording = await record(site, verb);
    jobs.push(...jobsOf(verb, first + nth, recording, transport));
  }
  const reports: Report[] = [];
  const lane = async (queue: Iterable<Job>) => {
    for (const { verb, cut, times } of queue) {
      reports.push(await runCell(site, verb, cut, times));
    }
  };
  const freezes = jobs.filter(({ cut }) => cut.how === "freeze").values();
  const others = jobs.filter(({ cut }) => cut.how !== "freeze").values();
  await Promise.all([
    ...Array.from({ length: FREEZE_LANES[transport] }, () => lane(freezes)),
    ...Array.from({ length: LANES[transport] }, () => lane(others)),
  ]);
  for (const report of reports) report.faults.push(...await report.lastLook());
  return reports;
}

/** The phases of what failed, with what was said of the command. */
function phasesOf(reports: readonly Report[]): Set<string> {
  const phases = reports.map(({ error }) => {
    if (!(error instanceof SshError)) return "none";
    if (error instanceof DialError) return error.phase;
    return `${error.phase}, ${error.mayHaveRun ? "may have" : "has not"} run`;
  });
  return new Set(phases);
}

/** The steps of a dial that each part of the matrix fails in. */
const DIAL_PHASES = ["banner", "kex", "auth", "timeout"];

/**
 * The test of a part of the matrix.
 *
 * @param name What holds.
 * @param verbs The verbs.
 * @param outcomes What has to be met beside failed dials and successes, as
 * {@linkcode phasesOf} names it.
 * @param transport What the pool connects with.
 * @param first Where the turns begin, which come back after 60: so that no two
 * parts have the same cells, and each has all steps of a dial.
 */
export function cutsTest(
  name: string,
  verbs: readonly Verb[],
  outcomes: readonly string[],
  transport: Transport = "ssh2",
  first = 0,
): void {
  const chosen = verbs.filter((it) => only === undefined || it.name === only);
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd || chosen.length === 0,
    async fn() {
      const reports = await runMatrix(chosen, transport, first);
      const faults = reports.flatMap(({ faults }) => faults);
      assert(faults.length === 0, `\n${faults.join("\n")}\n`);
      // The matrix has met what it is about.
      const uncut = reports.filter(({ wasCut }) => !wasCut);
      assert(
        uncut.length < reports.length / 10,
        `${uncut.length} were not cut`,
      );
      if (only !== undefined) return;
      const seen = phasesOf(reports);
      // A reset before the first byte may come before there is a connection.
      if (seen.has("tcp")) seen.add("banner");
      const missing = [...DIAL_PHASES, "none", ...outcomes]
        .filter((it) => !seen.has(it));
      assertEquals(missing, [], `${[...seen]}`);
    },
  });
}
