/**
 * Set-ups of a user: what is in ssh_config and known_hosts, and what comes of
 * it.
 *
 * @module
 */

import type { Sshd } from "../kit/sshd.ts";
import { hashed, RELAY } from "./_kit.ts";

/** What there is on the machine. */
export interface World {
  readonly dir: string;
  readonly sshd: Sshd;
  readonly port: number;
  /** Name of the server in known_hosts. */
  readonly name: string;
  /** Its keys, as known_hosts has them. */
  readonly ed25519: string;
  readonly ecdsa: string;
  /** The key of another server. */
  readonly other: string;
  /** Paths of private keys. */
  readonly good: string;
  readonly encrypted: string;
  readonly stranger: string;
  readonly absent: string;
  readonly held: string;
  /** Sockets of agents. */
  readonly agent: string;
  readonly crowded: string;
}

/** One set-up of a user. */
export interface Setup {
  readonly name: string;
  /** Lines before everything, for "Host web-1". First value wins. */
  readonly host?: (w: World) => string[];
  /** Further text of the configuration, in front. */
  readonly front?: (w: World) => string;
  readonly knownHosts?: (w: World) => string | Promise<string>;
  readonly globalKnownHosts?: (w: World) => string;
  readonly target?: string;
  /** Leave out the good key file after those of `host`. */
  readonly noGoodKey?: true;
  readonly passphrase?: string;
  readonly expect: "accepted" | "host key" | "authentication" | "dial";
}

/** The line of known_hosts that is right. */
export const known = ({ name, ed25519 }: World) => `${name} ${ed25519}\n`;

