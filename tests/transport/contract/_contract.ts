/**
 * The treaty of `transport/connector.ts`: what its tests are run over.
 *
 * @module
 */

import type { Connection, Connector } from "../../../transport/connector.ts";
import type { ResolvedHost, SshHost } from "../../../transport/host/host.ts";
import {
  type Commands,
  EmbeddedServer,
  MemoryConnector,
} from "../../../transport/testing/mod.ts";
import { noSsh, sshHint } from "../../kit/ssh.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";

/** A connector with a server behind it that allows two sessions. */
export interface Rig extends AsyncDisposable {
  connector: Connector;
  host: ResolvedHost;
  /** A folder of the host in which the user may write. */
  folder: string;
  /** A folder in which the host may make unix sockets. */
  sockets: string;
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
  "cat; exit 5": async ({ stdin, write }) => {
    for await (const chunk of stdin) await write(chunk);
    return { code: 5 };
  },
  "echo so far; sleep 60": async ({ write, signal }) => {
    await write("so far\n");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  },
  "head -c 8000000 /dev/zero": async ({ write }) => {
    for (let i = 0; i < 80; i++) await write(new Uint8Array(100_000));
  },
};

/** As distributions have it in their sshd_config. */
const acceptEnv = ["LANG", "LC_*"];

/** A folder of this machine that every user may write in. */
async function openFolder(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "sshpool-contract-" });
  await Deno.chmod(folder, 0o777);
  return folder;
}

export const resolved = ({ jump: _, ...host }: SshHost): ResolvedHost => ({
  port: 22,
  user: "ops",
  ...host,
});

export async function ssh2Connector(): Promise<Connector> {
  const { Ssh2Connector } = await import("../../../transport/ssh2/mod.ts");
  return new Ssh2Connector();
}

async function openSshConnector(): Promise<Connector> {
  const { OpenSshConnector } = await import(
    "../../../transport/openssh/mod.ts"
  );
  return new OpenSshConnector({ configFile: false });
}

type Site = Omit<Rig, "connector">;

async function embeddedSite(): Promise<Site> {
  const server = await EmbeddedServer.start({
    maxSessions: 2,
    commands,
    acceptEnv,
  });
  const sockets = await openFolder();
  return {
    host: resolved(server.host()),
    folder: "/home/ops",
    sockets,
    lose: () => server.dropAll(),
    async [Symbol.asyncDispose]() {
      await server.close();
      await Deno.remove(sockets, { recursive: true });
    },
  };
}

async function sshdSite(): Promise<Site> {
  const sshd = await startSshd({ maxSessions: 2 });
  const folder = await openFolder();
  return {
    host: resolved(sshd.host()),
    folder,
    sockets: folder,
    lose: () => sshd.kill(),
    async [Symbol.asyncDispose]() {
      await sshd[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

function over(
  name: string,
  connector: () => Promise<Connector>,
  site: () => Promise<Site>,
): Pick<Adapter, "name" | "start"> {
  return {
    name,
    start: async () => {
      const made = await connector();
      return Object.assign(await site(), { connector: made });
    },
  };
}

export const adapters: Adapter[] = [{
  name: "memory",
  ignore: false,
  start() {
    const connector = new MemoryConnector({
      maxSessions: 2,
      commands,
      // Nothing listens on port 1; everything else sends back what it gets.
      targets: (target) =>
        target === "127.0.0.1:1"
          ? undefined
          : ({ readable, writable }) => readable.pipeTo(writable),
    });
    const rig: Rig = {
      connector,
      host: { hostname: "db1", port: 22, user: "ops" },
      folder: "/tmp",
      sockets: "/run",
      lose: () => connector.dropAll(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    return Promise.resolve(rig);
  },
}, {
  ...over("ssh2 over EmbeddedServer", ssh2Connector, embeddedSite),
  ignore: false,
}, {
  ...over("ssh2 over sshd", ssh2Connector, sshdSite),
  ignore: noSshd,
  hint: sshdHint,
}, {
  ...over("openssh over EmbeddedServer", openSshConnector, embeddedSite),
  ignore: noSsh,
  hint: sshHint,
}, {
  ...over("openssh over sshd", openSshConnector, sshdSite),
  ignore: noSsh || noSshd,
  hint: noSsh ? sshHint : sshdHint,
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
