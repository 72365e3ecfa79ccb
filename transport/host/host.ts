/**
 * Hosts: where to connect and as whom.
 *
 * @module
 */

/** A secret, or a function that gives it when it is needed. */
export type Secret = string | (() => string | Promise<string>);

/** What a passphrase callback gets about the key it is asked for. */
export interface PassphraseRequest {
  /** The path of the key file, or `"privateKey"` for a key given as text. */
  readonly key: string;
  /** The name of the host that is being dialled. */
  readonly host: string;
}

/** A passphrase, or a function that is asked once per key. */
export type Passphrase =
  | string
  | ((request: PassphraseRequest) => string | Promise<string>);

/** One question of a keyboard-interactive server. */
export interface InteractivePrompt {
  /** The question, as the server sent it: escape it before it is printed. */
  readonly prompt: string;
  /** Whether the answer may be shown while it is typed. */
  readonly echo: boolean;
}

/** A round of questions of a keyboard-interactive server. */
export interface InteractiveRequest {
  /** The title, often empty. */
  readonly name: string;
  /** The instructions, often empty. */
  readonly instructions: string;
  /** The questions; there may be none. */
  readonly prompts: readonly InteractivePrompt[];
  /** The name of the host that is being dialled. */
  readonly host: string;
}

/** Answers a round of questions: one answer for each prompt, in order. */
export type InteractiveHandler = (
  request: InteractiveRequest,
) => readonly string[] | Promise<readonly string[]>;

/** A host key that a server showed, for a callback to judge. */
export interface HostKey {
  /** The name of the host, as `user@host:port`. */
  readonly host: string;
  /** The host name or address that was dialled (or its `hostKeyAlias`). */
  readonly hostname: string;
  /** The port that was dialled. */
  readonly port: number;
  /** The key type, such as `ssh-ed25519`. */
  readonly type: string;
  /** `SHA256:...`, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  /** The public key in SSH wire format. */
  readonly key: Uint8Array;
}

/**
 * Decides whether a host key is to be trusted. Asked once for each connection:
 * when keys are exchanged again later, the server has to show the same key.
 * Nothing else is sent or read until it has answered.
 */
export type HostKeyVerifier = (key: HostKey) => boolean | Promise<boolean>;

/**
 * How the server's host key is verified:
 *
 * - `"strict"`: it must be in a known_hosts file;
 * - `"accept-new"`: an unknown host is added to known_hosts, a changed key is
 *   refused;
 * - `"SHA256:..."`, or several: it must have one of these fingerprints;
 * - a function: it decides;
 * - `"insecure-accept-any"`: anything is accepted, which lets anyone who is on
 *   the path read and change everything. For throwaway test servers only.
 *
 * It may come from the environment or a file: any other string is a
 * `TypeError` of the first call, before anything is dialled.
 */
export type HostKeyPolicy =
  | "strict"
  | "accept-new"
  | "insecure-accept-any"
  // As `string`, but an editor still offers the words above.
  | (string & Record<never, never>)
  | readonly string[]
  | HostKeyVerifier;

/**
 * Algorithms of a connection, best first: a list of names, or a string as
 * OpenSSH's configuration has it (`"a,b"`, and `"+a"`, `"-a*"`, `"^a"` to add to,
 * take from, or move to the front of the defaults). Names that the adapter does
 * not have are left out.
 */
export interface Algorithms {
  /**
   * Key exchange (`KexAlgorithms`). In `ssh2` the groups that a server chooses,
   * and those of 6144 bits and more, have to be named: a server can keep the
   * process busy with them.
   */
  readonly kex?: string | readonly string[];
  /** Ciphers (`Ciphers`). */
  readonly cipher?: string | readonly string[];
  /** Message authentication codes (`MACs`). */
  readonly mac?: string | readonly string[];
  /** Host key algorithms (`HostKeyAlgorithms`). */
  readonly hostKey?: string | readonly string[];
  /**
   * Algorithms of the keys that log in (`PubkeyAcceptedAlgorithms`). A key of
   * another type is not used. An RSA key signs with SHA-1 where only `"ssh-rsa"`
   * is left of RSA: old servers know nothing better.
   */
  readonly publicKey?: string | readonly string[];
}

/** Where to connect and as whom. Everything but `hostname` is optional. */
export interface SshHost {
  /** The host name or IP address to dial. */
  readonly hostname: string;
  /**
   * The TCP port.
   *
   * @default {22}
   */
  readonly port?: number;
  /** The remote user. Default: the local user's name. */
  readonly user?: string;
  /** The name by which the caller knows this host, for `%n` and messages. */
  readonly alias?: string;

