/**
 * A connection over ssh2 to a server in this process, or to sshd.
 *
 * @module
 */

import type {
  Connection,
  ConnectOptions,
} from "../../../transport/connector.ts";
import type { ResolvedHost, SshHost } from "../../../transport/host/host.ts";
import { Ssh2Connector } from "../../../transport/ssh2/mod.ts";
import {
  EmbeddedServer,
  type EmbeddedServerOptions,
} from "../../../transport/testing/mod.ts";
import { noSshd, type Sshd, sshdHint, startSshd } from "../../kit/sshd.ts";

/** A host with what only the resolver would fill in. */
export function resolved({ jump: _, ...host }: SshHost): ResolvedHost {
  return { port: 22, user: "ops", agent: false, ...host };
}

/** Connects. */
export function connect(
  host: SshHost,
  options?: ConnectOptions,
): Promise<Connection> {
  // On a busy machine a key exchange takes its time.
  const { timeoutMs = 60_000 } = options ?? {};
  return new Ssh2Connector().connect(resolved(host), { ...options, timeoutMs });
}

/** A test over one connection to a server in this process. */
export function embeddedTest(
  name: string,
  {
    timeoutMs,
    keepaliveIntervalMs,
    keepaliveCountMax,
    channelOpenTimeoutMs,
    onNotice,
    ...script
  }: EmbeddedServerOptions & ConnectOptions,
  fn: (connection: Connection, server: EmbeddedServer) => Promise<void>,
): void {
  Deno.test(name, async () => {
    await using server = await EmbeddedServer.start(script);
    const options = {
      timeoutMs,
      keepaliveIntervalMs,
      keepaliveCountMax,
      channelOpenTimeoutMs,
      onNotice,
    } as ConnectOptions;
    await using connection = await connect(server.host(), options);
    await fn(connection, server);
  });
}

/** A test over one connection to a real sshd. */
export function sshdTest(
  name: string,
  fn: (connection: Connection, sshd: Sshd) => Promise<void>,
): void {
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    async fn() {
      await using sshd = await startSshd();
      await using connection = await connect(sshd.host());
      await fn(connection, sshd);
    },
  });
}

/** What a promise rejects with. */
export function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then((value) => {
    throw new Error(`It did not reject: ${JSON.stringify(value)}`);
  }, (error) => error);
}
