/**
 * The treaty over both adapters, registered with the test runner of the
 * runtime: over ssh2 to the server in the process, over `ssh` to the sshd that
 * `SSHD_URL` hands out, if it is set. Written for Node 20: no `await using`.
 */

import { chmod, mkdtemp, rm } from "node:fs/promises";
import process from "node:process";
import { Ssh2Connector } from "@sshpool/sshpool";
import { OpenSshConnector } from "@sshpool/sshpool/openssh";
import {
  connectorContract,
  contractCommands,
  EmbeddedServer,
} from "@sshpool/sshpool/testing";

const { test } = await import("Bun" in globalThis ? "bun:test" : "node:test");
const SSHD = process.env.SSHD_URL;

async function embedded() {
  const server = await EmbeddedServer.start({
    maxSessions: 2,
    commands: contractCommands,
    acceptEnv: ["LC_*"],
  });
  return {
    host: server.host(),
    lose: () => server.dropAll(),
    end: () => server.close(),
  };
}

async function ask(verb) {
  const response = await fetch(`${SSHD}/${verb}`, { method: "POST" });
  return await response.json();
}

async function sshd() {
  const host = await ask("start");
  return { host, lose: () => ask("kill"), end: () => {} };
}

async function start(connector, site) {
  const { host, lose, end } = await site();
  const silent = await EmbeddedServer.start({ neverBanner: true });
  const { hostname, port } = silent.host();
  const sockets = await mkdtemp("/tmp/sshpool-contract-");
  await chmod(sockets, 0o777);
  return {
    connector,
    host,
    folder: site === sshd ? sockets : "/home/ops",
    sockets,
    silent: () => ({ ...host, hostname, port }),
    lose,
    async [Symbol.asyncDispose]() {
      await silent.close();
      await end();
      await rm(sockets, { recursive: true });
    },
  };
}

connectorContract({
  name: "ssh2",
  start: () => start(new Ssh2Connector(), embedded),
}, { test });

if (SSHD !== undefined) {
  connectorContract({
    name: "openssh",
    start: () => start(new OpenSshConnector({ configFile: false }), sshd),
  }, { test });
}
