/** The npm package: what is in it, and that it works where it is installed. */

import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { NatsServer, noNats, SHARDS } from "../kit/nats.ts";
import { noSsh } from "../kit/ssh.ts";
import { noSshd, startSshd } from "../kit/sshd.ts";
import { inTerminal, noTerminal } from "../kit/terminal.ts";
import { startHybridServer } from "../transport/ssh2/_hybrid_server.ts";
import {
  LONG_MS,
  noNpm,
  PackageFolder,
  packageRuntimes,
  runtimeTest,
} from "./_kit.ts";

const ESBUILD = "0.28.2";
const TYPESCRIPT = { ts5: "5.9.3", ts7: "7.0.2" };

let folder: PackageFolder;

Deno.test.beforeAll(async () => {
  if (noNpm) return;
  folder = await PackageFolder.make([
    "@types/node@20",
    `esbuild@${ESBUILD}`,
    ...Object.entries(TYPESCRIPT).map(([name, version]) =>
      `${name}@npm:typescript@${version}`
    ),
  ], []);
  const { peerDependencies = {} } = await manifest();
  const peers = Object.entries(peerDependencies);
  if (peers.length === 0) return;
  await folder.install(...peers.map(([name, range]) => `${name}@${range}`));
});

Deno.test.afterAll(() => folder?.[Symbol.asyncDispose]());

function packageTest(name: string, fn: () => Promise<void>): void {
  const isIgnored = noNpm;
  Deno.test({
    name: isIgnored ? `${name} (install npm to run this test)` : name,
    ignore: isIgnored,
    fn,
  });
}

function installed(...names: string[]): string {
  return folder.file("node_modules", ...config.name.split("/"), ...names);
}

/** The package.json of the package. */
async function manifest() {
  return JSON.parse(await Deno.readTextFile(installed("package.json")));
}

/** Bundles a program with esbuild, and gives the bundle. */
async function bundled(name: string, program: string): Promise<string> {
  await folder.write(`${name}.mjs`, program);
  const out = folder.file(`${name}.bundle.mjs`);
  await folder.succeed(
    folder.file("node_modules", ".bin", "esbuild"),
    folder.file(`${name}.mjs`),
    "--bundle",
    "--platform=node",
    "--format=esm",
    "--packages=external",
    `--alias:${config.name}=${installed("mod.js")}`,
    `--outfile=${out}`,
  );
  return out;
}

async function* filesBelow(path: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(path)) {
    if (isDirectory) yield* filesBelow(`${path}/${name}`);
    else yield `${path}/${name}`;
  }
}

packageTest(
  "the npm package has the exports, the version and the ssh2 of deno.json",
  async () => {
    const made = await manifest();
    assertEquals(made.name, config.name);
    assertEquals(made.version, config.version);
    assertEquals(made.type, "module");
    assertEquals(made.license, "MIT");
    assertEquals(made.engines, { node: ">=20.9" });
    assertEquals(made.sideEffects, false);
    assertEquals(made.repository.type, "git");
    assert(made.repository.url.startsWith("git+https://github.com/"));
    assert(made.description.length > 40 && made.keywords.includes("ssh"));
    assertEquals(made.dependencies, {
      "@noble/post-quantum": "^0.7.1",
      "bcrypt-pbkdf": "^1.0.2",
      ssh2: "1.17.0",
    });
    // What a sub-path alone needs is installed by those who use it.
    for (const name of Object.keys(made.peerDependencies ?? {})) {
      assertEquals(made.peerDependenciesMeta[name], { optional: true });
    }
    assertEquals(made.scripts, undefined);
    assertEquals(Object.keys(made.exports), Object.keys(config.exports));
    for (const [name, source] of Object.entries(config.exports)) {
      const js = source.replace(/\.ts$/, ".js");
      const types = source.replace(/\.ts$/, ".d.ts");
      const cjs = (path: string) => path.replace("./", "./cjs/");
      const module = { types, default: js };
      assertEquals(made.exports[name], {
        import: module,
        "module-sync": module,
        bun: module,
        require: { types: cjs(types), default: cjs(js) },
        default: js,
      });
      for (const path of [js, types, cjs(js), cjs(types)]) {
        await Deno.stat(installed(path));
      }
    }
  },
);

