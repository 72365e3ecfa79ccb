/** Makes configurations out of a seed, to be held against `ssh -G`. */

import type { Random } from "../../kit/random.ts";

/** A configuration, and the hosts to ask it for. */
export interface GeneratedConfig {
  /** The text of each file, by its path; the first is the one to start from. */
  readonly files: ReadonlyMap<string, string>;
  readonly queries: readonly GeneratedQuery[];
}

/** What is asked. */
export interface GeneratedQuery {
  readonly name: string;
  readonly user?: string;
  readonly port?: number;
}

const NAMES = [
  "web-1",
  "web-2",
  "db.example",
  "gate",
  "WEB-1",
  "a.b.c",
  "10.0.0.7",
];
const PATTERNS = [
  ...NAMES,
  "*",
  "web-*",
  "web-?",
  "*.example",
  "*.b.*",
  "w*b*1",
  "10.0.0.*",
  "nobody",
  "?eb-1",
];
const USERS = ["root", "ops", "deploy", "Ann"];
const YES_NO = ["yes", "no", "true", "false", "Yes", "NO"];
const PATHS = [
  "~/.ssh/id_%r",
  "/k/%h",
  "/k/%n",
  "/keys/%%x",
  "%d/.ssh/%h_%p",
  "/k/%u",
  "/k/%k",
  "/k/%i",
  "/k/%l-%L",
  "/k/plain",
  "${HOME}/k",
  "/with space/k",
  "/k/%p",
];
const CIPHERS = ["aes128-ctr", "aes256-ctr", "aes256-gcm@openssh.com"];
const KEX = ["curve25519-sha256", "ecdh-sha2-nistp256"];
const MACS = ["hmac-sha2-256", "hmac-sha2-512", "umac-64@openssh.com"];
const HOST_KEYS = ["ssh-ed25519", "rsa-sha2-512", "ecdsa-sha2-nistp256"];
const TIMES = [
  ...["0", "5", "90", "1m", "1h30m", "2d", "none", "10s"],
  ...["2147483", "2147484", "2147483647", "3550w"],
];
const COMMANDS = [
  ...["true", "false", "test %h = web-1", "test %n = web-1", "test %r = ops"],
  ...["test %p -lt 9000", "exit 3", "echo 100%%"],
];

/** Makes a configuration whose files are below `dir`. */
export function generateConfig(random: Random, dir: string): GeneratedConfig {
  const files = new Map<string, string>();
  new Writer(random, dir, files).file(`${dir}/config`, 0);
  const queries = random.some(NAMES, 3).map((name): GeneratedQuery => ({
    name,
    ...(random.chance(0.3) ? { user: random.pick(USERS) } : {}),
    ...(random.chance(0.2) ? { port: 1 + random.below(65535) } : {}),
  }));
  // A file is written after those that it includes: turn it round.
  const [first, ...rest] = [...files].reverse();
  return { files: new Map([first!, ...rest]), queries };
}

class Writer {
  readonly #random: Random;
  readonly #dir: string;
  readonly #files: Map<string, string>;

  constructor(random: Random, dir: string, files: Map<string, string>) {
    this.#random = random;
    this.#dir = dir;
    this.#files = files;
  }

