/**
 * A throwaway nats-server on a loopback port, with the subjects of fleets mapped
 * to shards, and connections to it.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { freePort, greets } from "./ports.ts";

/** A connection to the server. */
export type NatsConnection = Awaited<ReturnType<typeof connect>>;

const PATHS = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"];
const natsPath = PATHS.find((path) => existsSync(path));

/** Whether tests against a real NATS server have to be ignored. */
export const noNats: boolean = natsPath === undefined;

/** What to tell whoever sees such a test ignored. */
export const natsHint = "install nats-server to run this test";

/** How many shards there are unless it is said. */
export const SHARDS = 16;

/** Options of {@linkcode NatsServer.start}. */
export interface NatsServerOptions {
  /** The port; a free one. */
  readonly port?: number;
  /** How many shards there are. */
  readonly shards?: number;
  /** Whether it has JetStream, which leases need. */
  readonly jetStream?: boolean;
  /** More lines of its configuration. */
  readonly config?: string;
}

/** A running server; dispose of it to kill it and to remove its files. */
export class NatsServer implements AsyncDisposable {
  readonly port: number;
  readonly #dir: string;
  #process: Deno.ChildProcess | undefined;
  /** To it; those to a cluster are of all its servers. */
  #connections: NatsConnection[] = [];

  private constructor(dir: string, port: number) {
    this.#dir = dir;
    this.port = port;
  }

  /** Starts it, and waits until it answers. */
  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    if (noNats) throw new Error(`No nats-server: ${natsHint}`);
    const dir = await Deno.makeTempDir({ prefix: "sshpool-nats-" });
    const {
      port = freePort(),
      shards = SHARDS,
      jetStream = false,
      config = "",
    } = options;
    const server = new NatsServer(dir, port);
    const mapped =
      `ssh.shard.{{partition(${shards},1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}`;
    await Deno.writeTextFile(
      join(dir, "nats.conf"),
      `listen: "127.0.0.1:${server.port}"
ping_interval: "5s"
ping_max: 2
${
        config.includes("mappings")
          ? ""
          : `mappings = { "ssh.dial.*.*": "${mapped}" }`
      }
${jetStream ? `jetstream { store_dir: "${dir}/store" }` : ""}
${config}
`,
    );
    try {
      await server.begin();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Starts several that are one bus, and waits until they are.
   *
   * @param count How many.
   * @param options Of each of them.
   */
  static async startCluster(
    count: number,
    options: NatsServerOptions = {},
  ): Promise<NatsServer[]> {
    const ports = Array.from({ length: count }, () => freePort());
    const routes = ports.map((port) => `"nats://127.0.0.1:${port}"`).join();
    const started = await Promise.allSettled(
      ports.map((port, index) =>
        NatsServer.start({
          ...options,
          config: `server_name: "bus-${index}"
cluster { name: "bus", listen: "127.0.0.1:${port}", routes: [${routes}] }
${options.config ?? ""}`,
        })
      ),
    );
    const servers = started.flatMap((it) =>
      it.status === "fulfilled" ? [it.value] : []
    );
    // What is connected ends before the first of them: it would move on to the
    // next one, and its `close()` while a server goes away throws at nobody.
    const connections: NatsConnection[] = [];
    for (const server of servers) server.#connections = connections;
    try {
      if (servers.length < count) throw new Error("Cannot start the cluster");
      await joined(servers);
      return servers;
    } catch (error) {
      for (const server of servers) await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Opens a connection, which ends before the server, or before its cluster. */
  async connect(
    options: Parameters<typeof connect>[0] = {},
  ): Promise<NatsConnection> {
    const connection = await connect({
      servers: `127.0.0.1:${this.port}`,
      reconnectTimeWait: 100,
      reconnectJitter: 0,
      maxReconnectAttempts: -1,
      ...options,
    });
    this.#connections.push(connection);
    return connection;
  }

  /** Sends a signal to it: `SIGSTOP` freezes it. */
  signal(name: Deno.Signal): void {
    this.#process?.kill(name);
  }

  /** Kills it. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    try {
      process?.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await process?.status;
  }

  /** Starts it, or starts it again on the same port. */
  async begin(): Promise<void> {
    this.#process = new Deno.Command(natsPath!, {
      args: ["-c", join(this.#dir, "nats.conf")],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
      if (await greets(this.port, "INFO")) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error("Cannot start nats-server: no answer within 60 s");
  }

  /** Ends it, and what is connected to it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#connections.map((it) => it.close().catch(() => {})),
    );
    await this.kill();
    await Deno.remove(this.#dir, { recursive: true });
  }
}

/** Waits until each server hears what another is told. */
async function joined(servers: readonly NatsServer[]): Promise<void> {
  const all = await Promise.all(servers.map((it) => it.connect()));
  const heard = new Set<string>();
  all.forEach((it, to) =>
    it.subscribe("joined", {
      callback: (_error, { data }) => void heard.add(`${to}${data}`),
    })
  );
  for (const end = Date.now() + 60_000; heard.size < servers.length ** 2;) {
    if (Date.now() > end) throw new Error("The servers do not find each other");
    all.forEach((it, from) => it.publish("joined", String(from)));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await Promise.all(all.map((it) => it.close()));
}