packageTest(
  "the npm package holds JavaScript, types, pages and LICENSE, and nothing else",
  async () => {
    const names: string[] = [];
    for await (const path of filesBelow(installed())) {
      names.push(path.slice(installed().length + 1));
    }
    assert(names.length > 100);
    const isCode = (name: string) =>
      /^(cjs\/ml_kem\.js|(cjs\/)?(mod|(pool|transport)\/[\w/]+)\.(js|d\.ts))$/
        .test(name);
    assertEquals(
      names.filter((name) => !isCode(name)).sort(),
      [
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "bench/README.md",
        "bench/peers.svg",
        "bench/report.svg",
        "cjs/package.json",
        "package.json",
        "pool/README.md",
        "pool/RECIPES.md",
        "tests/README.md",
        "transport/README.md",
        "transport/nats/README.md",
      ],
    );
  },
);

/** What the files of the package import, except one another and Node. */
async function foreignImports(entry: string): Promise<string[]> {
  const file = folder.file("package", entry);
  const { modules } = JSON.parse(
    await folder.succeed(Deno.execPath(), "info", "--json", file),
  ) as {
    modules: {
      error?: string;
      dependencies?: { specifier: string }[];
    }[];
  };
  assertEquals(modules.map(({ error }) => error).filter(Boolean), []);
  const all = modules.flatMap(({ dependencies = [] }) => dependencies)
    .map(({ specifier }) => specifier);
  assert(all.length > 0, entry);
  return all.filter((specifier) => !/^(\.{1,2}\/|node:)/.test(specifier));
}

packageTest(
  "the npm package imports Node's builtins, its own files, and what it depends on",
  async () => {
    const made = await manifest();
    const known = Object.keys({
      ...made.dependencies,
      ...made.peerDependencies,
    });
    // Below node_modules Deno does not look into files.
    await folder.succeed("tar", "-xzf", "sshpool.tgz");
    for (const [name, source] of Object.entries(config.exports)) {
      const foreign = await foreignImports(source.replace(/\.ts$/, ".js"));
      const unknown = foreign.filter((from) =>
        !known.some((name) => from === name || from.startsWith(`${name}/`))
      );
      assertEquals(unknown, [], name);
      if (name === "./pool") assertEquals(foreign, []);
      if (name === ".") assertEquals(foreign.includes("ssh2"), true);
    }
  },
);

/** Projects of users, which differ in where the types of the platform are from. */
const PROJECTS = {
  node: { module: "nodenext", types: ["node"], lib: ["es2022"] },
  bundler: {
    module: "esnext",
    moduleResolution: "bundler",
    types: [],
    // Not "esnext.disposable": most projects do not name it.
    lib: ["es2022", "dom", "dom.asynciterable"],
  },
};

/** Writes a project of a user and gives the name of its configuration. */
async function writeProject(kind: keyof typeof PROJECTS): Promise<string> {
  const every = Object.keys(config.exports).map((entry, i) =>
    `export * as entry${i} from "${config.name}${entry.slice(1)}";\n`
  );
  await folder.write("every.ts", every.join(""));
  await install("_consumer.ts");
  const compilerOptions = {
    target: "es2022",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
    ...PROJECTS[kind],
  };
  const files = ["_consumer.ts", "every.ts"];
  const name = `tsconfig.${kind}.json`;
  await folder.write(name, JSON.stringify({ compilerOptions, files }));
  return name;
}

for (const [name, version] of Object.entries(TYPESCRIPT)) {
  packageTest(
    `TypeScript ${version} takes the types of the npm package, strict and without skipLibCheck`,
    async () => {
      const tsc = folder.file("node_modules", name, "bin", "tsc");
      for (const kind of ["node", "bundler"] as const) {
        await folder.succeed("node", tsc, "-p", await writeProject(kind));
      }
    },
  );
}

