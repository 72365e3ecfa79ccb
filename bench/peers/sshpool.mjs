/**
 * sshpool, at its defaults. A host key is pinned, as the others have theirs.
 *
 * @module
 */

import { ConnectionPool } from "@sshpool/sshpool";
import { runTask } from "./kit.mjs";

await runTask(({ transport, name }) => {
  const newPool = () =>
    new ConnectionPool({ config: false, defaults: { transport } });
  // All hosts of one pool; a cold dial has a pool of its own.
  const shared = newPool();
  return {
    async open({ hostname, port, user, privateKey, hostKey }) {
      const host = { hostname, port, user, privateKey, hostKey };
      const pool = name === "dial" ? newPool() : shared;
      if (name !== "cold") await pool.getConnection(host);
      return { pool, host };
    },
    async exec({ pool, host }, command) {
      const { stdout } = await pool.exec(host, command, { check: true });
      return stdout;
    },
    async drain({ pool, host }, command) {
      const { stdout } = await pool.exec(host, command, {
        encoding: "bytes",
        maxOutputBytes: Infinity,
        check: true,
      });
      return stdout.length;
    },
    put: ({ pool, host }, here, there) => pool.upload(host, here, there),
    get: ({ pool, host }, there, here) => pool.download(host, there, here),
    // The hosts that are cold are those of a pool in use.
    close: ({ pool }) => name === "cold" ? pool.closeAll() : pool.close(),
  };
});
