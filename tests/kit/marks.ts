/**
 * Commands that each append their id to a file, to compare what their calls have
 * said with what has happened.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { ConnectionPool } from "../../pool/mod.ts";
import { SshError } from "../../transport/errors.ts";
import { Random } from "./random.ts";

type Outcome = "ok" | "not run" | "may have run" | "never ended";

interface Mark {
  readonly id: string;
  readonly outcome: Outcome;
  readonly error?: unknown;
}

/** From one success on a host to the next one. */
interface Gap {
  readonly from: number;
  readonly to: number;
}

/** A call that takes longer hangs: no fault of the walk lasts so long. */
const HANGS_MS = 90_000;
/** Bytes of a command that prints much. */
const MUCH = 300_000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** How a command makes its mark. */
type Way = (pool: ConnectionPool, host: string, mark: string) => Promise<void>;

/** Each is at another point of its life when something breaks. */
const WAYS: Readonly<Record<string, Way>> = {
  async plain(pool, host, mark) {
    await pool.exec(host, mark, { check: true });
  },
  async lingers(pool, host, mark) {
    await pool.exec(host, `${mark}; sleep 0.1`, { check: true });
  },
  async isLate(pool, host, mark) {
    await pool.exec(host, `sleep 0.1; ${mark}`, { check: true });
  },
  async reads(pool, host, mark) {
    const command = `read line && ${mark}; cat > /dev/null`;
    await pool.exec(host, command, {
      stdin: `go\n${"x".repeat(MUCH)}`,
      check: true,
    });
  },
  async prints(pool, host, mark) {
    const command = `${mark}; head -c ${MUCH} /dev/zero`;
    const { stdout } = await pool.exec(host, command, {
      check: true,
      encoding: "bytes",
    });
    // A hole in the output would be a success that is none.
    if (stdout.length !== MUCH) throw new Error(`${stdout.length} bytes`);
  },
  async isLimited(pool, host, mark) {
    const timeoutMs = 150;
    await pool.exec(host, `sleep 0.1; ${mark}`, { check: true, timeoutMs });
  },
  async streams(pool, host, mark) {
    await using process = await pool.spawn(host, `${mark}; cat`);
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode("x"));
    writer.releaseLock();
    await process.text();
    if (!(await process.status).success) throw new Error("it has failed");
  },
};

/** Options of {@linkcode Marks}. */
export interface MarksOptions {
  readonly pool: ConnectionPool;
  readonly hosts: readonly string[];
  /** The file, on the hosts and here. */
  readonly file: string;
  /** Time between two commands of a caller, in milliseconds. */
  readonly pauseMs: number;
  readonly seed: number;
}

/** Runs commands until it is told that there were enough. */
export class Marks {
  readonly #options: MarksOptions;
  readonly #said: Mark[] = [];
  readonly #gaps: Gap[] = [];
  readonly #lastOk = new Map<string, number>();
  #next = 0;
  #isEnough = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: MarksOptions) {
    this.#options = options;
  }

  /** Calls that have ended. */
  get count(): number {
    return this.#said.length;
  }

  /** How many calls had this outcome. */
  countOf(outcome: Outcome): number {
    return this.#said.filter((mark) => mark.outcome === outcome).length;
  }

  /** How often each error was what a call said, and one of them. */
  errors(): Record<string, [count: number, message: string]> {
    const found: Record<string, [number, string]> = {};
    for (const { error } of this.#said) {
      if (error === undefined) continue;
      const { name, message } = error as Error;
      const { mayHaveRun = true } = error as { mayHaveRun?: boolean };
      const key = `${name}, ${mayHaveRun ? "may have run" : "not run"}`;
      (found[key] ??= [0, message])[0]++;
    }
    return found;
  }

  /** Begins: two callers for each host. */
  start(): void {
    const { hosts, seed } = this.#options;
    const callers = [...hosts, ...hosts].map((host, index) =>
      this.#call(host, new Random(seed + index))
    );
    this.#running = Promise.all(callers);
  }

  /** Waits until each host has had a success from now on. */
  async recovered(): Promise<void> {
    const from = performance.now();
    const isUp = () =>
      this.#options.hosts.every((host) => (this.#lastOk.get(host) ?? 0) > from);
    while (!isUp()) {
      if (performance.now() - from > HANGS_MS) {
        throw new Error("A host did not come back");
      }
      await pause(10);
    }
  }

  /** The longest time without a success on a host that overlaps with a time. */
  longestGapMs(from: number, to: number): number {
    const times = this.#gaps
      .filter((gap) => gap.to > from && gap.from < to)
      .map((gap) => gap.to - gap.from);
    return Math.max(0, ...times);
  }

  /** Waits until there were so many, and ends. */
  async finish(atLeast: number): Promise<void> {
    while (this.count < atLeast) await pause(10);
    this.#isEnough = true;
    await this.#running;
  }

  /**
   * Compares the file with what was said.
   *
   * @param hint What replays it.
   */
  async check(hint: string): Promise<void> {
    // What a killed worker has left behind on the host.
    await pause(1_000);
    const found = new Map<string, number>();
    const text = await Deno.readTextFile(this.#options.file);
    for (const id of text.trim().split("\n")) {
      found.set(id, (found.get(id) ?? 0) + 1);
    }
    const lies = this.#said.filter(({ id, outcome, error }) => {
      const count = found.get(id) ?? 0;
      // What is no error of ours is a mistake, here or there.
      const isOurs = error === undefined || error instanceof SshError;
      if (!isOurs || outcome === "never ended") return true;
      if (outcome === "ok") return count !== 1;
      return outcome === "not run" ? count !== 0 : count > 1;
    });
    assertEquals(
      lies.map(({ id, outcome, error }) => [
        ...[id, outcome, found.get(id)],
        error === undefined ? "" : String(error),
      ]),
      [],
      hint,
    );
    assertEquals(this.count, this.#next, hint);
  }

  async #call(host: string, random: Random): Promise<void> {
    const { pauseMs } = this.#options;
    while (!this.#isEnough) {
      const began = performance.now();
      const way = random.pick(Object.keys(WAYS));
      const mark = await this.#mark(host, way);
      this.#said.push(mark);
      if (mark.outcome === "ok") this.#noteOk(host, began);
      await pause(mark.outcome === "ok" ? pauseMs : 20);
    }
  }

  #noteOk(host: string, began: number): void {
    const now = performance.now();
    this.#gaps.push({ from: this.#lastOk.get(host) ?? began, to: now });
    this.#lastOk.set(host, now);
  }

  async #mark(host: string, way: string): Promise<Mark> {
    const { pool, file } = this.#options;
    const id = `m${this.#next++}-${way}`;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const hangs = new Promise<Mark>((resolve) => {
      timer = setTimeout(
        () => resolve({ id, outcome: "never ended" }),
        HANGS_MS,
      );
    });
    const run = WAYS[way]!(pool, host, `echo ${id} >> ${file}`).then(
      (): Mark => ({ id, outcome: "ok" }),
      (error): Mark => {
        const ran = !(error instanceof SshError) || error.mayHaveRun;
        return { id, outcome: ran ? "may have run" : "not run", error };
      },
    );
    const mark = await Promise.race([run, hangs]);
    clearTimeout(timer);
    return mark;
  }
}
