/**
 * The peers, one task after another: each in a process of its own, in rounds,
 * and in each round in another order, which a seed decides.
 *
 * @module
 */

import { join } from "node:path";
import { Random, seed } from "../../tests/kit/random.ts";
import type { Sshd } from "../../tests/kit/sshd.ts";
import type { FileResult } from "../kit/suite.ts";
import { assertSame } from "../kit/work_folder.ts";
import { summarize, thin } from "../report/quantiles.ts";
import type { Row } from "../report/table.ts";
import type { Found, Peer } from "./find.ts";

/** How much of each. */
export interface Sizes {
  readonly dials: number;
  readonly execs: number;
  readonly commands: number;
  readonly hosts: number;
  readonly bytes: number;
  readonly rounds: number;
  /** When a run is ended, in milliseconds. */
  readonly timeoutMs: number;
}

/** A full run. */
export const FULL: Sizes = {
  dials: 20,
  execs: 200,
  commands: 3000,
  hosts: 60,
  bytes: 200e6,
  rounds: 2,
  timeoutMs: 240_000,
};

/** One that shows that everything runs. */
export const SHORT: Sizes = {
  dials: 1,
  execs: 2,
  commands: 20,
  hosts: 3,
  bytes: 1e5,
  rounds: 1,
  timeoutMs: 60_000,
};

const CALLERS = 50;

/** What a peer is asked to do. */
interface Task {
  readonly name: string;
  readonly group: string;
  readonly rounds: number;
  /** Whether failures are counted; else one ends the run. */
  readonly counts?: boolean;
  /** What it has beside the host. */
  readonly more?: Readonly<Record<string, unknown>>;
  /** Asserts that it was done. */
  check?(): Promise<void>;
}

/** What a peer says of it. */
interface Answer {
  readonly samples: readonly number[];
  readonly seconds: number;
  readonly failed?: number;
  readonly why?: string | null;
  readonly bytes?: number;
}

function tasksOf(sizes: Sizes, host: PeerHost, folder: string): Task[] {
  const { bytes, rounds } = sizes;
  const count = (value: number) => value.toLocaleString("en-US");
  const size = `${count(bytes / 1e6)} MB`;
  const [file, there] = [join(folder, "file"), join(folder, "there")];
  const copy = join(folder, "copy");
  return [
    {
      name: "dial",
      group: "dial",
      rounds,
      more: { count: sizes.dials },
    },
    {
      name: "exec",
      group: 'warm exec("true")',
      rounds,
      more: { count: sizes.execs },
    },
    {
      name: "burst",
      group: `${count(sizes.commands)} commands of ${CALLERS} callers`,
      // Thousands of samples in one.
      rounds: 1,
      counts: true,
      more: { count: sizes.commands, callers: CALLERS },
    },
    {
      name: "cold",
      group: `${sizes.hosts} cold hosts at once, a command each`,
      rounds,
      counts: true,
      more: {
        hosts: Array.from(
          { length: sizes.hosts },
          (_, i) => ({ ...host, hostname: `127.0.0.${i + 2}` }),
        ),
      },
    },
    { name: "bulk", group: `${size} of output`, rounds, more: { bytes } },
    {
      name: "put",
      group: `upload of ${size}`,
      rounds,
      more: { bytes, here: file, there },
      check: () => assertSame(file, there),
    },
    {
      name: "get",
      group: `download of ${size}`,
      rounds,
      more: { bytes, there: file, here: copy },
      check: () => assertSame(file, copy),
    },
  ];
}

/** How the sshd is reached, in what each of them takes. */
export interface PeerHost {
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  readonly keyPath: string;
  readonly privateKey: string;
  readonly hostKey: string;
  readonly knownHosts: string;
}

/** Describes an sshd that listens on all addresses of 127.0.0.0/24. */
export async function hostOf(sshd: Sshd, folder: string): Promise<PeerHost> {
  const { port, user, privateKeyPath: keyPath } = sshd;
  const key = await Deno.readTextFile(join(sshd.dir, "host_ed25519.pub"));
  const [type, blob] = key.split(" ");
  const knownHosts = join(folder, "known_hosts");
  const lines = Array.from(
    { length: 254 },
    (_, i) => `[127.0.0.${i + 1}]:${port} ${type} ${blob}\n`,
  );
  await Deno.writeTextFile(knownHosts, lines.join(""));
  return {
    hostname: "127.0.0.1",
    port,
    user,
    keyPath,
    privateKey: await Deno.readTextFile(keyPath),
    hostKey: sshd.hostKeyFingerprint,
    knownHosts,
  };
}

