/**
 * A worker that needs no code: it connects to the bus, dials hosts of an
 * inventory or of ssh_config, and serves them to clients until it is told to
 * end (`SIGTERM`, `SIGINT`). What runs then may end; clients move on.
 *
 * ```sh
 * deno run -A jsr:@sshpool/sshpool/nats-worker --servers tls://bus:4222 \
 *   --creds worker.creds --inventory hosts.json --leases
 * ```
 *
 * With npm: `npm install @sshpool/sshpool @nats-io/transport-node @nats-io/kv`,
 * and a file with `import { main } from "@sshpool/sshpool/nats-worker"; await main();`.
 *
 * | flag | environment | what it is |
 * | --- | --- | --- |
 * | `--servers` | `NATS_URL` | the servers of the bus, with commas between; `127.0.0.1:4222`. `tls://` insists on TLS |
 * | `--creds` | `NATS_CREDS` | a file with credentials (JWT) |
 * | `--nkey` | `NATS_NKEY` | a file with the seed of an nkey |
 * | `--user` | `NATS_USER` | a user; its password is in `NATS_PASSWORD` alone |
 * | `--tls-ca` | `NATS_CA` | a file with the certificates that are trusted |
 * | `--inventory` | `SSHPOOL_INVENTORY` | a JSON file: groups, in each names, for each a host |
 * | `--ssh-config` | `SSHPOOL_SSH_CONFIG` | look names up in this file; needs `--group` and `--allow` |
 * | `--group` | `SSHPOOL_GROUP` | the groups that are served from ssh_config, with commas between |
 * | `--allow` | `SSHPOOL_ALLOW` | the names that are, as patterns: `web-*,!web-9` |
 * | `--id` | `SSHPOOL_ID` | the name of this worker; a random one |
 * | `--index`, `--of` | `SSHPOOL_INDEX`, `SSHPOOL_OF` | serve this part, of so many; the index may end a name, as `worker-3` |
 * | `--leases` | `SSHPOOL_LEASES=1` | share the hosts with the workers that there are |
 * | `--replicas` | `SSHPOOL_REPLICAS` | how many servers of a cluster keep the leases; 1 |
 * | `--shards` | `SSHPOOL_SHARDS` | what `partition()` of the server says; 1024 |
 * | `--prefix` | `SSHPOOL_PREFIX` | the first part of all subjects; `ssh` |
 * | `--max-connections` | `SSHPOOL_MAX_CONNECTIONS` | 5000 |
 * | `--drain-ms` | `SSHPOOL_DRAIN_MS` | how long what runs may go on at the end; 30000 |
 *
 * A host of the inventory is a string, `ops@10.0.0.7`, or an object as for a
 * pool, and may have `sudoPassword` for the commands of clients; one of
 * ssh_config has what the file says.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { realpathSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { ConnectionPool } from "../mod.ts";
import type { HostLike } from "../transport/host/host.ts";
import { matchPatterns } from "../transport/host/pattern.ts";
import { Leases } from "../transport/nats/leases.ts";
import type {
  FleetRequest,
  FleetWorkerOptions,
} from "../transport/nats/options.ts";
import { FleetWorker } from "../transport/nats/worker.ts";

/** What `main()` needs of its process. */
export interface WorkerProgram {
  /** The arguments. Default: those of the process. */
  readonly args?: readonly string[];
  /** The environment. Default: that of the process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Ends it. Default: `SIGTERM` and `SIGINT`. */
  readonly signal?: AbortSignal;
  /** Takes lines of its log, JSON each. Default: standard error. */
  readonly log?: (line: string) => void;
}

/** Each flag, and what it is called in the environment. */
const FLAGS = {
  servers: "NATS_URL",
  creds: "NATS_CREDS",
  nkey: "NATS_NKEY",
  user: "NATS_USER",
  "tls-ca": "NATS_CA",
  inventory: "SSHPOOL_INVENTORY",
  "ssh-config": "SSHPOOL_SSH_CONFIG",
  group: "SSHPOOL_GROUP",
  allow: "SSHPOOL_ALLOW",
  id: "SSHPOOL_ID",
  index: "SSHPOOL_INDEX",
  of: "SSHPOOL_OF",
  leases: "SSHPOOL_LEASES",
  replicas: "SSHPOOL_REPLICAS",
  shards: "SSHPOOL_SHARDS",
  prefix: "SSHPOOL_PREFIX",
  "max-connections": "SSHPOOL_MAX_CONNECTIONS",
  "drain-ms": "SSHPOOL_DRAIN_MS",
} as const;

