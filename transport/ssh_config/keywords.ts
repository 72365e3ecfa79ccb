/**
 * Every keyword of OpenSSH's ssh_config, and how its arguments are read.
 *
 * @module
 */

/** How the arguments of a keyword are read. */
export type Kind =
  /** One of a few words. */
  | "choice"
  /** One word or quoted string. */
  | "string"
  /** One or more of these. */
  | "strings"
  /** A whole number. */
  | "integer"
  | "port"
  /** Seconds, or such as `1h30m`. */
  | "time"
  /** The rest of the line as it is. */
  | "command"
  | "jump"
  /** A list of algorithms. */
  | "algorithms"
  | "sendenv"
  | "setenv"
  /** Anything: it is not used. */
  | "any";

/** How a keyword is read. */
export interface Keyword extends Entry {
  /** The name in lower case. */
  readonly key: string;
}

/** A line of the tables below. */
interface Entry {
  /** The name as the manual writes it. */
  readonly name: string;
  /** How its arguments are read. */
  readonly kind: Kind;
  /** The words of a choice, and what each means. */
  readonly choices?: Readonly<Record<string, string>>;
  /** Every occurrence adds to the value, where else the first one wins. */
  readonly adds?: boolean;
  /** Known to OpenSSH, and of no effect here. */
  readonly ignored?: boolean;
}

const YES_NO = { yes: "yes", true: "yes", no: "no", false: "no" } as const;
const STRICT = {
  ...YES_NO,
  off: "no",
  ask: "ask",
  "accept-new": "accept-new",
} as const;
const FAMILIES = { any: "any", inet: "inet", inet6: "inet6" } as const;
const PUBKEY = { ...YES_NO, unbound: "yes", "host-bound": "yes" } as const;

const HONOURED: readonly Entry[] = [
  { name: "AddressFamily", kind: "choice", choices: FAMILIES },
  { name: "BindAddress", kind: "string" },
  { name: "CertificateFile", kind: "string", adds: true },
  { name: "Ciphers", kind: "algorithms" },
  { name: "ConnectTimeout", kind: "time" },
  { name: "ForwardAgent", kind: "string" },
  { name: "GlobalKnownHostsFile", kind: "strings" },
  { name: "HashKnownHosts", kind: "choice", choices: YES_NO },
  { name: "HostKeyAlgorithms", kind: "algorithms" },
  { name: "HostKeyAlias", kind: "string" },
  { name: "HostName", kind: "string" },
  { name: "IdentitiesOnly", kind: "choice", choices: YES_NO },
  { name: "IdentityAgent", kind: "string" },
  { name: "IdentityFile", kind: "string", adds: true },
  { name: "IgnoreUnknown", kind: "string" },
  { name: "KbdInteractiveAuthentication", kind: "choice", choices: YES_NO },
  { name: "KexAlgorithms", kind: "algorithms" },
  { name: "MACs", kind: "algorithms" },
  { name: "PasswordAuthentication", kind: "choice", choices: YES_NO },
  { name: "Port", kind: "port" },
  { name: "PreferredAuthentications", kind: "string" },
  { name: "ProxyCommand", kind: "command" },
  { name: "ProxyJump", kind: "jump" },
  { name: "PubkeyAcceptedAlgorithms", kind: "algorithms" },
  { name: "PubkeyAuthentication", kind: "choice", choices: PUBKEY },
  { name: "RefuseConnection", kind: "string" },
  { name: "RevokedHostKeys", kind: "string" },
  { name: "SendEnv", kind: "sendenv", adds: true },
  { name: "ServerAliveCountMax", kind: "integer" },
  { name: "ServerAliveInterval", kind: "time" },
  { name: "SetEnv", kind: "setenv" },
  { name: "StrictHostKeyChecking", kind: "choice", choices: STRICT },
  { name: "Tag", kind: "string" },
  { name: "User", kind: "string" },
  { name: "UserKnownHostsFile", kind: "strings" },
];