  /** A password, for the `password` method. */
  readonly password?: Secret;
  /** Private keys as text (OpenSSH, PEM, PKCS8), encrypted or not. */
  readonly privateKey?:
    | string
    | Uint8Array
    | ReadonlyArray<string | Uint8Array>;
  /**
   * Paths of private keys; `~/` is the home directory. A key whose private part
   * is in the agent may be named by its public file. A private key that others
   * may read is not used (`chmod 600` makes it usable).
   */
  readonly identityFile?: string | readonly string[];
  /**
   * Paths of certificates for these keys; `~/` is the home directory. A
   * certificate `<key>-cert.pub` beside a key file is found without this.
   */
  readonly certificateFile?: string | readonly string[];
  /** The passphrase of encrypted keys. */
  readonly passphrase?: Passphrase;
  /**
   * The path of an agent's socket; `true` for `SSH_AUTH_SOCK`, `false` for
   * none. Default: `SSH_AUTH_SOCK`, unless credentials other than
   * `identityFile` are given here. Keys that are named here are tried first,
   * then the other keys of the agent.
   */
  readonly agent?: string | boolean;
  /**
   * Offer only the agent's keys that `identityFile` names.
   *
   * @default {false}
   */
  readonly identitiesOnly?: boolean;
  /** Answers keyboard-interactive questions, such as a one-time password. */
  readonly keyboardInteractive?: InteractiveHandler;
  /**
   * Authentication methods to try, best first.
   *
   * @default {["publickey", "keyboard-interactive", "password"]}
   */
  readonly authMethods?: readonly AuthMethod[];

  /**
   * How the host key is verified.
   *
   * @default {"strict"}
   */
  readonly hostKey?: HostKeyPolicy;
  /** known_hosts files of the user. Default: `~/.ssh/known_hosts` and `known_hosts2`. */
  readonly knownHostsFiles?: readonly string[];
  /** known_hosts files of the system. Default: `/etc/ssh/ssh_known_hosts` and `2`. */
  readonly globalKnownHostsFiles?: readonly string[];
  /** The name to look up in known_hosts instead of the host name. */
  readonly hostKeyAlias?: string;
  /**
   * Hash the names that `accept-new` adds.
   *
   * @default {false}
   */
  readonly hashKnownHosts?: boolean;
  /** Algorithms to offer. Default: what is safe, and fastest on this runtime. */
  readonly algorithms?: Algorithms;

  /**
   * Forward the authentication agent to the host: its administrator can use
   * your keys while you are connected.
   *
   * @default {false}
   */
  readonly agentForward?: boolean;
  /** Environment variables of each session; the server must accept their names. */
  readonly env?: Readonly<Record<string, string>>;

  /** Hosts to tunnel through, the first one dialled first (`ProxyJump`). */
  readonly jump?: HostLike | readonly HostLike[];
  /** A command whose standard streams are the connection (`ProxyCommand`). */
  readonly proxyCommand?: string;
  /** Use only this version of IP. Default: both. */
  readonly addressFamily?: 4 | 6;
  /** The local address to connect from. */
  readonly bindAddress?: string;

  /**
   * Which connector of a {@linkcode RoutingConnector} connects, by its name.
   * The main entry point has `"ssh2"`, the default, and `"openssh"`: the `ssh`
   * of this machine, with all that it can do to log in. It looks up `alias` in
   * its own configuration too, so hosts with different aliases do not share a
   * connection. Any other connector does not read this.
   */
  readonly transport?: string;
  /** The deadline of a dial, in milliseconds. Default: the pool's. */
  readonly dialTimeoutMs?: number;
  /** Time between keepalive probes, in milliseconds; 0 for none. Default: the pool's. */
  readonly keepaliveIntervalMs?: number;
  /** Unanswered probes before the connection counts as lost. Default: the pool's. */
  readonly keepaliveCountMax?: number;
}

/** An authentication method of RFC 4252. */
export type AuthMethod =
  | "none"
  | "publickey"
  | "password"
  | "keyboard-interactive";

/**
 * A host as `user@host:port` (IPv6 addresses in brackets), an alias of
 * ssh_config, a URL such as `new URL("ssh://ops@db1:2222")`, or an object.
 */
export type HostLike = string | URL | SshHost;

/** A host with nothing left to look up: defaults, aliases and hops are filled in. */
export interface ResolvedHost extends SshHost {
  /** The TCP port. */
  readonly port: number;
  /** The remote user. */
  readonly user: string;
  /** The hops, resolved, the first one dialled first. Hops have no hops of their own. */
  readonly jump?: readonly ResolvedHost[];
}

/**
 * Names a host as `user@host:port`, with brackets around an IPv6 address.
 *
 * @param host The host.
 * @returns The name, which holds no secret.
 *
 * @example Usage
 * ```ts
 * import { hostLabel } from "@sshpool/sshpool";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(hostLabel({ hostname: "::1", user: "ops", port: 22 }), "ops@[::1]:22");
 * ```
 */
export function hostLabel(
  host: { hostname: string; user?: string; port?: number },
): string {
  const address = host.hostname.includes(":")
    ? `[${host.hostname}]`
    : host.hostname;
  // Empty where it is named elsewhere: see `NameResolver`.
  const user = host.user ? `${host.user}@` : "";
  return `${user}${address}:${host.port ?? 22}`;
}