type Flag = keyof typeof FLAGS;
type Settings = Readonly<Partial<Record<Flag, string>>>;

/** What is wrong with the flags: a mistake of whoever starts it. */
function wrong(why: string): TypeError {
  return new TypeError(`Cannot start the worker: ${why}`);
}

function settingsOf(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings {
  const options = Object.fromEntries(
    Object.keys(FLAGS).map((name) =>
      name === "leases"
        ? [name, { type: "boolean" as const }]
        : [name, { type: "string" as const }]
    ),
  );
  let values: Record<string, unknown>;
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true }));
  } catch (error) {
    throw wrong((error as Error).message);
  }
  const settings: Partial<Record<Flag, string>> = {};
  for (const [name, variable] of Object.entries(FLAGS)) {
    const value = values[name] ?? (env[variable] || undefined);
    if (value === undefined) continue;
    settings[name as Flag] = typeof value === "string" ? value : "1";
  }
  return settings;
}

function numberOf(
  settings: Settings,
  name: Flag,
  byDefault: number,
): number {
  const text = settings[name];
  if (text === undefined) return byDefault;
  const number = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (Number.isInteger(number)) return number;
  throw wrong(`--${name} is ${JSON.stringify(text)}, must be a whole number`);
}

const listOf = (text: string) => text.split(",").map((part) => part.trim());

/** What finds hosts, and their passwords for `sudo`. */
type Hosts = Pick<FleetWorkerOptions, "host" | "sudoPassword">;

/** Gives what finds the hosts, from an inventory or from ssh_config. */
async function hostsOf(settings: Settings): Promise<Hosts> {
  const { inventory, group, allow } = settings;
  if (inventory !== undefined) return fromInventory(await read(inventory));
  if (settings["ssh-config"] === undefined) {
    throw wrong("name the hosts, by --inventory or by --ssh-config");
  }
  // A client could name any address, which would be offered our keys.
  if (group === undefined || allow === undefined) {
    throw wrong("--ssh-config needs --group and --allow");
  }
  const groups = new Set(listOf(group));
  const patterns = listOf(allow);
  return {
    host: ({ name, group }) =>
      groups.has(group) && matchPatterns(name, patterns) ? name : undefined,
  };
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as { code?: string };
    throw wrong(`${path} cannot be read: ${code ?? "it is no file"}`);
  }
}

/** A host of an inventory. */
interface Listed {
  readonly host: HostLike;
  readonly sudoPassword?: string;
}

function fromInventory(text: string): Hosts {
  let groups: unknown;
  try {
    groups = JSON.parse(text);
  } catch {
    // Its text may hold a credential.
    throw wrong("the inventory is no JSON");
  }
  const found = new Map<string, Map<string, Listed>>();
  const isRecord = (it: unknown): it is Record<string, unknown> =>
    typeof it === "object" && it !== null && !Array.isArray(it);
  if (!isRecord(groups)) throw wrong("the inventory is no object of groups");
  for (const [group, hosts] of Object.entries(groups)) {
    if (!isRecord(hosts)) {
      throw wrong(`the group ${JSON.stringify(group)} is no object of hosts`);
    }
    const named = Object.entries(hosts).map(([name, host]) => {
      if (typeof host === "string") return [name, { host }] as const;
      const shown = JSON.stringify(name);
      if (!isRecord(host)) {
        throw wrong(`the host ${shown} is no string and no object`);
      }
      const { sudoPassword, ...rest } = host;
      const own = { host: rest as unknown as HostLike };
      if (sudoPassword === undefined) return [name, own] as const;
      if (typeof sudoPassword === "string") {
        return [name, { ...own, sudoPassword }] as const;
      }
      throw wrong(`sudoPassword of the host ${shown} is no string`);
    });
    found.set(group, new Map<string, Listed>(named));
  }
  const find = ({ name, group }: FleetRequest) => found.get(group)?.get(name);
  return {
    host: (request) => find(request)?.host,
    sudoPassword: (request) => find(request)?.sudoPassword,
  };
}

/** The name of a pod or of an instance of a unit ends with its number. */
function indexOf(settings: Settings): number {
  const { index = "" } = settings;
  const digits = /(\d{1,9})$/.exec(index)?.[1];
  if (digits !== undefined) return Number(digits);
  throw wrong(
    `--index is ${JSON.stringify(index)}, must be a number or end with one`,
  );
}

