// Every object of options that a user can pass, at every border that takes it:
// a name that is unknown and a value that does not fit are errors that say what
// is wrong and what is allowed, and nothing was done by then. A type of options
// that is exported and is not here fails a test.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import {
  ConnectionPool,
  PlainResolver,
  Ssh2Connector,
  SshConfigResolver,
} from "../mod.ts";
import { instrument } from "../pool/otel/mod.ts";
import type { TemplateOptions } from "../pool/mod.ts";
import { prefixOutput, terminalProgress } from "../pool/progress.ts";
import { download, startSftp, upload } from "../transport/sftp/mod.ts";
import { loadSshConfig } from "../transport/ssh_config/mod.ts";
import { fleetPool, FleetWorker, Leases, NatsConnector } from "../pool/nats.ts";
import { OpenSshConnector } from "../transport/openssh/mod.ts";
import {
  connectorContract,
  EmbeddedServer,
  MemoryConnector,
  MemoryFiles,
} from "../transport/testing/mod.ts";

const HOST = "ops@web-1";
const RESOLVED = { hostname: "127.0.0.1", port: 1, user: "ops" };
const PATH = "/home/ops/file";

/** What the calls are made on. */
async function makeSite() {
  const connector = new MemoryConnector();
  const pool = new ConnectionPool({ connector });
  const other = new MemoryConnector();
  const connection = await other.connect(RESOLVED);
  const sftp = await connection.sftp();
  await sftp.writeTextFile(PATH, "old");
  const file = await sftp.open(PATH, { read: true, write: true });
  let requests = 0;
  other.options.onSftpRequest = () => {
    requests++;
    return "ok";
  };
  return {
    connector,
    pool,
    host: pool.host(HOST),
    connection,
    sftp,
    file,
    config: await loadSshConfig({ files: [] }),
    /** What was done so far: nothing, if all is well. */
    done: () => [connector.dials, other.channelsOpened, other.dials, requests],
    async [Symbol.asyncDispose]() {
      await file.close();
      await pool.close();
      await connection.close();
    },
  };
}

type Site = Awaited<ReturnType<typeof makeSite>>;
// deno-lint-ignore no-explicit-any -- what is passed is what the types forbid
type Wrong = any;

/** A border: it is given the options. `true` before it if it gives no promise. */
type Border =
  | ((site: Site, options: Wrong) => Promise<unknown>)
  | readonly [true, (site: Site, options: Wrong) => unknown];

interface Case {
  /** An option that there is, and a value that it may not have. */
  readonly wrong: Readonly<Record<string, unknown>>;
  readonly borders: readonly Border[];
}

/** Options with others that they need; what is no object stays what it is. */
const joined = (base: object, o: Wrong) =>
  typeof o === "object" ? { ...base, ...o } : o;
const local = { type: "local", listen: 0, to: "db:5432" } as const;
const dynamic = { type: "dynamic", listen: 0 };
const remote = { type: "remote", listen: 0, to: "127.0.0.1:80" } as const;
const db = { hostname: "db", port: 5432 };
const nothing = { close: () => {} } as Wrong;

const acquire: Case = {
  wrong: { acquireTimeoutMs: -1, signal: null },
  borders: [
    ({ pool }, o) => pool.acquire(HOST, o),
    ({ pool }, o) => pool.getConnection(HOST, o),
    ({ pool }, o) => pool.route(HOST, o),
    ({ pool }, o) => pool.connect(HOST, "db:5432", o),
    ({ pool }, o) => pool.warm([HOST], o),
    ({ host }, o) => host.acquire(o),
    ({ host }, o) => host.getConnection(o),
    ({ host }, o) => host.connect("db:5432", o),
  ],
};
const forward: Case = {
  wrong: { signal: 5, onError: "x", maxConnections: 0 },
  borders: [
    ({ pool }, o) => pool.forward(HOST, joined(local, o)),
    ({ pool }, o) => pool.forward(HOST, joined(dynamic, o)),
    ({ pool }, o) => pool.forward(HOST, joined(remote, o)),
    ({ host }, o) => host.forward(joined(local, o)),
  ],
};

