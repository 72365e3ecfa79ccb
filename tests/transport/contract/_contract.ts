/**
 * The adapters of this package, each with a server, for the treaty.
 *
 * @module
 */

import type { Connector } from "../../../transport/connector.ts";
import type { ResolvedHost, SshHost } from "../../../transport/host/host.ts";
import {
  connectorContract,
  contractCommands as commands,
  type ContractRig,
  EmbeddedServer,
  MemoryConnector,
} from "../../../transport/testing/mod.ts";
import { type SshdOptions, startSshd } from "../../kit/sshd.ts";

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

export async function openSshConnector(): Promise<Connector> {
  return await openSshConnectorOf("ssh");
}

/** The same with another `ssh`. */
export async function openSshConnectorOf(path: string): Promise<Connector> {
  const { OpenSshConnector } = await import(
    "../../../transport/openssh/mod.ts"
  );
  return new OpenSshConnector({ configFile: false, path });
}

type Site = Omit<ContractRig, "connector">;

/** A server that takes connections and says nothing, made when it is needed. */
function silence(host: ResolvedHost) {
  let server: EmbeddedServer | undefined;
  return {
    async silent(): Promise<ResolvedHost> {
      server = await EmbeddedServer.start({ neverBanner: true });
      const { hostname, port = 0 } = server.host();
      return { ...host, hostname, port };
    },
    end: async () => void await server?.close(),
  };
}

/** The server in the process. */
export async function embeddedSite(): Promise<Site> {
  const server = await EmbeddedServer.start({
    maxSessions: 2,
    commands,
    acceptEnv,
  });
  const sockets = await openFolder();
  const host = resolved(server.host());
  const { silent, end } = silence(host);
  return {
    host,
    folder: "/home/ops",
    sockets,
    silent,
    lose: () => server.dropAll(),
    async [Symbol.asyncDispose]() {
      await end();
      await server.close();
      await Deno.remove(sockets, { recursive: true });
    },
  };
}

/** A real sshd. */
export async function sshdSite(
  options: Pick<SshdOptions, "version"> = {},
): Promise<Site> {
  const sshd = await startSshd({ maxSessions: 2, ...options });
  const folder = await openFolder();
  const host = resolved(sshd.host());
  const { silent, end } = silence(host);
  return {
    host,
    folder,
    sockets: folder,
    silent,
    lose: () => sshd.kill(),
    async [Symbol.asyncDispose]() {
      await end();
      await sshd[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** The fake. */
export function memoryRig(): ContractRig {
  const connector = new MemoryConnector({
    maxSessions: 2,
    commands,
    onDial: ({ hostname }) => hostname === "silent" ? "never" : undefined,
    // Nothing listens on port 1; everything else sends back what it gets.
    targets: (target) =>
      target === "127.0.0.1:1"
        ? undefined
        : ({ readable, writable }) => readable.pipeTo(writable),
  });
  const host: ResolvedHost = { hostname: "db1", port: 22, user: "ops" };
  return {
    connector,
    host,
    folder: "/tmp",
    sockets: "/run",
    silent: () => ({ ...host, hostname: "silent" }),
    lose: () => connector.dropAll(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/**
 * Tests an adapter.
 *
 * @param name The adapter and its server.
 * @param start Makes both.
 * @param hint What is missing on this machine, if something is.
 */
export function prove(
  name: string,
  start: () => ContractRig | Promise<ContractRig>,
  hint?: string,
): void {
  connectorContract({ name, start }, {
    test: (name, fn) =>
      Deno.test({
        name: hint === undefined ? name : `${name} (${hint})`,
        ignore: hint !== undefined,
        fn,
      }),
  });
}

/** A rig of a connector and a server. */
export function over(
  connector: () => Promise<Connector>,
  site: () => Promise<Site>,
): () => Promise<ContractRig> {
  return async () => {
    const made = await connector();
    return { ...await site(), connector: made };
  };
}
