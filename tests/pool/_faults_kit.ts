/**
 * What the tests of faults share: a server behind a fault proxy, in two makes,
 * and pools that lose wait soon.
 */

import { assert } from "@std/assert";
import { deadline } from "@std/async";
import { join } from "node:path";
import {
  ConnectionPool,
  type ConnectionPoolOptions,
  HostCooldownError,
  type SshHost,
} from "../../mod.ts";
import { EmbeddedServer } from "../../transport/testing/mod.ts";
import { FaultProxy } from "../kit/fault_proxy.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../kit/sshd.ts";

/** What no operation of these tests may take, however slow the machine is. */
export const PATIENCE_MS = 15_000;

/**
 * Prints {@linkcode PARTIAL} and does not end by itself. It ends soon after its
 * connection: sshd does not kill what it ran, but nobody reads its pipe then.
 */
export const HANG = "printf %20000s; while sleep 1; do printf ' '; done";

/** More than all that a server says beside it. */
export const PARTIAL = " ".repeat(20_000);

/** A server behind a proxy. */
export interface Site extends AsyncDisposable {
  readonly proxy: FaultProxy;
  /** The host, through the proxy. */
  readonly host: SshHost;
  /** A command that writes down on the server that it ran, and prints its id. */
  note(id: string): string;
  /** The ids that were written down, in order. */
  notes(): Promise<string[]>;
}

const MAKES: Record<string, () => Promise<Site>> = {
  "the embedded server": embeddedSite,
  sshd: sshdSite,
};

/** One test body over both servers. */
export function overBoth(
  name: string,
  body: (site: Site) => Promise<void>,
): void {
  for (const [make, start] of Object.entries(MAKES)) {
    const ignore = make === "sshd" && noSshd;
    Deno.test({
      name: `${name} (${make}${ignore ? `: ${sshdHint}` : ""})`,
      ignore,
      async fn() {
        await using site = await start();
        await body(site);
      },
    });
  }
}

/** A test that needs sshd. */
export function overSshd(name: string, body: () => Promise<void>): void {
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    fn: body,
  });
}

async function embeddedSite(): Promise<Site> {
  const notes: string[] = [];
  const server = await EmbeddedServer.start({
    commands(line) {
      if (line === HANG) {
        return async ({ write, signal }) => {
          await write(PARTIAL);
          await new Promise((resolve) =>
            signal.addEventListener("abort", resolve, { once: true })
          );
        };
      }
      const id = /^note (\S+)$/.exec(line)?.[1];
      if (id === undefined) return undefined;
      return () => {
        notes.push(id);
        return { stdout: `${id}\n` };
      };
    },
  });
  const proxy = await FaultProxy.start(server.port);
  return {
    proxy,
    host: server.host({ port: proxy.port }),
    note: (id) => `note ${id}`,
    notes: () => Promise.resolve([...notes]),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await server.close();
    },
  };
}

async function sshdSite(): Promise<Site> {
  const sshd = await startSshd();
  const notebook = await Notebook.open(sshd);
  const proxy = await FaultProxy.start(sshd.port);
  return {
    proxy,
    host: sshd.host({ port: proxy.port }),
    note: (id) => notebook.command(id),
    notes: () => notebook.read(),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await sshd[Symbol.asyncDispose]();
    },
  };
}

/** A file on the server that commands append to: the proof of what ran. */
export class Notebook {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Makes an empty one, which the user of the sshd can write to. */
  static async open(sshd: Sshd): Promise<Notebook> {
    const path = join(sshd.dir, "notes");
    await Deno.writeTextFile(path, "");
    await Deno.chmod(path, 0o666);
    return new Notebook(path);
  }

  /** A command that appends its id, in one write, and prints it. */
  command(id: string): string {
    return `echo ${id} >> ${this.#path} && echo ${id}`;
  }

  /** What was appended. */
  async read(): Promise<string[]> {
    const text = await Deno.readTextFile(this.#path);
    return text.split("\n").filter((line) => line !== "");
  }
}

/** A pool that reads no file and does not leave failed hosts alone for long. */
export function impatientPool(
  options: ConnectionPoolOptions = {},
): ConnectionPool {
  return new ConnectionPool({
    config: false,
    dialTimeoutMs: PATIENCE_MS,
    backoff: { initialMs: 10, maxMs: 50, refusedMs: 100 },
    drainTimeoutMs: 0,
    ...options,
  });
}

/** How a promise settled. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: unknown };

/** How a promise settles; fails if it does not settle at all. */
export async function outcomeOf<T>(
  promise: Promise<T>,
  withinMs = PATIENCE_MS,
): Promise<Outcome<T>> {
  const settled = promise.then(
    (value) => ({ ok: true, value }) as const,
    (error: unknown) => ({ ok: false, error }) as const,
  );
  return await deadline(settled, withinMs);
}

/** The error of a promise, which has to be of that class. */
export async function errorOf<E extends Error>(
  promise: Promise<unknown>,
  // deno-lint-ignore no-explicit-any -- the class alone matters
  kind: abstract new (...args: any[]) => E,
  withinMs = PATIENCE_MS,
): Promise<E> {
  const outcome = await outcomeOf(promise, withinMs);
  assert(
    !outcome.ok && outcome.error instanceof kind,
    `expected a ${kind.name}, got ${
      outcome.ok ? JSON.stringify(outcome.value) : outcome.error
    }`,
  );
  return outcome.error;
}

/** Calls again for as long as the host cools down. */
export async function afterCooldown<T>(call: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + PATIENCE_MS;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof HostCooldownError) || Date.now() > end) {
        throw error;
      }
      await pause(error.retryAfterMs);
    }
  }
}

/** Waits. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The numbers from 0 up to `n`. */
export function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

const decoder = new TextDecoder();

/** Bytes as text. */
export function text(bytes: Uint8Array | undefined): string {
  return decoder.decode(bytes);
}

/** Whether a process with this in its command line is there. */
export async function isRunning(marker: string): Promise<boolean> {
  const { stdout } = await new Deno.Command("ps", {
    args: ["-eo", "args"],
  }).output();
  return text(stdout).includes(marker);
}
