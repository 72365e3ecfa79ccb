/**
 * The npm package ssh2: as its README shows it, or set by hand.
 *
 * @module
 */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import ssh2 from "ssh2";
import { Gate, runTask } from "./kit.mjs";

await runTask(({ isTuned }) => {
  const sessions = new Gate(8);
  const dials = new Gate(8);

  async function dial({ hostname, port, user, keyPath }) {
    const config = {
      host: hostname,
      port,
      username: user,
      privateKey: readFileSync(keyPath),
    };
    if (isTuned) {
      config.sock = connect({ host: hostname, port, noDelay: true });
      await once(config.sock, "connect");
    }
    const client = new ssh2.Client();
    await new Promise((resolve, reject) => {
      client.on("ready", resolve).on("error", reject);
      client.on("close", () => reject(new Error("Closed before it was ready")));
      client.connect(config);
    });
    return client;
  }

  /** What a command wrote, in pieces. */
  function run(client, command) {
    return new Promise((resolve, reject) => {
      client.exec(command, (error, stream) => {
        if (error) return reject(error);
        const chunks = [];
        stream.on("close", (code) => {
          if (code === 0) resolve(chunks);
          else reject(new Error(`Exit code ${code}`));
        });
        stream.on("data", (chunk) => chunks.push(chunk));
        stream.stderr.on("data", () => {});
      });
    });
  }

  const withGate = (client, command) =>
    isTuned
      ? sessions.run(() => run(client, command), isRefusal)
      : run(client, command);
  const sftp = (client, verb, from, to) =>
    new Promise((resolve, reject) =>
      client.sftp((error, session) => {
        if (error) return reject(error);
        session[verb](from, to, (error) => error ? reject(error) : resolve());
      })
    );

  return {
    open: (host) =>
      isTuned ? dials.run(() => dial(host), isDropped) : dial(host),
    exec: async (client, command) =>
      String(Buffer.concat(await withGate(client, command))),
    drain: async (client, command) =>
      Buffer.concat(await withGate(client, command)).length,
    put: (client, here, there) => sftp(client, "fastPut", here, there),
    get: (client, there, here) => sftp(client, "fastGet", there, here),
    async close(client) {
      const closed = once(client, "close");
      client.end();
      await closed;
    },
  };
});

function isRefusal({ message }) {
  return /open failed/.test(message);
}

function isDropped({ message }) {
  return /before handshake|ECONNRESET|before it was ready/.test(message);
}
