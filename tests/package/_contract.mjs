/**
 * The treaty over both adapters, to the server in the process. Prints the tests
 * that failed as JSON. Written for Node 20: no `await using`.
 */

import { mkdtemp, rm } from "node:fs/promises";
import process from "node:process";
import { Ssh2Connector } from "@sshpool/sshpool";
import { OpenSshConnector } from "@sshpool/sshpool/openssh";
import {
  connectorContract,
  contractCommands,
  EmbeddedServer,
} from "@sshpool/sshpool/testing";

const adapters = {
  ssh2: () => new Ssh2Connector(),
  openssh: () => new OpenSshConnector({ configFile: false }),
};

async function start(connector) {
  const options = { maxSessions: 2, commands: contractCommands };
  const server = await EmbeddedServer.start({
    ...options,
    acceptEnv: ["LC_*"],
  });
  const silent = await EmbeddedServer.start({ neverBanner: true });
  const sockets = await mkdtemp("/tmp/sshpool-contract-");
  return {
    connector,
    host: server.host(),
    folder: "/home/ops",
    sockets,
    silent: () => silent.host(),
    lose: () => server.dropAll(),
    async [Symbol.asyncDispose]() {
      await server.close();
      await silent.close();
      await rm(sockets, { recursive: true });
    },
  };
}

const failed = [];
let passed = 0;
for (const name of JSON.parse(process.argv[2])) {
  const tests = [];
  connectorContract({ name, start: () => start(adapters[name]()) }, {
    test: (title, body) => tests.push([title, body]),
  });
  for (const [title, body] of tests) {
    try {
      await body();
      passed++;
    } catch (error) {
      failed.push(`${title}: ${error?.stack ?? error}`);
    }
  }
}
process.stdout.write(JSON.stringify({ isTested: passed > 45, failed }) + "\n");
