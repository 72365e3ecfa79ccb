/**
 * What each peer in JavaScript is asked to do, and how it is timed: one task in
 * one process, whose result is a line of JSON on standard output.
 *
 * @module
 */

import { statSync } from "node:fs";
import process from "node:process";

/**
 * Runs the task that the first argument describes.
 *
 * @param peer `open(host)` connects, `exec(client, command)` gives what a
 * command wrote, `drain(client, command)` how many bytes, `put` and `get` copy
 * a file, `close(client)` ends it, `end()` what is left.
 */
export async function runTask(peer) {
  const task = JSON.parse(process.argv[2]);
  const made = await peer(task);
  let result;
  try {
    result = await TASKS[task.name](made, task);
  } finally {
    await made.end?.();
  }
  process.stdout.write(JSON.stringify(result) + "\n");
  process.exit(0);
}

const TASKS = {
  async dial(peer, { host, count }) {
    await warmUp(peer, host);
    const samples = [];
    const started = performance.now();
    for (let i = 0; i < count; i++) {
      const { value: client, ms } = await timed(() => peer.open(host));
      samples.push(ms);
      await peer.close(client);
    }
    return done(samples, started);
  },

  async exec(peer, { host, count }) {
    const client = await peer.open(host);
    for (let i = 0; i < 10; i++) await peer.exec(client, "true");
    const samples = [];
    const started = performance.now();
    for (let i = 0; i < count; i++) {
      samples.push((await timed(() => peer.exec(client, "true"))).ms);
    }
    return done(samples, started);
  },

  async burst(peer, { host, count, callers }) {
    const client = await peer.open(host);
    await right(peer, client, "warm");
    const all = new Tally();
    const started = performance.now();
    let next = 0;
    await Promise.all(Array.from({ length: callers }, async () => {
      while (next < count) {
        const text = String(next++);
        await all.count(() => right(peer, client, text));
      }
    }));
    return { ...done(all.samples, started), ...all.failures };
  },

  async cold(peer, { host, hosts }) {
    await warmUp(peer, host);
    const all = new Tally();
    const started = performance.now();
    await Promise.all(hosts.map((host) =>
      all.count(async () => {
        const client = await peer.open(host);
        await right(peer, client, host.hostname);
      })
    ));
    return { ...done(all.samples, started), ...all.failures };
  },

  async bulk(peer, { host, bytes }) {
    const client = await peer.open(host);
    await peer.exec(client, "true");
    return await rate(bytes, async () => {
      const found = await peer.drain(client, `head -c ${bytes} /dev/zero`);
      if (found !== bytes) throw new Error(`${found} of ${bytes} bytes`);
    });
  },

  async put(peer, { host, bytes, here, there }) {
    const client = await peer.open(host);
    return await rate(bytes, () => peer.put(client, here, there));
  },

  async get(peer, { host, bytes, here, there }) {
    const client = await peer.open(host);
    return await rate(bytes, async () => {
      await peer.get(client, there, here);
      if (statSync(here).size !== bytes) throw new Error("The file is short");
    });
  },
};

/** So that what a first dial loads and compiles is not timed. */
async function warmUp(peer, host) {
  const client = await peer.open(host);
  await right(peer, client, "warm");
  await peer.close(client);
}

/** Runs a command whose output has to be its own. */
async function right(peer, client, text) {
  const found = await peer.exec(client, `echo ${text}`);
  if (found.trim() !== text) throw new Error(`${found.trim()} is not ${text}`);
}

/** What was well and what was not. */
class Tally {
  samples = [];
  failures = { failed: 0, why: undefined };

  async count(work) {
    try {
      this.samples.push((await timed(work)).ms);
    } catch (error) {
      this.failures.failed++;
      this.failures.why ??= String(error?.message ?? error);
    }
  }
}

async function timed(work) {
  const started = performance.now();
  const value = await work();
  return { value, ms: performance.now() - started };
}

function done(samples, started) {
  return { samples, seconds: (performance.now() - started) / 1000 };
}

async function rate(bytes, work) {
  const { ms } = await timed(work);
  return { samples: [ms], seconds: ms / 1000, bytes };
}

/** So many at once; the others wait, and what the server refuses is tried again. */
export class Gate {
  #free;
  #waiting = [];

  constructor(width) {
    this.#free = width;
  }

  async run(work, isRefused) {
    if (this.#free > 0) this.#free--;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    try {
      for (let pause = 1;; pause = Math.min(pause * 2, 500)) {
        try {
          return await work();
        } catch (error) {
          if (!isRefused(error)) throw error;
          await new Promise((resolve) => setTimeout(resolve, pause));
        }
      }
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