/** What `_verbs.mjs` prints where all is well. */
const EXPECTED = {
  hundred: { right: 100, logins: 1 },
  exec: {
    failed: [false, 3],
    printed: "hello\n",
    echoed: [0, 255, 10],
    timeout: "ExecTimeoutError",
    aborted: "TimeoutError",
  },
  spawn: {
    read: "one two",
    status: { success: true, code: 0, signal: null },
    bytes: 3_000_000,
    killed: "TERM",
  },
  jump: { stdout: "far\n", hops: 1, forwards: 1 },
  fanOut: { ok: 2, failed: 1 },
  errors: {
    name: "DialError",
    code: "SSH_DIAL",
    phase: "tcp",
    isDialError: true,
  },
  parts: { stdout: "bare\n", port: 2222 },
  warnings: [],
};

// What is idle keeps a process alive for 15 s (a keepalive that finds the
// server well) or 60 s (the idle timeout), or for ever.
const ENDS_WITHIN_MS = 5_000;

/** Starts `_server.mjs` and hands out what it printed, until `fn` has ended. */
async function withServers(
  command: readonly string[],
  fn: (hosts: Record<string, unknown>) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const server = folder.run(command, {
    args: [await install("_server.mjs")],
    onOutput: resolve,
    signal: stop.signal,
  });
  server.then(({ stderr }) => reject(new Error(stderr)));
  try {
    await fn(JSON.parse(await promise));
  } finally {
    stop.abort();
    await server;
  }
}

/** Copies a program into the folder of the user. */
async function install(name: string): Promise<string> {
  const url = new URL(name, import.meta.url);
  return await folder.write(name, await Deno.readTextFile(url));
}

/** What `_sshd.mjs` prints where all is well. */
const EXPECTED_OF_SSHD = {
  files: {
    names: ["big", "small"],
    size: 1_000_000,
    isBig: true,
    small: "grüße\n",
    missing: "SSH_SFTP_NOT_FOUND",
  },
  trees: { up: 2, down: 2, told: true, isBig: true, small: "small\n" },
  commands: {
    quoted: "a b; $(reboot)",
    failed: [true, "SSH_COMMAND_FAILED"],
    inside: "FAR\nhello\n",
    lines: ["one", "two"],
  },
  shell: { size: true, code: 7 },
  forwards: ["through", "local", "remote", "dynamic"],
  warnings: [],
};

/** Runs a program, which prints what is expected and ends soon after. */
async function expectOf(
  command: readonly string[],
  program: string,
  task: unknown,
  expected: unknown,
): Promise<void> {
  const { code, stdout, stderr, idleMs } = await folder.run(command, {
    args: [await install(program), JSON.stringify(task)],
    // Whether something keeps it alive is seen below.
    timeoutMs: LONG_MS,
  });
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertEquals(JSON.parse(stdout), expected);
  assert(idleMs < ENDS_WITHIN_MS, `It ended after ${idleMs} ms`);
}

for (const close of [true, false]) {
  const ends = `and the process ends ${
    close ? "after" : "also without"
  } close()`;
  // A program that forgets close() is tried everywhere; one that has it, in one
  // Node and in Bun.
  const runtimes = close
    ? packageRuntimes.filter((it) => it.name !== "Node 26")
    : packageRuntimes;
  runtimeTest(
    `runs its main verbs, ${ends}`,
    async (command) => {
      await withServers(command, async (hosts) => {
        const expected = { ...EXPECTED, size: !close };
        await expectOf(command, "_verbs.mjs", { ...hosts, close }, expected);
      });
    },
    runtimes,
  );
  if (noSshd) continue;
  runtimeTest(
    `works with files, shells and forwards of sshd, ${ends}`,
    async (command) => {
      await using sshd = await startSshd();
      const task = { host: sshd.host(), close };
      await expectOf(command, "_sshd.mjs", task, EXPECTED_OF_SSHD);
    },
    runtimes,
  );
  if (noSsh) continue;
  runtimeTest(
    `works with files, shells and forwards over ssh, ${ends}`,
    async (command) => {
      await using sshd = await startSshd();
      const task = { host: sshd.host({ transport: "openssh" }), close };
      await expectOf(command, "_sshd.mjs", task, EXPECTED_OF_SSHD);
    },
    runtimes,
  );
}

