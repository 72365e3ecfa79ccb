/**
 * Sixty calls of each kind that share one signal: Node warns of more than ten
 * listeners. Prints the kinds that it warned of.
 */

import process from "node:process";
import { ConnectionPool, PlainResolver, Ssh2Connector } from "@sshpool/sshpool";

const { target, hop } = JSON.parse(process.argv[2]);
const pool = new ConnectionPool({ config: false });
const connection = await new Ssh2Connector().connect(
  new PlainResolver().resolve(target),
);
const { signal } = new AbortController();

const sixty = (call) =>
  Promise.all(Array.from({ length: 60 }, (_, i) => call(i)));
const hosts = Array.from(
  { length: 60 },
  (_, i) => ({ ...target, alias: `h${i}` }),
);
const refused = { ...target, port: 1 };
const there = { hostname: target.hostname, port: target.port };

const KINDS = {
  getConnection: () => sixty(() => pool.getConnection(target, { signal })),
  exec: () => sixty(() => pool.exec(target, "true", { signal })),
  jump: () =>
    sixty(() => pool.exec({ ...target, jump: [hop] }, "true", { signal })),
  spawn: () =>
    sixty(async () => {
      const child = await pool.spawn(target, "true", { signal });
      await child.output();
    }),
  acquire: () =>
    sixty(async () => (await pool.acquire(target, { signal })).release()),
  refused: () =>
    sixty(() => pool.exec(refused, "true", { signal }).catch(() => {})),
  fanOut: async () => {
    const run = (host, signal) => pool.exec(host, "true", { signal });
    for await (const { ok, error } of pool.fanOut(hosts, run, { signal })) {
      if (!ok) throw error;
    }
  },
  aborted: async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const calls = sixty(() =>
      pool.exec(target, "sleep 60", { signal }).catch(() => {})
    );
    setTimeout(() => controller.abort(), 100);
    await calls;
  },
  forwardOut: () =>
    sixty(async () => {
      const tunnel = await connection.forwardOut(there, { signal });
      tunnel.close();
      await tunnel.closed;
    }),
};

let kind = "";
const warned = [];
process.on("warning", ({ message }) => warned.push(`${kind}: ${message}`));
for (const [name, run] of Object.entries(KINDS)) {
  kind = name;
  await run();
  // Warnings come a turn later.
  await new Promise((resolve) => setTimeout(resolve, 10));
}
await connection.close();
await pool.close();
process.stdout.write(JSON.stringify(warned) + "\n");
