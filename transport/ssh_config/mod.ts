/**
 * OpenSSH's client configuration: `"web-1"` means what `ssh web-1` means.
 *
 * Read as OpenSSH reads it: `Host` with patterns and negation, `Match` (`all`,
 * `host`, `originalhost`, `user`, `localuser`, `tagged`, `final`, `canonical`,
 * and `exec` where it is allowed), `Include` with wildcards, quoting, tokens,
 * `${NAME}` and `~`; the first value of a keyword wins. A line that OpenSSH
 * refuses is an {@linkcode SshConfigError} that names file and line, and so is
 * a file that others can write to.
 *
 * These keywords are honoured: `AddressFamily`, `BindAddress`,
 * `CertificateFile`, `Ciphers`, `ConnectTimeout`, `ForwardAgent` (not with a
 * socket), `GlobalKnownHostsFile`, `HashKnownHosts`, `HostKeyAlgorithms`, `HostKeyAlias`, `HostName`,
 * `IdentitiesOnly`, `IdentityAgent`, `IdentityFile`, `IgnoreUnknown`,
 * `KbdInteractiveAuthentication`, `KexAlgorithms`, `MACs`,
 * `PasswordAuthentication`, `Port`, `PreferredAuthentications`, `ProxyCommand`,
 * `ProxyJump`, `PubkeyAcceptedAlgorithms`, `PubkeyAuthentication`, `RefuseConnection`, `SendEnv`,
 * `ServerAliveCountMax`, `ServerAliveInterval`, `SetEnv`,
 * `StrictHostKeyChecking`, `Tag`, `User`, `UserKnownHostsFile`.
 *
 * Where it differs:
 *
 * - `StrictHostKeyChecking no` is taken as `accept-new`, with a notice: a
 *   changed host key is always refused. `ask` is `yes`: there is nobody to ask.
 * - `RevokedHostKeys` is an error, since passing over it would trust keys that
 *   were revoked.
 * - `%h`, `%n` and `%r` in a `ProxyCommand` or `Match exec` are refused if they
 *   hold anything that a shell could misread.
 * - Host names are not canonicalised: `CanonicalizeHostname` has no effect.
 * - `Match` with `localnetwork`, `command`, `version` or `sessiontype` never
 *   applies, with a notice.
 * - Without `ServerAliveInterval` the pool's own keepalive holds.
 *
 * All other keywords of OpenSSH have no effect
 * ({@linkcode notHonouredKeywords} lists them), and their arguments are not
 * checked. A keyword that OpenSSH does not know either is an error, unless
 * `IgnoreUnknown` names it.
 *
 * What changes the behaviour gives a notice, once for each line. What makes no
 * difference to a program gives none: the files that Debian and macOS install
 * are silent. The codes of the notices:
 *
 * | code | what does not happen |
 * | --- | --- |
 * | `ssh-config-agent-forward` | a `ForwardAgent` with a socket |
 * | `ssh-config-algorithms` | `RequiredRSASize` |
 * | `ssh-config-authentication` | `HostbasedAuthentication`, `PKCS11Provider`, `SecurityKeyProvider` |
 * | `ssh-config-canonicalize` | `CanonicalizeHostname` |
 * | `ssh-config-channel-timeout` | `ChannelTimeout` |
 * | `ssh-config-env` | a `SendEnv` with a wildcard, without the permission to read the environment |
 * | `ssh-config-forward` | `LocalForward`, `RemoteForward`, `DynamicForward`, `Tunnel` |
 * | `ssh-config-host-keys` | `KnownHostsCommand` |
 * | `ssh-config-local-command` | `LocalCommand`, where `PermitLocalCommand` allows it |
 * | `ssh-config-match` | a `Match` with a criterion that is not known here |
 * | `ssh-config-match-exec` | a `Match exec` that is not allowed |
 * | `ssh-config-network` | `BindInterface` |
 * | `ssh-config-proxy` | `ProxyUseFdpass` |
 * | `ssh-config-rekey` | `RekeyLimit` |
 * | `ssh-config-remote-command` | `RemoteCommand` |
 * | `ssh-config-session` | `SessionType` |
 * | `ssh-config-stricter` | `StrictHostKeyChecking no`, `NoHostAuthenticationForLocalhost`, `VerifyHostKeyDNS yes`: host keys are checked nonetheless |
 * | `ssh-config-tty` | `RequestTTY` |
 * | `ssh-config-x11` | `ForwardX11` |
 *
 * @module
 */

export type {
  ComputeOptions,
  SshConfig,
  SshConfigOptions,
  SshConfigResolverOptions,
  SshConfigResult,
} from "./config.ts";
export { SshConfigError } from "./errors.ts";
export { loadSshConfig } from "./load_config.ts";
export { notHonouredKeywords } from "./keywords.ts";
export { SshConfigResolver } from "./resolver.ts";
