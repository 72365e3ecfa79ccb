/**
 * The npm package node-ssh: as its README shows it, or set by hand.
 *
 * @module
 */

import { once } from "node:events";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { Gate, runTask } from "./kit.mjs";

// It is installed where it runs.
const { NodeSSH } = createRequire(import.meta.url)("node-ssh");

await runTask(({ isTuned }) => {
  const sessions = new Gate(8);
  const dials = new Gate(8);

  async function dial({ hostname, port, user, keyPath }) {
    const config = {
      host: hostname,
      port,
      username: user,
      privateKeyPath: keyPath,
    };
    if (isTuned) {
      config.sock = connect({ host: hostname, port, noDelay: true });
      await once(config.sock, "connect");
    }
    return await new NodeSSH().connect(config);
  }

  async function run(client, command) {
    const { code, stdout } = await client.execCommand(command);
    if (code !== 0) throw new Error(`Exit code ${code}`);
    return stdout;
  }

  const withGate = (client, command) =>
    isTuned
      ? sessions.run(() => run(client, command), isRefusal)
      : run(client, command);

  return {
    open: (host) =>
      isTuned ? dials.run(() => dial(host), isDropped) : dial(host),
    exec: withGate,
    drain: async (client, command) => (await withGate(client, command)).length,
    put: (client, here, there) => client.putFile(here, there),
    get: (client, there, here) => client.getFile(here, there),
    async close(client) {
      const closed = once(client.connection, "close");
      client.dispose();
      await closed;
    },
  };
});

function isRefusal({ message }) {
  return /open failed/.test(message);
}

function isDropped({ message }) {
  return /before handshake|ECONNRESET|closed/i.test(message);
}
