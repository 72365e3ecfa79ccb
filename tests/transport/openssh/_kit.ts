/**
 * A connection over the machine's `ssh`, in a folder of its own in which
 * nothing may be left.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import type {
  Connection,
  ConnectOptions,
  Notice,
} from "../../../transport/connector.ts";
import type { ResolvedHost, SshHost } from "../../../transport/host/host.ts";
import {
  OpenSshConnector,
  type OpenSshConnectorOptions,
} from "../../../transport/openssh/mod.ts";
import { noSsh, sshHint } from "../../kit/ssh.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";

/** A host with what only the resolver would fill in. */
export function resolved({ jump: _, ...host }: SshHost): ResolvedHost {
  return { port: 22, user: "ops", ...host };
}

/** What a test has: its folder, and connections whose sockets are in it. */
export interface Site {
  readonly folder: string;
  readonly notices: Notice[];
  /** Connects, without any configuration file. */
  connect(
    host: SshHost,
    options?: ConnectOptions,
    more?: OpenSshConnectorOptions,
  ): Promise<Connection>;
}

/** The processes with a text in their arguments; empty where there is no /proc. */
export function processesOf(text: string): string[] {
  let pids: string[];
  try {
    pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return pids.flatMap((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "latin1");
      return line.includes(text)
        ? [`${pid} ${line.replaceAll("\0", " ").slice(0, 200)}`]
        : [];
    } catch {
      return []; // It has ended.
    }
  });
}

/** A folder for sockets, as short as can be. */
export async function socketFolder(): Promise<string> {
  return await Deno.makeTempDir({ dir: "/tmp", prefix: "os-" });
}

/** A test over `ssh`, at whose end no process, socket or folder may be left. */
export function openSshTest(
  name: string,
  fn: (site: Site) => Promise<void>,
): void {
  Deno.test({
    name: noSsh ? `${name} (${sshHint})` : name,
    ignore: noSsh,
    async fn() {
      const folder = await socketFolder();
      const notices: Notice[] = [];
      try {
        await fn({
          folder,
          notices,
          connect: (host, options, more) =>
            new OpenSshConnector({ configFile: false, folder, ...more })
              .connect(resolved(host), {
                onNotice: (notice) => void notices.push(notice),
                ...options,
              }),
        });
        // An abort does not wait for what is ended and removed behind it.
        const left = () => [...processesOf(folder), ...readdirSync(folder)];
        await until(() => left().length === 0)
          .catch(() => assertEquals(left(), []));
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

/** The same, with an sshd. */
export function sshdTest(
  name: string,
  fn: (site: Site, sshd: Sshd) => Promise<void>,
): void {
  if (noSshd) {
    return Deno.test({
      name: `${name} (${sshdHint})`,
      ignore: true,
      fn() {},
    });
  }
  openSshTest(name, async (site) => {
    await using sshd = await startSshd();
    await fn(site, sshd);
  });
}

/** What a promise rejects with. */
export function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then((value) => {
    throw new Error(`It did not reject: ${JSON.stringify(value)}`);
  }, (error) => error);
}

/** Makes a program in a folder, and gives its path. */
export async function program(path: string, text: string): Promise<string> {
  await Deno.writeTextFile(path, text, { mode: 0o755 });
  return path;
}