const WORKER = `
  import { main } from "@sshpool/sshpool/nats-worker";
  await main({ log: console.log });
`;

if (!noNats && !noSshd) {
  runtimeTest(
    "works with files, shells and forwards over a bus, by its worker and the jump host of that",
    async (command) => {
      await using hop = await startSshd();
      await using sshd = await startSshd();
      await using nats = await NatsServer.start();
      const servers = `127.0.0.1:${nats.port}`;
      const host = sshd.host({ jump: [hop.host()] });
      const inventory = await folder.write(
        "hosts.json",
        JSON.stringify({ default: { "web-1": host } }),
      );
      const stop = new AbortController();
      const serving = Promise.withResolvers<void>();
      const worker = folder.run(command, {
        args: [
          ...[await folder.write("worker.mjs", WORKER), "--servers", servers],
          ...["--inventory", inventory, "--index", "0"],
          ...["--shards", String(SHARDS)],
        ],
        onOutput: (text) => text.includes('"serving"') && serving.resolve(),
        signal: stop.signal,
        timeoutMs: LONG_MS,
      });
      worker.then(({ stderr }) => serving.reject(new Error(stderr)));
      try {
        await serving.promise;
        const task = { host: "web-1", nats: servers, close: true };
        await expectOf(command, "_sshd.mjs", task, EXPECTED_OF_SSHD);
        assertEquals(await hop.acceptedConnections(), 1);
      } finally {
        stop.abort();
        const { code, stdout } = await worker;
        assertEquals(code, 0);
        assert(stdout.includes('"ended"'), stdout);
      }
    },
  );
}

const POST_QUANTUM = `
  import * as crypto from "node:crypto";
  import { ConnectionPool } from "@sshpool/sshpool";

  const pool = new ConnectionPool({ config: false });
  const answer = { isNative: crypto.decapsulate !== undefined };
  try {
    const host = JSON.parse(process.argv[2]);
    const { algorithms } = await pool.getConnection(host);
    const { stdout } = await pool.exec(host, "true");
    Object.assign(answer, { kex: algorithms.kex, stdout });
  } catch ({ phase, hint }) {
    Object.assign(answer, { phase, hint });
  }
  await pool.close();
  console.log(JSON.stringify(answer));
`;

runtimeTest(
  "agrees on keys with mlkem768x25519-sha256, by the ML-KEM of the runtime where there is one",
  async (command) => {
    await using server = await startHybridServer();
    const program = await folder.write("post_quantum.mjs", POST_QUANTUM);
    const run = async () => {
      const args = [program, JSON.stringify(server.host)];
      return JSON.parse(await folder.succeed(...command, ...args));
    };
    const { isNative, ...answer } = await run();
    assertEquals(answer, { kex: "mlkem768x25519-sha256", stdout: "ok" });
    const noble = folder.file("node_modules", "@noble", "post-quantum");
    await Deno.rename(noble, `${noble}-away`);
    try {
      const { phase = "none", hint = "" } = await run();
      assertEquals(phase, isNative ? "none" : "config");
      assertEquals(hint.includes("@noble/post-quantum"), !isNative);
    } finally {
      await Deno.rename(`${noble}-away`, noble);
    }
  },
);

const LONG_BANNER = `
  import { getCiphers } from "node:crypto";
  import { ConnectionPool } from "@sshpool/sshpool";

  const { host, kinds } = JSON.parse(process.argv[2]);
  const big = "0123456789".repeat(100_000);
  const pool = new ConnectionPool({ config: false });
  const right = [];
  for (const [cipher, mac] of kinds) {
    // Bun has none of its own.
    if (cipher.startsWith("chacha20") && !getCiphers().includes("chacha20")) {
      right.push(true);
      continue;
    }
    const algorithms = mac === undefined ? { cipher } : { cipher, mac };
    const { stdout } = await pool.exec({ ...host, algorithms }, "cat", {
      stdin: big,
    });
    right.push(stdout === big);
  }
  await pool.close();
  console.log(JSON.stringify(right));
`;

