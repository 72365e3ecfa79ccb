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
 * `ProxyJump`, `PubkeyAuthentication`, `RefuseConnection`, `SendEnv`,
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
 * ({@linkcode notHonouredKeywords} lists them). One that is set to anything but
 * `no` or `none` for a host is reported once, as a notice
 * `"ssh-config-not-honoured"`. Their arguments are not checked. A keyword that
 * OpenSSH does not know either is an error, unless `IgnoreUnknown` names it.
 *
 * @module
 */

export type {
  ComputeOptions,
  SshConfig,
  SshConfigOptions,
  SshConfigResult,
} from "./config.ts";
export { SshConfigError, type SshConfigErrorOptions } from "./errors.ts";
export { loadSshConfig } from "./load_config.ts";
export { notHonouredKeywords } from "./keywords.ts";
export {
  SshConfigResolver,
  type SshConfigResolverOptions,
} from "./resolver.ts";
