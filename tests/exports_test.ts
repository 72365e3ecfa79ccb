// The names that the package exports. A name that is added, renamed or taken
// away is a decision: it is to be seen here.

import { assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };

const POOL = `
  AcquireOptions
  AcquireTimeoutError
  AcquireTimeoutErrorOptions
  AlgorithmList
  Algorithms
  AuthMethod
  AuthenticationError
  AuthenticationErrorOptions
  BackoffOptions
  ChannelClosedError
  ChannelClosedErrorOptions
  EnvironmentRefusedError
  EnvironmentRefusedErrorOptions
  ChannelOpenError
  ChannelOpenErrorOptions
  CloseCause
  CloseOptions
  ClosedReason
  Command
  CommandError
  CommandErrorOptions
  CommandStatus
  ConnectOptions
  Connection
  ConnectionAlgorithms
  ConnectionLostError
  ConnectionLostErrorOptions
  ConnectionPool
  ConnectionPoolOptions
  Connector
  DiagnosticEvent
  DiagnosticPool
  DialError
  DialErrorOptions
  DialPhase
  ErrorPhase
  ExecOptions
  PtyOptions
  RawShellText
  ShellTag
  ShellValue
  ShellWord
  StdinSource
  SudoError
  SudoErrorOptions
  SudoFailure
  sh
  SessionOptions
  ShellOptions
  SpareChannels
  SudoOptions
  ExecResult
  ExecTimeoutError
  ExecTimeoutErrorOptions
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
  ForwardOptions
  ListenLocalOptions
  ListenSocksOptions
  LocalForwardOptions
  DynamicForwardOptions
  PoolForwardOptions
  PoolTunnel
  PoolShellOptions
  PoolTransferOptions
  HostDefaults
  HostHandle
  ForwardTarget
  HostCooldownError
  HostCooldownErrorOptions
  HostKey
  HostKeyError
  HostKeyErrorOptions
  HostKeyPolicy
  HostKeyVerifier
  HostLike
  HostParts
  HostResolver
  HostStats
  InteractiveHandler
  InteractivePrompt
  InteractiveRequest
  Lease
  Notice
  OutputLimitError
  PartialOutput
  Passphrase
  Output
  OutputEncoding
  PassphraseRequest
  PlainResolver
  PoolClosedError
  PoolCounters
  PoolEvent
  PoolExecOptions
  OperationEnd
  OperationName
  PoolObserver
  PoolOperation
  PoolSpawnOptions
  PoolStats
  RemoteForwardOptions
  RemoteListener
  RemoteProcess
  RoutingConnector
  ResolveOptions
  ResolvedHost
  RetryCause
  Secret
  Sftp
  SftpAttributes
  SftpCallOptions
  SftpDirEntry
  SftpError
  SftpErrorCode
  SftpErrorOptions
  SftpFile
  SftpFileInfo
  SftpFileSystemInfo
  SftpMkdirOptions
  SftpOpenOptions
  SftpOptions
  SftpRangeOptions
  SftpRemoveOptions
  SftpTransport
  SftpWriteFileOptions
  SftpWriteFromOptions
  SpawnOptions
  SshConfigOptions
  SshConfigResolverOptions
  SshError
  SshErrorJson
  SshErrorOptions
  SshHost
  TcpTarget
  TransferOptions
  TransferProgress
  TransferResult
  Tunnel
  UnixTarget
  WaitReason
  WaitSnapshot
  WarmResult
  commandLine
  decodeFileName
  download
  encodeFileName
  hostName
  isUnicodeFileName
  parseHost
  parseTarget
  startSftp
  upload
`;

const OPENSSH = `
  OpenSshConnector
  OpenSshConnectorOptions
`;

const SSH2 = `
  Ssh2Connector
  Ssh2ConnectorOptions
`;

const SSH_CONFIG = `
  ComputeOptions
  SshConfig
  SshConfigError
  SshConfigErrorOptions
  SshConfigResolver
  SshConfigResult
  loadSshConfig
  notHonouredKeywords
`;

const TESTING = `
  ContractAdapter
  ContractOptions
  ContractRig
  connectorContract
  contractCommands
  CommandContext
  CommandHandler
  CommandResult
  CommandScript
  CommandTerminal
  Commands
  EmbeddedServer
  EmbeddedServerOptions
  FileError
  FileErrorCode
  FileErrorOptions
  ForwardPermission
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
  TerminalProgressOptions
  terminalProgress
`;

/** What each entry point exports. */
const NAMES: Record<string, string> = {
  ".": POOL + SSH2 + SSH_CONFIG,
  "./openssh": OPENSSH,
  "./otel": OTEL,
  "./pool": POOL,
  "./progress": PROGRESS,
  "./ssh2": SSH2,
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
