/** The npm package in Node: key exchanges of sshd, and where an error comes from. */

import { assertEquals } from "@std/assert";
import { noSshd, sshdHint, startSshd } from "./kit/sshd.ts";
import { noNpm, PackageFolder, packageRuntimes } from "./package/_kit.ts";

let folder: PackageFolder;

Deno.test.beforeAll(async () => {
  if (!noNpm) folder = await PackageFolder.make();
});

Deno.test.afterAll(() => folder?.[Symbol.asyncDispose]());

function nodeTest(
  what: string,
  isMissing: false | string,
  fn: (run: (source: string, host?: unknown) => Promise<unknown>) => Promise<
    void
  >,
): void {
  for (const { name, command, hint } of packageRuntimes) {
    if (!name.startsWith("Node")) continue;
    const missing = isMissing ||
      (noNpm ? "install npm to run this test" : command ? false : hint);
    Deno.test({
      name: `${what}, in ${name}${missing ? ` (${missing})` : ""}`,
      ignore: missing !== false,
      fn: () =>
        fn(async (source, host = null) => {
          const program = await folder.write("program.mjs", source);
          const env = { SSHPOOL_HOST: JSON.stringify(host) };
          const args = [program];
          const { code, stdout, stderr } = await folder.run(command!, {
            args,
            env,
          });
          assertEquals({ code, stderr }, { code: 0, stderr: "" });
          return JSON.parse(stdout);
        }),
    });
  }
}

nodeTest(
  "an error of ConnectionPool leads to the line of the caller",
  false,
  async (run) => {
    const stack = await run(`
import { ConnectionPool } from "@sshpool/sshpool";

const pool = new ConnectionPool({ config: false });
async function caller() {
  await pool.exec("ops@127.0.0.1:1", "true");
}
const { stack } = await caller().catch((error) => error);
console.log(JSON.stringify(stack));
`);
    const isCaller = /at async caller .*program\.mjs:6/.test(String(stack));
    assertEquals(isCaller, true, String(stack));
  },
);

nodeTest(
  "ConnectionPool survives the key exchanges that sshd asks for",
  noSshd && sshdHint,
  async (run) => {
    await using sshd = await startSshd({ config: ["RekeyLimit 200K"] });
    const right = await run(
      `
import { ConnectionPool } from "@sshpool/sshpool";

const pool = new ConnectionPool({ config: false });
const host = JSON.parse(process.env.SSHPOOL_HOST);
const ciphers = ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"];
const right = [];
for (const cipher of ciphers) {
  const target = { ...host, algorithms: { cipher } };
  const results = await Promise.all(
    Array.from({ length: 30 }, (_, i) => pool.exec(target, "seq " + (i + 1) + "00000 " + (i + 1) + "05700")),
  );
  right.push(results.filter(({ stdout }, i) =>
    stdout === Array.from({ length: 5701 }, (_, j) => (i + 1) * 100000 + j + "\\n").join("")).length);
}
await pool.close();
console.log(JSON.stringify(right));
`,
      sshd.host(),
    );
    assertEquals(right, [30, 30, 30]);
  },
);

nodeTest(
  "EmbeddedServer runs many sessions at once without a warning",
  false,
  async (run) => {
    // A warning would be on standard error, which has to be empty.
    const sums = await run(`
import { ConnectionPool } from "@sshpool/sshpool";
import { EmbeddedServer } from "@sshpool/sshpool/testing";

const many = 50;
let waiting = 0;
let go;
const gate = new Promise((resolve) => go = resolve);
const server = await EmbeddedServer.start({
  commands: {
    // Many sessions, each of which writes many times at once.
    together: async ({ write }) => {
      if (++waiting === many) go();
      await gate;
      await Promise.all(Array.from({ length: many }, () => write("x")));
    },
  },
});
const pool = new ConnectionPool({
  config: false,
  maxConnectionsPerHost: 1,
  maxSessionsPerConnection: many,
});
const results = await Promise.all(
  Array.from({ length: many }, () => pool.exec(server.host(), "together")),
);
await pool.close();
await server.close();
console.log(JSON.stringify([
  server.accepted,
  server.peakSessions,
  results.filter(({ stdout }) => stdout.length === many).length,
]));
`);
    assertEquals(sums, [1, 50, 50]);
  },
);

nodeTest(
  "Ssh2Connector that was kept from running sets no timer that Node warns of",
  false,
  async (run) => {
    // A warning would be on standard error, which has to be empty.
    const codes = await run(`
import { ConnectionPool } from "@sshpool/sshpool";
import { Ssh2Connector } from "@sshpool/sshpool/ssh2";

const ssh2 = new Ssh2Connector();
const timeoutMs = 20;
const connector = {
  connect(host, options) {
    const dial = ssh2.connect(host, { ...options, timeoutMs });
    const end = performance.now() + 2 * timeoutMs;
    while (performance.now() < end);
    return dial;
  },
};
const codes = [];
// The first one loads ssh2.
for (const port of [1, 2]) {
  const pool = new ConnectionPool({ config: false, connector });
  await pool.exec("ops@127.0.0.1:" + port, "true")
    .catch(({ code }) => codes.push(code));
  await pool.close();
}
console.log(JSON.stringify(codes));
`);
    assertEquals(codes, ["SSH_DIAL", "SSH_DIAL"]);
  },
);