if (!noSshd) {
  runtimeTest(
    "passes over a login banner of 200,000 bytes with each kind of cipher",
    async (command) => {
      await using sshd = await startSshd({ banner: "x\n".repeat(100_000) });
      const kinds = [
        ["chacha20-poly1305@openssh.com"],
        ["aes128-gcm@openssh.com"],
        ["aes256-ctr", "hmac-sha2-256-etm@openssh.com"],
        ["aes128-ctr", "hmac-sha2-512"],
      ];
      const program = await folder.write("long_banner.mjs", LONG_BANNER);
      const task = JSON.stringify({ host: sshd.host(), kinds });
      const printed = await folder.succeed(...command, program, task);
      assertEquals(JSON.parse(printed), kinds.map(() => true));
    },
  );
}

const MANY_HOSTS = `
  import { execFileSync } from "node:child_process";
  import { openSync } from "node:fs";
  import { ConnectionPool } from "@sshpool/sshpool";
  import { OpenSshConnector } from "@sshpool/sshpool/openssh";

  const { host, folder } = JSON.parse(process.argv[2]);
  const connector = new OpenSshConnector({ configFile: false, folder });
  const pool = new ConnectionPool({ config: false, connector });
  // All modules are loaded before: that takes many files at once.
  await pool.exec(host, "true");
  execFileSync("prlimit", ["--pid", process.pid, "--nofile=60"]);
  const hosts = Array.from({ length: 80 }, (_, i) => {
    return { ...host, hostKeyAlias: "web-" + i };
  });
  const ends = await Promise.all(hosts.map((host) =>
    pool.exec(host, "true").then(() => "ok", (it) => [it.name, it.hint])
  ));
  // What is closed makes room for others, so that none can be open to the end.
  const filling = setInterval(() => {
    try {
      while (true) openSync("/dev/null");
    } catch {}
  }, 1);
  await pool.close();
  clearInterval(filling);
  console.log(JSON.stringify(ends.filter((it) => it !== "ok")));
`;

// prlimit is of Linux.
if (!noSshd && !noSsh && Deno.build.os === "linux") {
  packageTest(
    "where too few files can be open a dial says so, and leaves no folder",
    async () => {
      await using sshd = await startSshd();
      const program = await folder.write("many_hosts.mjs", MANY_HOSTS);
      const keys = await Deno.makeTempDir({ dir: "/tmp", prefix: "keys-" });
      try {
        const host = sshd.host({ transport: "openssh" });
        const task = JSON.stringify({ host, folder: keys });
        const printed = await folder.succeed("node", program, task);
        const failed: string[][] = JSON.parse(printed);
        assert(failed.length > 0, "There were enough");
        for (const [name, hint = ""] of failed) {
          assertEquals(name, "DialError");
          assert(hint.includes("ulimit -n"), hint);
        }
        assertEquals(await Array.fromAsync(Deno.readDir(keys)), []);
      } finally {
        await Deno.remove(keys, { recursive: true });
      }
    },
  );
}

/** How the test runner of a runtime is started. */
function runnerOf(command: readonly string[], isBun: boolean) {
  return isBun
    // Its own limit is 5 s.
    ? [...command, "test", "--timeout=60000"]
    : [...command, "--test-reporter=tap"];
}

/** How many tests passed and failed, as a runner says at its end. */
function countsOf(report: string, isBun: boolean): number[] {
  return ["pass", "fail"].map((name) => {
    const line = isBun
      ? new RegExp(`^ *(\\d+) ${name}$`, "m")
      : new RegExp(`^# ${name} (\\d+)$`, "m");
    return Number(line.exec(report)?.[1]);
  });
}