/** Options of {@linkcode runPeers}. */
export interface PeersOptions {
  readonly sizes: Sizes;
  readonly host: PeerHost;
  /** A folder for files, which the user of the host may write to. */
  readonly folder: string;
  /** Told before each run. */
  readonly onRun?: (text: string) => void;
}

/** Runs all tasks with all peers. */
export async function runPeers(
  { peers, missing }: Found,
  { sizes, host, folder, onRun = () => {} }: PeersOptions,
): Promise<FileResult> {
  const startedAt = performance.now();
  const random = new Random(seed);
  const rows: Row[] = [];
  const ignored = [...missing];
  await Deno.writeFile(join(folder, "file"), randomBytes(sizes.bytes));
  for (const task of tasksOf(sizes, host, folder)) {
    const answers = new Map<Peer, Answer[]>(peers.map((peer) => [peer, []]));
    for (let round = 0; round < task.rounds; round++) {
      for (const peer of shuffled(peers, random)) {
        onRun(`${task.group}, round ${round + 1}: ${peer.name}`);
        const { name, isTuned = false, transport } = { ...peer, ...task };
        const given = { host, ...task.more, name, isTuned, transport };
        await Deno.remove(join(folder, "there")).catch(() => {});
        try {
          answers.get(peer)!.push(await run(peer, given, folder, sizes));
          await task.check?.();
        } catch (error) {
          const [why] = String(error).split("\n");
          ignored.push(`${task.group}: ${peer.name}: ${why}`);
        }
      }
    }
    for (const [peer, found] of answers) {
      const row = rowOf(peer.name, task, found, peer === peers[0]);
      if (row !== undefined) rows.push(row);
      const whys = new Set(found.flatMap(({ why }) => why ? [why] : []));
      for (const why of whys) {
        ignored.push(`${task.group}: ${peer.name}: the first failure: ${why}`);
      }
    }
  }
  return {
    file: "peers.ts",
    seconds: (performance.now() - startedAt) / 1000,
    findings: {
      title: "sshpool beside its peers, on one sshd",
      rows,
      facts: [],
      claims: [],
      ignored,
    },
    failures: [],
  };
}

async function run(
  { command: [program = "", ...args], env = {} }: Peer,
  task: unknown,
  folder: string,
  { timeoutMs }: Sizes,
): Promise<Answer> {
  const { success, signal, stdout, stderr } = await new Deno.Command(program, {
    args: [...args, JSON.stringify(task)],
    // Keys of an agent would be offered first.
    env: { ...env, TMPDIR: folder, SSH_AUTH_SOCK: "", NO_COLOR: "1" },
    stdin: "null",
    signal: AbortSignal.timeout(timeoutMs),
  }).output();
  if (success) return JSON.parse(new TextDecoder().decode(stdout));
  const said = new TextDecoder().decode(stderr).trim();
  const late = signal === null ? "" : `not done in ${timeoutMs / 1000} s; `;
  throw new Error(
    late + (said.split("\n").find((it) => /rror|:/.test(it)) ?? said),
  );
}

/** `undefined` if nothing of it was well. */
function rowOf(
  name: string,
  { group, counts = false }: Task,
  answers: readonly Answer[],
  baseline: boolean,
): Row | undefined {
  const samples = answers.flatMap((it) => it.samples);
  if (samples.length === 0) return undefined;
  const sum = (of: (answer: Answer) => number | undefined) =>
    answers.reduce((all, answer) => all + (of(answer) ?? 0), 0);
  const bytes = sum((it) => it.bytes);
  const seconds = sum((it) => it.seconds);
  return {
    name,
    group,
    baseline,
    batch: 1,
    samples: thin(samples, 100),
    ...summarize(samples),
    ...bytes > 0
      ? { rate: bytes / seconds, rateOf: "bytes" as const }
      : counts
      ? { rate: samples.length / seconds, rateOf: "operations" as const }
      : {},
    ...counts ? { failed: sum((it) => it.failed) } : {},
  };
}

function shuffled<T>(list: readonly T[], random: Random): T[] {
  return list.map((item) => ({ item, at: random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function randomBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}