/** The set-ups that both are asked about. */
export const setups: readonly Setup[] = [
  { name: "a known host", expect: "accepted" },
  { name: "no known_hosts line", knownHosts: () => "", expect: "host key" },
  {
    name: "no known_hosts file",
    host: ({ dir }) => [`UserKnownHostsFile ${dir}/none-such`],
    expect: "host key",
  },
  {
    name: "an unknown host and accept-new",
    host: () => ["StrictHostKeyChecking accept-new"],
    knownHosts: () => "",
    expect: "accepted",
  },
  {
    name: "a changed key",
    knownHosts: ({ name, other }) => `${name} ${other}\n`,
    expect: "host key",
  },
  {
    name: "a changed key and accept-new",
    host: () => ["StrictHostKeyChecking accept-new"],
    knownHosts: ({ name, other }) => `${name} ${other}\n`,
    expect: "host key",
  },
  {
    name: "two keys, the second of which is right",
    knownHosts: (w) => `${w.name} ${w.other}\n${known(w)}`,
    expect: "accepted",
  },
  {
    name: "a revoked key",
    knownHosts: (w) => `${known(w)}@revoked * ${w.ed25519}\n`,
    expect: "host key",
  },
  {
    name: "a key that is known as a certificate authority's alone",
    knownHosts: (w) => `@cert-authority ${w.name} ${w.ed25519}\n`,
    expect: "host key",
  },
  {
    name: "hashed names",
    knownHosts: (w) => hashed(w.dir, `${known(w)}[::1]:22 ${w.other}\n`),
    expect: "accepted",
  },
  {
    name: "hashed names and a changed key",
    knownHosts: (w) => hashed(w.dir, `${w.name} ${w.other}\n`),
    expect: "host key",
  },
  {
    name: "a key known for another port",
    knownHosts: ({ ed25519 }) => `[127.0.0.1]:1 ${ed25519}\n`,
    expect: "host key",
  },
  {
    name: "a key known for the address without a port",
    knownHosts: ({ ed25519 }) => `127.0.0.1 ${ed25519}\n`,
    expect: "accepted",
  },
  {
    name: "a wildcard",
    knownHosts: ({ port, ed25519 }) => `[127.0.*.?]:${port} ${ed25519}\n`,
    expect: "accepted",
  },
  {
    name: "a wildcard with an exception",
    knownHosts: ({ name, port, ed25519 }) =>
      `[127.*]:${port},!${name} ${ed25519}\n`,
    expect: "host key",
  },
  {
    name: "comments, CRLF, empty and broken lines",
    knownHosts: (w) => `# mine\r\n\r\nnonsense\r\n\t${known(w).trim()} me\r\n`,
    expect: "accepted",
  },
  {
    name: "only the server's second key known",
    knownHosts: ({ name, ecdsa }) => `${name} ${ecdsa}\n`,
    expect: "accepted",
  },
  {
    name: "only the server's second key known, and only the first asked for",
    host: () => ["HostKeyAlgorithms ssh-ed25519"],
    knownHosts: ({ name, ecdsa }) => `${name} ${ecdsa}\n`,
    expect: "host key",
  },
  {
    name: "a HostKeyAlias",
    host: () => ["HostKeyAlias web.example"],
    knownHosts: ({ ed25519 }) => `web.example ${ed25519}\n`,
    expect: "accepted",
  },
  {
    name: "a HostKeyAlias, and only the address known",
    host: () => ["HostKeyAlias web.example"],
    expect: "host key",
  },
  {
    name: "a known_hosts file of the system",
    knownHosts: () => "",
    globalKnownHosts: known,
    expect: "accepted",
  },
  {
    name: "a key revoked by the system",
    globalKnownHosts: ({ ed25519 }) => `@revoked * ${ed25519}\n`,
    expect: "host key",
  },
  {
    name: "Include, Match, negation, tokens and a default after them",
    front: (w) =>
      [
        `Include ${w.dir}/inc/*.conf`,
        "Host * !web-1",
        "  User nobody",
        "Match originalhost web-1 user root,*-test",
        "  SetEnv SSHPOOL_X=matched",
        "Match host 127.0.0.1",
        "  BindAddress 127.0.0.3",
        "",
      ].join("\n"),
    expect: "accepted",
  },
  {
    name: "SetEnv and BindAddress",
    host: () => ["SetEnv SSHPOOL_X=two", "BindAddress 127.0.0.2"],
    expect: "accepted",
  },
  {
    name: "a user who is not let in",
    host: () => ["User nobody"],
    expect: "authentication",
  },
  {
    name: "a user named by the caller",
    target: "nobody@web-1",
    expect: "authentication",
  },
  {
    name: "a key that is not let in",
    host: ({ stranger }) => [`IdentityFile ${stranger}`],
    expect: "accepted", // the good one is added by the block after it
  },
  {
    name: "a missing key file before a good one",
    host: ({ absent }) => [`IdentityFile ${absent}`],
    expect: "accepted",
  },
  {
    name: "an encrypted key with its passphrase",
    host: ({ encrypted }) => [`IdentityFile ${encrypted}`],
    noGoodKey: true,
    passphrase: "right horse",
    expect: "accepted",
  },
  {
    name: "an encrypted key with another passphrase",
    host: ({ encrypted }) => [`IdentityFile ${encrypted}`],
    noGoodKey: true,
    passphrase: "wrong horse",
    expect: "authentication",
  },
  {
    name: "only a missing key file",
    host: ({ absent }) => [`IdentityFile ${absent}`],
    noGoodKey: true,
    expect: "dial", // nobody is asked: there is nothing to offer
  },
  {
    name: "an agent, and no key file",
    host: ({ agent, absent }) => [
      `IdentityAgent ${agent}`,
      `IdentityFile ${absent}`,
    ],
    noGoodKey: true,
    expect: "accepted",
  },
  {
    name: "an agent whose key no IdentityFile names, and IdentitiesOnly",
    host: ({ agent, stranger }) => [
      `IdentityAgent ${agent}`,
      `IdentityFile ${stranger}`,
      "IdentitiesOnly yes",
    ],
    noGoodKey: true,
    expect: "authentication",
  },
  {
    name: "an agent whose key a public IdentityFile names, and IdentitiesOnly",
    host: ({ agent, held }) => [
      `IdentityAgent ${agent}`,
      `IdentityFile ${held}.pub`,
      "IdentitiesOnly yes",
    ],
    noGoodKey: true,
    expect: "accepted",
  },
  {
    name: "an agent of too many keys, and IdentitiesOnly",
    host: ({ crowded }) => [`IdentityAgent ${crowded}`, "IdentitiesOnly yes"],
    expect: "accepted",
  },
  {
    name: "no agent at the socket",
    host: ({ dir }) => [`IdentityAgent ${dir}/no-agent`],
    expect: "accepted",
  },
  {
    name: "public keys switched off",
    host: () => ["PubkeyAuthentication no"],
    expect: "authentication",
  },
  {
    name: "a cipher that the server does not have",
    host: () => ["Ciphers aes128-cbc"],
    expect: "dial",
  },
  {
    name: "a port where nobody listens",
    host: () => ["Port 1"],
    expect: "dial",
  },
  {
    name: "IPv6 alone for an IPv4 address",
    host: () => ["AddressFamily inet6"],
    expect: "dial",
  },
  {
    name: "a ProxyCommand with tokens",
    host: () => [`ProxyCommand ${RELAY}`],
    expect: "accepted",
  },
];