async function connectBus(
  settings: Settings,
  env: Readonly<Record<string, string | undefined>>,
) {
  const { connect, credsAuthenticator, nkeyAuthenticator } = await import(
    "@nats-io/transport-node"
  );
  const { servers = "127.0.0.1:4222", creds, nkey, user } = settings;
  const bytes = (text: string) => new TextEncoder().encode(text.trim());
  const password = env["NATS_PASSWORD"];
  const ca = settings["tls-ca"];
  // The scheme alone says nothing to the client: it would go on without TLS.
  const insists = ca !== undefined || /(^|,)\s*tls:/i.test(servers);
  const options = {
    servers: listOf(servers),
    maxReconnectAttempts: -1,
    // Nothing is served meanwhile. The jitter under TLS is a second by default.
    reconnectTimeWait: 250,
    reconnectJitterTLS: 250,
    // A server that is silent for longer has gone, or its machine has.
    pingInterval: 5_000,
    ...settings.id !== undefined && { name: settings.id },
    ...creds !== undefined &&
      { authenticator: credsAuthenticator(bytes(await read(creds))) },
    ...nkey !== undefined &&
      { authenticator: nkeyAuthenticator(bytes(await read(nkey))) },
    ...user !== undefined && { user },
    ...password !== undefined && { pass: password },
    ...insists && { tls: ca === undefined ? {} : { ca: await read(ca) } },
  };
  try {
    return await connect(options);
  } catch (error) {
    // Servers may be written with a password.
    const shown = servers.replace(/[^/,\s]*@/g, "");
    throw new Error(
      `Cannot connect to the bus at ${shown}: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/**
 * Runs the worker until it is told to end.
 *
 * @param program Its arguments and its environment.
 * @returns Settles when it has ended in order.
 * @throws {TypeError} If a flag is wrong; the message says which.
 * @throws {Error} If the bus cannot be reached.
 *
 * @example A file of your own, for Node
 * ```ts ignore
 * import { main } from "@sshpool/sshpool/nats-worker";
 *
 * await main();
 * ```
 */
export async function main(program: WorkerProgram = {}): Promise<void> {
  const {
    args = process.argv.slice(2),
    env = process.env,
    log = (line: string) => void process.stderr.write(`${line}\n`),
  } = program;
  const settings = settingsOf(args, env);
  const hosts = await hostsOf(settings);
  const isLeased = settings.leases !== undefined;
  const shards = isLeased
    ? undefined
    : { index: indexOf(settings), of: numberOf(settings, "of", 1) };
  const shardCount = numberOf(settings, "shards", 1_024);
  const replicas = numberOf(settings, "replicas", 1);
  const maxConnections = numberOf(settings, "max-connections", 5_000);
  const drainTimeoutMs = numberOf(settings, "drain-ms", 30_000);
  const say = (event: string, more: object = {}) =>
    log(JSON.stringify({ time: new Date().toISOString(), event, ...more }));
  const bus = await connectBus(settings, env);
  const file = settings["ssh-config"];
  const pool = new ConnectionPool({
    maxConnections,
    config: file === undefined ? false : { files: [file] },
  });
  const { id, prefix } = settings;
  const worker = new FleetWorker(bus, {
    pool,
    ...hosts,
    shards: shardCount,
    ...id !== undefined && { id },
    ...prefix !== undefined && { prefix },
    onError: (error, { name, group }) =>
      say("failed", { name, group, error: String(error) }),
  });
  const ended = program.signal === undefined
    ? untilSignal()
    : untilAbort(program.signal);
  if (shards !== undefined) await worker.serve(shards);
  else {
    const { Kvm } = await import("@nats-io/kv");
    await worker.serve(
      new Leases(bus, new Kvm(bus), {
        ...prefix !== undefined && { prefix },
        replicas,
        onError: (error) => say("lease-failed", { error: String(error) }),
      }),
    );
  }
  say("serving", { id: worker.id, shards: worker.shards.length });
  await ended;
  say("ending", worker.stats());
  await worker.close({ drainTimeoutMs });
  await pool.close();
  // A bus that is away has nothing of ours to send on.
  await bus.drain().catch(() => bus.close());
  say("ended", worker.stats());
}

function untilAbort(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}

function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      process.off("SIGTERM", end).off("SIGINT", end);
      resolve();
    };
    process.on("SIGTERM", end).on("SIGINT", end);
  });
}

/** Whether this file is what was started: Node before 24 does not say. */
function isStarted(): boolean {
  const { main, url } = import.meta as { main?: boolean; url?: string };
  if (main !== undefined) return main;
  const [, file] = process.argv;
  if (url === undefined || file === undefined) return false;
  try {
    return pathToFileURL(realpathSync(file)).href === url;
  } catch {
    return false;
  }
}

if (isStarted()) {
  main().catch((error) => {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(1);
  });
}