/** A bus on which nothing happens. */
const bus: Wrong = {
  isClosed: () => false,
  subscribe: () => nothing,
  status: async function* () {},
};
const worker = { pool: { route: () => {} }, host: () => undefined };
const joinedWorker = (o: Wrong) => new FleetWorker(bus, joined(worker, o));

const play = async (commands: Wrong) =>
  await (await new MemoryConnector({ commands }).connect(RESOLVED)).exec("x");

const CASES: Readonly<Record<string, Case>> = {
  FleetCloseOptions: {
    wrong: { drainTimeoutMs: -1 },
    borders: [(_, o) => FleetWorker.prototype.close.call(null as Wrong, o)],
  },
  FleetPoolOptions: {
    wrong: { group: "a.b", maxConnections: 0, pingMs: 0 },
    borders: [[true, (_, o) => fleetPool(bus, o)]],
  },
  FleetWorkerOptions: {
    wrong: { pool: {}, host: "web-1", shards: 0, id: "a b" },
    borders: [[true, (_, o) => joinedWorker(o)]],
  },
  LeasesOptions: {
    wrong: { ttlMs: 0, prefix: "a.b", replicas: 0, movesAtOnce: -1 },
    borders: [[true, (_, o) => new Leases(bus, nothing, o)]],
  },
  NatsConnectorOptions: {
    wrong: { prefix: "a.b", clientId: "", trace: {}, sendSudoPasswords: 1 },
    borders: [[true, (_, o) => new NatsConnector(bus, o)]],
  },
  AcquireOptions: acquire,
  BackoffOptions: {
    wrong: { factor: 0, initialMs: "1s" },
    borders: [[true, ({ connector }, backoff) => {
      return new ConnectionPool({ connector, backoff });
    }]],
  },
  CloseOptions: {
    wrong: { drainTimeoutMs: -1 },
    borders: [({ pool }, o) => pool.close(o)],
  },
  CommandResult: {
    wrong: { code: "1", signal: 9, stdout: 5 },
    borders: [
      [true, (_, x) => new MemoryConnector({ commands: { x } })],
      (_, x) => EmbeddedServer.start({ commands: { x } }),
      (_, x) => play(() => x),
      (_, x) => play({ x: () => x }),
    ],
  },
  ComputeOptions: {
    wrong: { port: 0, user: 5 },
    borders: [[true, ({ config }, o) => config.compute("web-1", o)]],
  },
  ConnectOptions: {
    wrong: { timeoutMs: 0, keepaliveCountMax: -1, tunnel: {} },
    borders: [
      (_, o) => new MemoryConnector().connect(RESOLVED, o),
      (_, o) => new Ssh2Connector().connect(RESOLVED, o),
      (_, o) => new OpenSshConnector().connect(RESOLVED, o),
    ],
  },
  ConnectionPoolOptions: {
    wrong: { maxConnections: 0, observer: {}, config: 5, defaults: 5 },
    borders: [[true, ({ connector }, o) => {
      return new ConnectionPool(joined({ connector }, o));
    }]],
  },
  ContractOptions: {
    wrong: { test: 5 },
    borders: [[true, (_, o) => connectorContract(nothing, o)]],
  },
  EmbeddedServerOptions: {
    wrong: { maxSessions: -1, shell: true, hostKeys: "x" },
    borders: [(_, o) => EmbeddedServer.start(o)],
  },
  ConnectionExecOptions: {
    wrong: { timeoutMs: 0, check: 1, stdin: 5 },
    borders: [({ connection }, o) => connection.exec("true", o)],
  },
  FanOutCommandOptions: {
    wrong: { concurrency: 0 },
    borders: [[true, ({ pool }, o) => pool.fanOut([HOST], "true", o)]],
  },
  FanOutExecOptions: {
    wrong: { timeoutMs: 0, check: 1 },
    borders: [[true, ({ pool }, exec) => {
      return pool.fanOut([HOST], "true", { exec });
    }]],
  },
  FanOutOptions: {
    wrong: { concurrency: 0, onProgress: {} },
    borders: [[true, ({ pool }, o) => pool.fanOut([HOST], () => 1, o)]],
  },
  HostDefaults: {
    wrong: { dialTimeoutMs: 0, hostKey: "any" },
    borders: [[true, ({ connector }, defaults) => {
      return new ConnectionPool({ connector, defaults });
    }]],
  },
  InstrumentOptions: {
    wrong: { recordCommands: 1 },
    borders: [[true, (_, o) => instrument(o)]],
  },
  MemoryConnectorOptions: {
    wrong: { dialMs: -1, commands: 5, onDial: "ok" },
    borders: [[true, (_, o) => new MemoryConnector(o)]],
  },
  MemoryEntry: {
    wrong: { content: 5, link: "", mode: -1, mtime: 0 },
    borders: [
      [true, (_, entry) => new MemoryFiles({ "/k": entry })],
      [true, (_, entry) => new MemoryFiles().writeFile("/k", entry)],
    ],
  },
  MemoryFilesOptions: {
    wrong: { home: "", now: 5 },
    borders: [[true, (_, o) => new MemoryFiles({}, o)]],
  },
  Outcome: {
    wrong: { delayMs: -1 },
    borders: [
      (_, o) => new MemoryConnector({ onDial: () => o }).connect(RESOLVED),
      async (_, o) => {
        const connector = new MemoryConnector({ onExec: () => o });
        return (await connector.connect(RESOLVED)).exec("true");
      },
    ],
  },
  OpenSshConnectorOptions: {
    wrong: { persistMs: 0, askpass: 1 },
    borders: [[true, (_, o) => new OpenSshConnector(o)]],
  },
  ExecOptions: {
    wrong: { idempotent: 1, acquireTimeoutMs: -1, env: [] },
    borders: [
      ({ pool }, o) => pool.exec(HOST, "true", o),
      ({ host }, o) => host.exec("true", o),
    ],
  },
  ForwardOptions: forward,
  ForwardTarget: {
    wrong: { port: 0 },
    borders: [
      ({ pool }, o) => pool.connect(HOST, joined(db, o)),
      ({ pool }, o) => pool.forward(HOST, { ...local, to: joined(db, o) }),
      ({ pool }, o) => pool.forward(HOST, { ...remote, to: joined(db, o) }),
      ({ host }, o) => host.connect(joined(db, o)),
    ],
  },
  ShellOptions: {
    wrong: { columns: 0, acquireTimeoutMs: -1 },
    borders: [
      ({ pool }, o) => pool.shell(HOST, o),
      ({ host }, o) => host.shell(o),
    ],
  },
  SpawnOptions: {
    wrong: { cwd: "", acquireTimeoutMs: -1 },
    borders: [
      ({ pool }, o) => pool.spawn(HOST, "true", o),
      ({ host }, o) => host.spawn("true", o),
    ],
  },
  PoolTransferOptions: {
    wrong: { concurrency: 0, acquireTimeoutMs: -1, symlinks: "keep" },
    borders: [
      ({ pool }, o) => pool.upload(HOST, "deno.json", "/tmp/x", o),
      ({ pool }, o) => pool.download(HOST, PATH, "/no/such/folder/x", o),
      ({ host }, o) => host.upload("deno.json", "/tmp/x", o),
      ({ host }, o) => host.download(PATH, "/no/such/folder/x", o),
    ],
  },
  PoolSftpOptions: {
    wrong: { acquireTimeoutMs: -1, sudo: "root" },
    borders: [
      ({ pool }, o) => pool.sftp(HOST, o),
      ({ host }, o) => host.sftp(o),
    ],
  },
  SftpSudoOptions: {
    wrong: { server: "", user: 5, password: "" },
    borders: [
      ({ pool }, sudo) => pool.sftp(HOST, { sudo }),
      ({ pool }, sudo) => pool.upload(HOST, "deno.json", "/tmp/x", { sudo }),
    ],
  },
  PtyOptions: {
    wrong: { columns: 0, term: "" },
    borders: [
      ({ pool }, pty) => pool.exec(HOST, "true", { pty }),
      ({ connection }, pty) => connection.spawn("true", { pty }),
    ],
  },
  ResolveOptions: {
    wrong: { onNotice: 5, signal: {} },
    borders: [
      [true, (_, o) => new PlainResolver().resolve(HOST, o)],
      [true, (_, o) => new SshConfigResolver({ files: [] }).resolve(HOST, o)],
    ],
  },
  SessionOptions: {
    wrong: { envMode: "x", onOpen: 5 },
    borders: [
      ({ connection }, o) => connection.exec("true", o),
      ({ connection }, o) => connection.spawn("true", o),
      ({ connection }, o) => connection.shell(o),
    ],
  },
  SftpCallOptions: {
    wrong: { signal: null },
    borders: [
      ({ sftp }, o) => sftp.stat(PATH, o),
      ({ sftp }, o) => sftp.lstat(PATH, o),
      ({ sftp }, o) => sftp.readDir("/", o).next(),
      ({ sftp }, o) => sftp.rename(PATH, "/x", o),
      ({ sftp }, o) => sftp.symlink(PATH, "/x", o),
      ({ sftp }, o) => sftp.readLink(PATH, o),
      ({ sftp }, o) => sftp.realPath(PATH, o),
      ({ sftp }, o) => sftp.chmod(PATH, 0o600, o),
      ({ sftp }, o) => sftp.chown(PATH, 0, 0, o),
      ({ sftp }, o) => sftp.utime(PATH, 0, 0, o),
      ({ sftp }, o) => sftp.truncate(PATH, 0, o),
      ({ sftp }, o) => sftp.statFileSystem(PATH, o),
      ({ file }, o) => file.readAt(new Uint8Array(1), 0, o),
      ({ file }, o) => file.writeAt(new Uint8Array(1), 0, o),
      ({ file }, o) => file.stat(o),
      ({ file }, o) => file.truncate(0, o),
      ({ file }, o) => file.chmod(0o600, o),
      ({ file }, o) => file.setAttributes({ mode: 0o600 }, o),
      ({ file }, o) => file.sync(o),
      ({ connection }, o) => connection.sftp(o),
      ({ connection }, o) => connection.forwardOut({ path: "/x" }, o),
      ({ connection }, o) => connection.forwardIn({ path: "/x" }, nothing, o),
    ],
  },
  SftpGlobOptions: {
    wrong: { dot: 1, maxDepth: 0, maxEntries: -1 },
    borders: [({ sftp }, o) => sftp.glob("/*", o).next()],
  },
  SftpMkdirOptions: {
    wrong: { recursive: 1, mode: -1 },
    borders: [({ sftp }, o) => sftp.mkdir("/tmp/new", o)],
  },
  SftpOpenOptions: {
    wrong: { write: 1, mode: "rw" },
    borders: [({ sftp }, o) => sftp.open(PATH, o)],
  },
  SftpReadFileOptions: {
    wrong: { maxBytes: -1 },
    borders: [
      ({ sftp }, o) => sftp.readFile(PATH, o),
      ({ sftp }, o) => sftp.readTextFile(PATH, o),
    ],
  },
  SftpOptions: {
    wrong: { host: "" },
    borders: [(_, o) => startSftp(nothing, o)],
  },
  SftpRangeOptions: {
    wrong: { offset: -1, end: 1.5, reuse: 1 },
    borders: [[true, ({ file }, o) => file.readRange(o)]],
  },
  SftpRemoveOptions: {
    wrong: { recursive: 1 },
    borders: [({ sftp }, o) => sftp.remove(PATH, o)],
  },
  SftpWalkOptions: {
    wrong: { maxDepth: 0, followSymlinks: 1, filter: [5] },
    borders: [({ sftp }, o) => sftp.walk("/", o).next()],
  },
  SftpWriteFileOptions: {
    wrong: { atomic: 1, mode: -1 },
    borders: [
      ({ sftp }, o) => sftp.writeTextFile(PATH, "new", o),
      ({ sftp }, o) => sftp.writeFile(PATH, new Uint8Array(1), o),
    ],
  },
  SftpWriteFromOptions: {
    wrong: { onSent: 5, onWritten: true },
    borders: [({ file }, o) => file.writeFrom(nothing, 0, o)],
  },
  ConnectionShellOptions: {
    wrong: { rows: 0, term: "" },
    borders: [({ connection }, o) => connection.shell(o)],
  },
  ConnectionSpawnOptions: {
    wrong: { login: 1, cwd: "" },
    borders: [({ connection }, o) => connection.spawn("true", o)],
  },
  Ssh2ConnectorOptions: {
    wrong: { warnNotPostQuantum: 1 },
    borders: [[true, (_, o) => new Ssh2Connector(o)]],
  },
  SshConfigOptions: {
    wrong: { files: "x", allowMatchExec: 1 },
    borders: [(_, o) => loadSshConfig(o)],
  },
  SshConfigResolverOptions: {
    wrong: { files: ["a\udce9"], recheckMs: -1, home: "" },
    borders: [
      [true, (_, o) => new SshConfigResolver(o)],
      [true, ({ connector }, o) => {
        return new ConnectionPool({ connector, config: o });
      }],
    ],
  },
  SudoOptions: {
    wrong: { user: "", password: 5, prompts: "code" },
    borders: [
      ({ pool }, sudo) => pool.exec(HOST, "true", { sudo }),
      ({ connection }, sudo) => connection.spawn("true", { sudo }),
    ],
  },
  PrefixOutputOptions: {
    wrong: { color: 1 },
    borders: [[true, (_, o) => prefixOutput(o)]],
  },
  TemplateOptions: {
    wrong: { nothrow: 1, cwd: 5 },
    // What is no object is taken for a template, and refused as such.
    borders: [
      async ({ host }, o) =>
        typeof o === "object"
          ? await host.$(o as TemplateOptions)`true`
          : await host.exec("true", o),
    ],
  },
  TerminalProgressOptions: {
    wrong: { label: 5 },
    borders: [[true, (_, o) => terminalProgress(o)]],
  },
  TransferOptions: {
    wrong: { concurrency: 0, resume: "yes" },
    borders: [
      ({ sftp }, o) => upload(sftp, "deno.json", "/tmp/x", o),
      ({ sftp }, o) => download(sftp, PATH, "/no/such/folder/x", o),
    ],
  },
};

