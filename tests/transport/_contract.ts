/**
 * The treaty of `transport/connector.ts`: what its tests are run over.
 *
 * @module
 */

import { existsSync } from "node:fs";
import type { Connection, Connector } from "../../transport/connector.ts";
import type { ResolvedHost, SshHost } from "../../transport/host.ts";
import {
  type Commands,
  EmbeddedServer,
  MemoryConnector,
} from "../../transport/testing/mod.ts";
import { noSshd, sshdHint, startSshd } from "../_sshd.ts";

/** A connector with a server behind it that allows two sessions. */
export interface Rig extends AsyncDisposable {
  connector: Connector;
  host: ResolvedHost;
  /** Loses every connection, from the server's side. */
  lose(): unknown;
}

export interface Adapter {
  name: string;
  ignore: boolean;
  hint?: string;
  start(): Promise<Rig>;
}

/** What a shell does by itself, said again for those that have none. */
const commands: Commands = {
  "echo out; echo err >&2; exit 3": {
    stdout: "out\n",
    stderr: "err\n",
    code: 3,
  },
  "kill -KILL $$": { signal: "KILL" },
  "echo so far; sleep 60": async ({ write, signal }) => {
    await write("so far\n");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  },
};

export const resolved = ({ jump: _, ...host }: SshHost): ResolvedHost => ({
  port: 22,
  user: "ops",
  ...host,
});

// Looked for, so that the treaty can be tested over whatever is there.
const ssh2 = new URL("../../transport/ssh2/connector.ts", import.meta.url);
const noSsh2 = !existsSync(ssh2);

export async function ssh2Connector(): Promise<Connector> {
  const { Ssh2Connector } = await import(ssh2.href);
  return new Ssh2Connector();
}

export const adapters: Adapter[] = [{
  name: "memory",
  ignore: false,
  start() {
    const connector = new MemoryConnector({ maxSessions: 2, commands });
    const rig: Rig = {
      connector,
      host: { hostname: "db1", port: 22, user: "ops" },
      lose: () => connector.dropAll(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    return Promise.resolve(rig);
  },
}, {
  name: "ssh2 over EmbeddedServer",
  ignore: noSsh2,
  async start() {
    const server = await EmbeddedServer.start({ maxSessions: 2, commands });
    return {
      connector: await ssh2Connector(),
      host: resolved(server.host()),
      lose: () => server.dropAll(),
      [Symbol.asyncDispose]: () => server.close(),
    };
  },
}, {
  name: "ssh2 over sshd",
  ignore: noSsh2 || noSshd,
  hint: sshdHint,
  async start() {
    const sshd = await startSshd({ maxSessions: 2 });
    return {
      connector: await ssh2Connector(),
      host: resolved(sshd.host()),
      lose: () => sshd.kill(),
      [Symbol.asyncDispose]: () => sshd[Symbol.asyncDispose](),
    };
  },
}];

/** A test of the treaty over every adapter and every server. */
export function contract(
  name: string,
  body: (connection: Connection, rig: Rig) => Promise<void>,
): void {
  for (const { name: adapter, ignore, hint, start } of adapters) {
    const note = ignore && hint ? ` (${hint})` : "";
    Deno.test({
      name: `Connector [${adapter}] ${name}${note}`,
      ignore,
      async fn() {
        await using rig = await start();
        await using connection = await rig.connector.connect(rig.host);
        await body(connection, rig);
      },
    });
  }
}
