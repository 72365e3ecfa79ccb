// The names that the package exports. A name that is added, renamed or taken
// away is a decision: it is to be seen here.

import { assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };

/** What the main entry point and `./pool` have in common. */
const SHARED = `
  AcquireOptions
  AcquireTimeoutError
  Algorithms
  AuthMethod
  AuthenticationError
  BackoffOptions
  ChannelClosedError
  ChannelOpenError
  CloseCause
  CloseOptions
  ClosedReason
  Command
  CommandError
  CommandStatus
  ConnectOptions
  Connection
  ConnectionAlgorithms
  ConnectionLostError
  ConnectionPool
  ConnectionPoolOptions
  Connector
  DialError
  DialPhase
  EnvironmentRefusedError
  ErrorJson
  ErrorPhase
  ConnectionExecOptions
  ExecResult
  ExecTimeoutError
  FanOut
  FanOutCommandOptions
  FanOutExecOptions
  FanOutOptions
  FanOutProgress
  FanOutResult
  FanOutWork
  Forward
  ForwardEnd
  ForwardError
  ForwardFailureReason
  ForwardOptions
  ForwardTarget
  HostCooldownError
  HostDefaults
  HostHandle
  HostKey
  HostKeyError
  HostKeyPolicy
  HostKeyVerifier
  HostLike
  HostResolver
  HostStats
  InteractiveHandler
  InteractivePrompt
  InteractiveRequest
  Lease
  NameResolver
  Notice
  Output
  OutputEncoding
  OutputLimitError
  PartialOutput
  Passphrase
  OutputSource
  PassphraseRequest
  PlainResolver
  PoolClosedError
  PoolCounters
  PoolEvent
  ExecOptions
  ExecResultOf
  PoolObserver
  ShellOptions
  SpawnOptions
  PoolStats
  PoolSftpOptions
  PoolTransferOptions
  PoolTunnel
  PtyOptions
  RawShellText
  RemoteError
  RemoteListener
  RemoteProcess
  ResolveOptions
  ResolvedHost
  RetryCause
  RoutingConnector
  TemplateOptions
  TemplateResult
  TemplateTag
  Secret
  SessionOptions
  Sftp
  EntryFilter
  SftpCallOptions
  SftpDirEntry
  SftpGlobOptions
  SftpWalkEntry
  SftpWalkOptions
  SftpError
  SftpErrorCode
  SftpFile
  SftpFileInfo
  SftpFileSystemInfo
  SftpMkdirOptions
  SftpOpenOptions SftpReadFileOptions
  SftpRemoveOptions
  SftpSudoOptions
  SftpWriteFileOptions
  ConnectionShellOptions
  ShellTag
  ShellValue
  ShellWord
  SpareChannels
  ConnectionSpawnOptions
  SshConfigResolverOptions
  SshError
  SshErrorJson
  SshErrorOptions
  SshHost
  StdinSource
  SudoError
  SudoFailure
  SudoOptions
  SudoQuestion
  TransferOptions
  TransferProgress
  TransferResult
  Tunnel
  WaitReason
  WaitSnapshot
  WarmResult
  commandLine
  hostLabel
  errorFromJson
  errorToJson
  sh
`;

/** What the main entry point has beside that. */
const MAIN = `
  BaseConnectionPool
  Ssh2Connector
  Ssh2ConnectorOptions
  SshConfigError
  SshConfigResolver
`;

/** What `./pool` has beside that: what is told to subscribers of diagnostics_channel. */
const POOL = `
  DiagnosticEvent
  DiagnosticPool
  OperationEnd
  OperationName
  PoolOperation
  SftpAttributes
  SftpRangeOptions
  SftpWriteFromOptions
`;