/** The error of a call. It is a rejection wherever the call gives a promise. */
async function errorOf(
  site: Site,
  border: Border,
  options: unknown,
): Promise<Error> {
  if (typeof border !== "function") {
    try {
      border[1](site, options);
    } catch (error) {
      return error as Error;
    }
    throw new Error(`It did not throw: ${border[1]}`);
  }
  const error = await border(site, options).then(() => undefined, (e) => e);
  if (error === undefined) throw new Error(`It did not reject: ${border}`);
  return error as Error;
}

for (const [type, { wrong, borders }] of Object.entries(CASES)) {
  Deno.test(`${type} with a name that is unknown, or with a wrong value, is an error before anything is done`, async () => {
    await using site = await makeSite();
    const before = site.done();
    for (const border of borders) {
      const unknown = await errorOf(site, border, { sshpoolTypo: 1 });
      assert(unknown instanceof TypeError, String(unknown));
      assertStringIncludes(unknown.message, "sshpoolTypo");
      assertStringIncludes(unknown.message, "allowed are ");
      for (const [name, value] of Object.entries(wrong)) {
        const typo = `${name}x`;
        const mistyped = await errorOf(site, border, { [typo]: value });
        assertStringIncludes(mistyped.message, typo);
        assertStringIncludes(mistyped.message, `did you mean "${name}"?`);
        const error = await errorOf(site, border, { [name]: value });
        assert(
          error instanceof TypeError || error instanceof RangeError,
          String(error),
        );
        assertStringIncludes(error.message, `${name}`);
        assertStringIncludes(error.message, " is ");
        assertStringIncludes(error.message, "must be ");
      }
      const none = await errorOf(site, border, 5);
      assertStringIncludes(none.message, "number");
      assertStringIncludes(none.message, "must be ");
    }
    assertEquals(site.done(), before);
  });
}