  file(path: string, depth: number): void {
    const lines: string[] = [];
    const count = 3 + this.#random.below(depth === 0 ? 25 : 10);
    for (let at = 0; at < count; at++) lines.push(this.#line(depth));
    const end = this.#random.chance(0.1) ? "\r\n" : "\n";
    this.#files.set(
      path,
      lines.join(end) + (this.#random.chance(0.8) ? end : ""),
    );
  }

  #line(depth: number): string {
    const r = this.#random;
    const roll = r.next();
    if (roll < 0.14) return this.#write("Host", this.#hostPatterns());
    if (roll < 0.26) return this.#match();
    if (roll < 0.33 && depth < 3) return this.#include(depth);
    if (roll < 0.38) return r.pick(["", "   ", "# x", "  #User no", "\t"]);
    if (roll < 0.385) return "FooBar baz";
    if (roll < 0.395) {
      return this.#write("IgnoreUnknown", [
        r.pick(["foobar", "Foo*", "x,foob?r"]),
      ]);
    }
    return this.#setting();
  }

  #hostPatterns(): string[] {
    return this.#random.some(PATTERNS, 3)
      .map((p) => (this.#random.chance(0.15) ? `!${p}` : p));
  }

  #match(): string {
    const r = this.#random;
    const list = (from: readonly string[]) =>
      r.some(from, 2).map((p) => (r.chance(0.15) ? `!${p}` : p)).join(",");
    if (r.chance(0.15)) {
      return this.#case("Match") + " " + r.pick(["all", "!all", "final all"]);
    }
    const criteria = r.some([1, 2, 3, 4, 5, 6, 7], 3).map((kind) => {
      const not = r.chance(0.15) ? "!" : "";
      switch (kind) {
        case 1:
          return `${not}host${r.pick([" ", "=", " = "])}${list(PATTERNS)}`;
        case 2:
          return `${not}originalhost ${list(PATTERNS)}`;
        case 3:
          return `${not}user ${list([...USERS, "*"])}`;
        case 4:
          return `${not}localuser ${list([...USERS, "*"])}`;
        case 5:
          return `${not}${r.pick(["final", "canonical"])}`;
        case 6:
          return `${not}exec "${r.pick(COMMANDS)}"`;
        default:
          return `${not}host "${list(PATTERNS)}"`;
      }
    });
    const comment = r.chance(0.1) ? " # why" : "";
    return `${this.#case("Match")} ${criteria.join(" ")}${comment}`;
  }

  #include(depth: number): string {
    const r = this.#random;
    const stem = `${this.#dir}/f${this.#files.size}-${r.below(1e6)}`;
    const count = 1 + r.below(2);
    for (let at = 0; at < count; at++) {
      this.file(`${stem}-${at}.conf`, depth + 1);
    }
    const pattern = r.pick([
      `${stem}-*.conf`,
      `${stem}-[0-9].conf`,
      `${stem}-?.conf`,
      `${stem}-0.conf`,
      `${stem}-none*.conf`,
    ]);
    const more = r.chance(0.2) ? [`${stem}-1.conf`] : [];
    return this.#write("Include", [pattern, ...more]);
  }

  #setting(): string {
    const r = this.#random;
    const algorithms = (list: readonly string[]) =>
      r.pick(["", "", "+", "-", "^"]) + r.some(list, 2).join(",");
    const settings: (() => string)[] = [
      () =>
        this.#write("HostName", [
          r.pick(["%h", "%h.example", "h.%h", "Real.Host", "10.1.2.3", "x%%y"]),
        ]),
      () => this.#write("User", [r.pick(USERS)]),
      () => this.#write("Port", [String(1 + r.below(65535))]),
      () => this.#write("IdentityFile", [r.pick([...PATHS, "none"])]),
      () => this.#write("CertificateFile", [r.pick([...PATHS, "none"])]),
      () => this.#write("IdentitiesOnly", [r.pick(YES_NO)]),
      () =>
        this.#write("IdentityAgent", [
          r.pick(["none", "SSH_AUTH_SOCK", "$HOME", ...PATHS]),
        ]),
      () =>
        this.#write("UserKnownHostsFile", r.pick([["none"], r.some(PATHS, 3)])),
      () =>
        this.#write(
          "GlobalKnownHostsFile",
          r.pick([["none"], r.some(["/a", "/b c"], 2)]),
        ),
      () => this.#write("HostKeyAlias", [r.pick(["alias", "Alias-%h"])]),
      () =>
        this.#write("StrictHostKeyChecking", [
          r.pick([...YES_NO, "ask", "accept-new", "off"]),
        ]),
      () => this.#write("ConnectTimeout", [r.pick(TIMES)]),
      () => this.#write("ServerAliveInterval", [r.pick(TIMES)]),
      () => this.#write("ServerAliveCountMax", [String(r.below(9))]),
      () => this.#write("Ciphers", [algorithms(CIPHERS)]),
      () => this.#write("KexAlgorithms", [algorithms(KEX)]),
      () => this.#write("MACs", [algorithms(MACS)]),
      () => this.#write("HostKeyAlgorithms", [algorithms(HOST_KEYS)]),
      () => this.#write("PubkeyAcceptedAlgorithms", [algorithms(HOST_KEYS)]),
      () => this.#write("ForwardAgent", [r.pick([...YES_NO, "/a/sock"])]),
      () => this.#write("HashKnownHosts", [r.pick(YES_NO)]),
      () =>
        this.#write(
          "SendEnv",
          r.some(["LANG", "LC_*", "-LC_*", "-L*", "FOO"], 3),
        ),
      () => this.#write("SetEnv", r.some(["A=1", "B=x y", "C="], 2)),
      () =>
        this.#write("AddressFamily", [
          r.pick(["any", "inet", "inet6", "INET"]),
        ]),
      () => this.#write("BindAddress", [r.pick(["127.0.0.1", "::1"])]),
      () =>
        this.#write("PreferredAuthentications", [
          r.pick([
            "publickey",
            "password,publickey",
            "gssapi-with-mic,publickey",
          ]),
        ]),
      () => this.#write("PubkeyAuthentication", [r.pick(YES_NO)]),
      () => this.#write("PasswordAuthentication", [r.pick(YES_NO)]),
      () => this.#write("KbdInteractiveAuthentication", [r.pick(YES_NO)]),
      () => this.#write("ChallengeResponseAuthentication", [r.pick(YES_NO)]),
      () =>
        `${this.#case("ProxyJump")}${this.#gap()}${
          r.pick([
            "none",
            "gate",
            "ops@gate:2222",
            "one,two",
            "u@one,two:2200",
            "j-%h",
          ])
        }`,
      () =>
        `${this.#case("ProxyCommand")}${this.#gap()}${
          r.pick(["none", "nc %h %p", "nc -X 'a b' %h  %p", "= nc %r"])
        }`,
      () => this.#write("Compression", [r.pick(["yes", "no"])]),
      () => this.#write("LogLevel", [r.pick(["INFO", "DEBUG"])]),
      () => this.#write("ForwardX11", [r.pick(YES_NO)]),
      () => this.#write("RequestTTY", [r.pick(["auto", "force", "no"])]),
      () => this.#write("RekeyLimit", r.pick([["1G"], ["default", "1h"]])),
      () => this.#write("LocalForward", ["8080", "db:80"]),
    ];
    return r.pick(settings)();
  }

  /** A keyword and its arguments, in one of the many ways to write them. */
  #write(keyword: string, args: readonly string[]): string {
    const r = this.#random;
    const indent = r.pick(["", "", "  ", "\t", " \t "]);
    const words = args.map((arg) => {
      if (/[ "']/.test(arg)) {
        return r.pick([`"${arg}"`, `'${arg}'`, arg.replaceAll(" ", "\\ ")]);
      }
      return r.chance(0.1)
        ? r.pick([`"${arg}"`, `'${arg}'`, `${arg[0]}"${arg.slice(1)}"`])
        : arg;
    });
    const comment = r.chance(0.05) ? " # comment" : "";
    const tail = r.chance(0.1) ? r.pick([" ", "\t", "  "]) : "";
    const sep = r.pick([" ", "  ", "\t"]);
    return indent + this.#case(keyword) + this.#gap() + words.join(sep) +
      comment + tail;
  }

  #gap(): string {
    return this.#random.pick([
      " ",
      " ",
      " ",
      "  ",
      "\t",
      "=",
      " = ",
      " =",
      "= ",
    ]);
  }

  #case(keyword: string): string {
    const r = this.#random;
    return r.pick([
      keyword,
      keyword,
      keyword.toLowerCase(),
      keyword.toUpperCase(),
    ]);
  }
}