const NATS = `
  Bus
  BusMessage
  BusStatus
  FleetCloseOptions
  FleetPoolOptions
  FleetRequest
  FleetWorker
  FleetWorkerOptions
  FleetWorkerStats
  LeaseBucket
  LeaseEntry
  LeaseStore
  Leases
  LeasesOptions
  NatsConnector
  NatsConnectorOptions
  RouteSource
  ShardOwner
  ShardSource
  StaticShards
  fleetPool
`;

const NATS_WORKER = `
  WorkerProgram
  main
`;

const OPENSSH = `
  OpenSshConnector
  OpenSshConnectorOptions
`;

const OTEL = `
  DiagnosticPool
  InstrumentOptions
  Instrumentation
  MeterProviderLike
  TracerProviderLike
  instrument
`;

const PROGRESS = `
  FanOutProgress
  OutputCallbacks
  OutputSource
  PrefixOutputOptions
  TerminalProgressOptions
  TransferProgress
  prefixOutput
  terminalProgress
`;

const SFTP = `
  SftpSudoOptions
  EntryFilter
  SftpGlobOptions
  SftpWalkEntry
  SftpWalkOptions
  Sftp
  SftpAttributes
  SftpCallOptions
  SftpDirEntry
  SftpError
  SftpErrorCode
  SftpFile
  SftpFileInfo
  SftpFileSystemInfo
  SftpMkdirOptions
  SftpOpenOptions SftpReadFileOptions
  SftpOptions
  SftpRangeOptions
  SftpRemoveOptions
  SftpTransport
  SftpWriteFileOptions
  SftpWriteFromOptions
  TransferOptions
  TransferProgress
  TransferResult
  decodeFileName
  download
  encodeFileName
  isUnicodeFileName
  startSftp
  upload
`;

const SSH2 = `
  Ssh2Connector
  Ssh2ConnectorOptions
`;

const SSH_CONFIG = `
  ComputeOptions
  SshConfig
  SshConfigError
  SshConfigOptions
  SshConfigResolver
  SshConfigResolverOptions
  SshConfigResult
  loadSshConfig
  notHonouredKeywords
`;

const TESTING = `
  CommandContext
  CommandHandler
  CommandResult
  CommandScript
  CommandTerminal
  Commands
  ContractAdapter
  ContractOptions
  ContractRig
  EmbeddedServer
  EmbeddedServerOptions
  FileError
  FileErrorCode
  MemoryCall
  MemoryConnection
  MemoryConnector
  MemoryConnectorOptions
  MemoryContent
  MemoryEntry
  MemoryFiles
  MemoryFilesOptions
  Outcome
  ScriptedConnection
  SftpOperation
  SftpRequest
  TargetContext
  TargetHandler
  Targets
  UnscriptedCommandError
  connectorContract
  contractCommands
`;

/** What each entry point exports. */
const NAMES: Record<string, string> = {
  ".": SHARED + MAIN,
  "./nats": NATS,
  "./nats-worker": NATS_WORKER,
  "./openssh": OPENSSH,
  "./otel": OTEL,
  "./pool": SHARED + POOL,
  "./progress": PROGRESS,
  "./sftp": SFTP,
  "./ssh2": SSH2,
  "./ssh_config": SSH_CONFIG,
  "./testing": TESTING,
};

interface Doc {
  readonly nodes: Record<
    string,
    { readonly symbols: readonly { readonly name: string }[] }
  >;
}

async function exportedBy(path: string): Promise<string[]> {
  const entry = new URL(path, new URL("../", import.meta.url)).href;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", entry],
  }).output();
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as Doc;
  const symbols = Object.values(nodes).flatMap(({ symbols }) => symbols);
  return [...new Set(symbols.map(({ name }) => name))].sort();
}

for (const [entry, path] of Object.entries(config.exports)) {
  Deno.test(`the entry point ${entry} exports what is written down`, async () => {
    const names = (NAMES[entry] ?? "").split(/\s+/).filter((name) =>
      name !== ""
    );
    assertEquals(await exportedBy(path), names.sort());
  });
}