runtimeTest(
  "keeps the treaty of connectors, by the runtime's own test runner",
  async (command) => {
    const isBun = (await folder.succeed(...command, "--version"))[0] !== "v";
    // Each adapter in one Node and in Bun: a newer Node starts the same ssh.
    const first = packageRuntimes.find((it) => it.command !== undefined);
    const hasAll = isBun || command === first?.command;
    const hasSsh = hasAll && !noSsh;
    const hasNats = hasAll && !noNats;
    await using nats = hasNats ? await NatsServer.start() : undefined;
    const { code, stdout, stderr } = await folder.run(
      runnerOf(command, isBun),
      {
        args: [await install("_contract.mjs")],
        env: {
          ...hasSsh && { HAS_SSH: "1" },
          ...nats !== undefined && {
            NATS_SERVER: `127.0.0.1:${nats.port}`,
            NATS_SHARDS: String(SHARDS),
          },
        },
        timeoutMs: LONG_MS,
      },
    );
    const [passed = 0, failed] = countsOf(isBun ? stderr : stdout, isBun);
    assertEquals({ code, failed }, { code: 0, failed: 0 }, stdout + stderr);
    // Each adapter has more than 45 tests.
    const adapters = 1 + (hasSsh ? 1 : 0) + (hasNats ? 1 : 0);
    assert(passed > adapters * 45, `${passed} passed\n${stdout}${stderr}`);
  },
);

runtimeTest(
  "warns of nothing when many calls have one signal",
  async (command) => {
    await withServers(command, async (hosts) => {
      await expectOf(command, "_signals.mjs", hosts, []);
    });
  },
);

runtimeTest(
  "shows in a terminal how far a fan-out is",
  async (command) => {
    const program = await install("_progress.mjs");
    if (noTerminal) return;
    const { code, screen } = await inTerminal([...command, program], {
      cwd: folder.path,
    });
    assertEquals({ code, screen }, {
      code: 0,
      screen: ["result of u@a", "result of u@b", "✔ 2 hosts"],
    });
  },
);

runtimeTest("makes spans and metrics", async (command) => {
  const { code, stdout, stderr } = await folder.run(command, {
    args: [await install("_otel.mjs")],
  });
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertEquals(JSON.parse(stdout), {
    spans: ["ssh exec", "ssh acquire", "ssh dial"],
    ended: 3,
    histograms: [
      "ssh.client.connection.create_time",
      "ssh.client.connection.use_time",
      "ssh.client.connection.wait_time",
      "ssh.client.operation.duration",
    ],
    observed: 4,
  });
});

const WITHOUT_SSH2 = `
import { ConnectionPool } from "@sshpool/sshpool";
const pool = new ConnectionPool({ config: false });
const error = await pool.exec("ops@127.0.0.1:1", "true").catch((e) => e);
console.log(JSON.stringify(error));
`;

runtimeTest(
  "is imported without ssh2, and says at the first dial that it is missing",
  async (command) => {
    const program = await folder.write("without.mjs", WITHOUT_SSH2);
    const ssh2 = folder.file("node_modules", "ssh2");
    await Deno.rename(ssh2, folder.file("ssh2"));
    try {
      const { code, stdout, stderr } = await folder.run(command, {
        args: [program],
      });
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      const { phase, message, hint } = JSON.parse(stdout);
      assertEquals(phase, "config");
      assert(/ssh2 cannot be loaded: .*ssh2/.test(message), message);
      assert(hint.includes("ssh2"), hint);
    } finally {
      await Deno.rename(folder.file("ssh2"), ssh2);
    }
  },
);

packageTest(
  "a bundle has the default connector, though nothing of the package is said to have side effects",
  async () => {
    const bundle = await bundled(
      "default",
      `
      import { ConnectionPool, DialError } from "${config.name}";
      const pool = new ConnectionPool({ config: false });
      const host = { hostname: "127.0.0.1", port: 1, user: "nobody" };
      const error = await pool.exec(host, "true").catch((error) => error);
      console.log(error instanceof DialError, error.phase);
      await pool.close();
    `,
    );
    assertEquals(await folder.succeed("node", bundle), "true tcp\n");
  },
);

packageTest(
  "a bundle leaves out what a program does not use",
  async () => {
    const bundle = await bundled(
      "part",
      `
      import { PoolClosedError } from "${config.name}";
      console.log(new PoolClosedError("closed").code);
    `,
    );
    assertEquals(await folder.succeed("node", bundle), "SSH_POOL_CLOSED\n");
    const text = await Deno.readTextFile(bundle);
    assert(!/class ConnectionPool|class Ssh2Connector/.test(text));
    assert(text.length < 60_000, `${text.length} bytes`);
  },
);
