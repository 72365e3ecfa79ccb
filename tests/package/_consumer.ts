/** A program of a user, in strict TypeScript, with every entry point. */

import { metrics, trace } from "@opentelemetry/api";
import {
  type Command,
  CommandError,
  type Connection,
  ConnectionPool,
  type ConnectionPoolOptions,
  DialError,
  type ExecResult,
  type FanOutResult,
  type Forward,
  type HostHandle,
  type PoolEvent,
  type RemoteProcess,
  type Sftp,
  SshConfigResolver,
  SshError,
  type TransferResult,
} from "@sshpool/sshpool";
import { instrument, type Instrumentation } from "@sshpool/sshpool/otel";
import { ConnectionPool as BarePool } from "@sshpool/sshpool/pool";
import { terminalProgress } from "@sshpool/sshpool/progress";
import { Ssh2Connector } from "@sshpool/sshpool/ssh2";
import { EmbeddedServer, MemoryConnector } from "@sshpool/sshpool/testing";

const options: ConnectionPoolOptions = {
  maxConnectionsPerHost: 2,
  config: { files: ["ssh_config"] },
  observer: (event: PoolEvent) => void event.type,
};

export async function run(): Promise<number> {
  const pool = new ConnectionPool(options);
  try {
    const command: Command = ["uptime"];
    const result: ExecResult = await pool.exec("web-1", command);
    const output: string = result.stdout;
    const bytes = await pool.exec("web-1", "cat", { encoding: "bytes" });
    const length: number = bytes.stdout.byteLength;
    const child: RemoteProcess = await pool.spawn("web-1", "cat");
    for await (const chunk of child.stdout) void chunk.byteLength;
    const connection: Connection = await pool.getConnection("web-1");
    const sftp: Sftp | undefined = await connection.sftp?.();
    sftp?.close();
    const onProgress = terminalProgress({ label: "Check" });
    const display = pool.fanOut(["a"], "uptime", { onProgress });
    for await (const each of display) {
      if (each.ok) void each.value.stdout.length;
    }
    const work = () => 1;
    for await (const each of pool.fanOut(["a", "b"], work)) {
      const found: FanOutResult<number> = each;
      if (found.ok) void found.value.toFixed();
    }
    return output.length + length;
  } catch (error) {
    if (error instanceof DialError && error.phase === "auth") return 1;
    if (error instanceof SshError && error.mayHaveRun) return 2;
    throw error;
  } finally {
    await pool.close();
  }
}

export function traced(pool: ConnectionPool): void {
  const instrumentation: Instrumentation = instrument({
    pool,
    tracerProvider: trace.getTracerProvider(),
    meterProvider: metrics.getMeterProvider(),
  });
  instrumentation.stop();
}

export async function parts(): Promise<void> {
  const server: EmbeddedServer = await EmbeddedServer.start({ user: "ops" });
  const connector = new MemoryConnector();
  const bare = new BarePool({ connector });
  const real = new BarePool({ connector: new Ssh2Connector() });
  const resolver = new SshConfigResolver();
  await Promise.all([bare.close(), real.close(), server.close()]);
  void resolver;
}

export async function handle(pool: ConnectionPool): Promise<string> {
  const web: HostHandle = pool.host({ hostname: "web-1", user: "ops" });
  const sent: TransferResult = await web.upload("dist", "/srv/dist");
  const forward: Forward = await web.forward({
    type: "local",
    listen: 0,
    to: "db:5432",
  });
  await forward.close();
  const hosts = ["a", "b"];
  for await (const { name, ...result } of pool.fanOut(hosts, "uptime")) {
    if (result.ok) return name + result.value.stdout;
  }
  try {
    return (await web.$`ls ${["a b", "c"]}`).stdout + sent.files.toFixed();
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
}

export function wrong(pool: ConnectionPool): void {
  // @ts-expect-error: the types are no `any`
  void pool.exec(1, 2);
  // @ts-expect-error: options are known by name
  void pool.exec("web-1", "true", { timeout: 1 });
  // @ts-expect-error: what is not exported is not there
  void pool.nothing;
}