const IGNORED_CHOICES = "BatchMode CanonicalizeFallbackLocal CheckHostIP " +
  "ClearAllForwardings EnableEscapeCommandline EnableSSHKeysign " +
  "ExitOnForwardFailure ForkAfterAuthentication ForwardX11 " +
  "ForwardX11Trusted GatewayPorts GSSAPIAuthentication " +
  "GSSAPIDelegateCredentials GSSAPIKeyExchange GSSAPIRenewalForcesRekey " +
  "GSSAPITrustDns HostbasedAuthentication " +
  "NoHostAuthenticationForLocalhost PermitLocalCommand ProxyUseFdpass " +
  "StdinNull StreamLocalBindUnlink TCPKeepAlive VisualHostKey";

// Their arguments are not read, so a mistake in them is not found either.
const IGNORED = "AddKeysToAgent BindInterface CanonicalDomains " +
  "CanonicalizeHostname CanonicalizeMaxDots CanonicalizePermittedCNAMEs " +
  "CASignatureAlgorithms ChannelTimeout Compression " +
  "ConnectionAttempts ControlMaster ControlPath ControlPersist " +
  "DynamicForward EscapeChar FingerprintHash ForwardX11Timeout " +
  "GSSAPIClientIdentity GSSAPIKexAlgorithms GSSAPIServerIdentity " +
  "HostbasedAcceptedAlgorithms IPQoS KbdInteractiveDevices " +
  "KnownHostsCommand LocalCommand LocalForward LogLevel LogVerbose " +
  "NumberOfPasswordPrompts ObscureKeystrokeTiming PermitRemoteOpen " +
  "PKCS11Provider RekeyLimit RemoteCommand " +
  "RemoteForward RequestTTY RequiredRSASize SecurityKeyProvider " +
  "SessionType StreamLocalBindMask SyslogFacility Tunnel TunnelDevice " +
  "UpdateHostKeys UseKeychain VerifyHostKeyDNS VersionAddendum " +
  "WarnWeakCrypto XAuthLocation " +
  // What OpenSSH itself no longer has, but still knows.
  "AFSTokenPassing Cipher CompressionLevel FallBackToRsh " +
  "GlobalKnownHostsFile2 KerberosAuthentication KerberosTgtPassing " +
  "Protocol RhostsAuthentication RhostsRSAAuthentication " +
  "RSAAuthentication UseBlacklistedKeys UsePrivilegedPort " +
  "UserKnownHostsFile2 UseRoaming UseRsh";

const ALIASES: Readonly<Record<string, string>> = {
  challengeresponseauthentication: "kbdinteractiveauthentication",
  dsaauthentication: "pubkeyauthentication",
  hostbasedkeytypes: "hostbasedacceptedalgorithms",
  identityfile2: "identityfile",
  keepalive: "tcpkeepalive",
  protocolkeepalives: "serveraliveinterval",
  pubkeyacceptedkeytypes: "pubkeyacceptedalgorithms",
  setuptimeout: "serveraliveinterval",
  skeyauthentication: "kbdinteractiveauthentication",
  smartcarddevice: "pkcs11provider",
  tisauthentication: "kbdinteractiveauthentication",
};

function ignoredKeywords(): Entry[] {
  return [
    ...IGNORED_CHOICES.split(" ").map((name): Entry => ({
      name,
      kind: "choice",
      choices: YES_NO,
      ignored: true,
    })),
    ...IGNORED.split(" ").map((name): Entry => ({
      name,
      kind: "any",
      ignored: true,
    })),
  ];
}

const KEYWORDS: ReadonlyMap<string, Keyword> = new Map(
  [...HONOURED, ...ignoredKeywords()].map((entry) => {
    const key = entry.name.toLowerCase();
    return [key, { ...entry, key }];
  }),
);

/** Returns the entry of a keyword, which is written in lower case. */
export function findKeyword(name: string): Keyword | undefined {
  return KEYWORDS.get(
    Object.hasOwn(ALIASES, name) ? ALIASES[name]! : name,
  );
}

/** The names of the keywords that OpenSSH knows, and that have no effect here. */
export const notHonouredKeywords: readonly string[] = Object.freeze(
  ignoredKeywords().map((k) => k.name),
);