interface Documented {
  readonly name: string;
  readonly declarations: readonly { readonly kind: string }[];
}

/**
 * The other types that are exported: what the library gives, what callers
 * implement, and hosts, attributes and shards, which have tests of their own. A
 * new type of what callers pass belongs to the cases instead.
 */
const OTHERS = new Set(
  `
  Algorithms
  AuthMethod
  Bus
  BusMessage
  BusStatus
  CloseCause
  ClosedReason
  Command
  CommandContext
  CommandHandler
  CommandScript
  CommandStatus
  CommandTerminal
  Commands
  Connection
  ConnectionAlgorithms
  Connector
  ContractAdapter
  ContractRig
  DiagnosticEvent
  DiagnosticPool
  DialPhase
  EntryFilter
  ErrorJson
  ErrorPhase
  ExecResult
  ExecResultOf
  FanOut
  FanOutProgress
  FanOutResult
  FanOutWork
  FileErrorCode
  FleetRequest
  FleetWorkerStats
  Forward
  ForwardEnd
  ForwardFailureReason
  HostKey
  HostKeyPolicy
  HostKeyVerifier
  HostLike
  HostResolver
  HostStats
  Instrumentation
  InteractiveHandler
  InteractivePrompt
  InteractiveRequest
  LeaseBucket
  LeaseEntry
  LeaseStore
  MemoryCall
  MemoryContent
  MeterProviderLike
  Notice
  OperationEnd
  OperationName
  Output
  OutputCallbacks
  OutputEncoding
  OutputSource
  PartialOutput
  Passphrase
  PassphraseRequest
  PoolCounters
  PoolEvent
  PoolObserver
  PoolOperation
  PoolStats
  PoolTunnel
  RemoteListener
  RemoteProcess
  ResolvedHost
  RetryCause
  RouteSource
  ScriptedConnection
  Secret
  Sftp
  SftpAttributes
  SftpDirEntry
  SftpErrorCode
  SftpFile
  SftpFileInfo
  SftpFileSystemInfo
  SftpOperation
  SftpRequest
  SftpTransport
  SftpWalkEntry
  ShardOwner
  ShardSource
  ShellTag
  ShellValue
  ShellWord
  SpareChannels
  SshConfig
  SshConfigResult
  SshErrorJson
  SshHost
  StaticShards
  StdinSource
  SudoFailure
  SudoQuestion
  TargetContext
  TargetHandler
  Targets
  TemplateResult
  TemplateTag
  TracerProviderLike
  TransferProgress
  TransferResult
  Tunnel
  WaitReason
  WaitSnapshot
  WarmResult
  WorkerProgram
`.trim().split(/\s+/),
);

Deno.test("each type of options that is exported is held to that", async () => {
  const entries = Object.values(config.exports).map((path) =>
    new URL(path, new URL("../", import.meta.url)).href
  );
  const names = new Set<string>();
  const types = new Set<string>();
  for (const entry of entries) {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["doc", "--json", entry],
    }).output();
    const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
      nodes: Record<string, { symbols: readonly Documented[] }>;
    };
    for (const { symbols } of Object.values(nodes)) {
      for (const { name, declarations } of symbols) {
        names.add(name);
        const isType = ({ kind }: { readonly kind: string }) =>
          kind === "interface" || kind === "typeAlias";
        if (declarations.some(isType)) types.add(name);
      }
    }
  }
  types.delete("SshErrorOptions");
  const held = [...types].filter((name) => CASES[name] !== undefined);
  assert(held.length > 30);
  const unnamed = [...types].filter((name) =>
    CASES[name] === undefined && !OTHERS.has(name)
  );
  assertEquals(unnamed, [], "are they passed by callers?");
  const gone = [...Object.keys(CASES), ...OTHERS]
    .filter((name) => !names.has(name));
  assertEquals(gone, [], "these are no longer exported");
});
