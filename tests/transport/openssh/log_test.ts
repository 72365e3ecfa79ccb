import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import type { Notice } from "../../../transport/connector.ts";
import {
  AuthenticationError,
  type DialError,
  type DialPhase,
  HostKeyError,
} from "../../../transport/errors.ts";
import { DialLog } from "../../../transport/openssh/_log.ts";
import { slowdown } from "../../kit/linear.ts";

const TO_TCP = ["debug1: Connecting to db1 [10.0.0.1] port 22."];
const TO_BANNER = [...TO_TCP, "debug1: Connection established."];
const TO_KEX = [
  ...TO_BANNER,
  "debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1 Debian-2",
];
const TO_KEY = [
  ...TO_KEX,
  "debug1: kex: algorithm: sntrup761x25519-sha512",
  "debug1: kex: host key algorithm: ssh-ed25519",
  "debug1: kex: server->client cipher: aes128-ctr MAC: hmac-sha1 compression: none",
  "debug1: kex: client->server cipher: chacha20-poly1305@openssh.com MAC: <implicit> compression: none",
  "debug1: Server host key: ssh-ed25519 SHA256:abc",
];
const TO_AUTH = [...TO_KEY, "debug1: SSH2_MSG_NEWKEYS received"];

function read(lines: readonly string[]): { log: DialLog; notices: Notice[] } {
  const notices: Notice[] = [];
  const log = new DialLog("ops@db1:22", (notice) => notices.push(notice));
  for (const line of lines) assertEquals(log.read(line), false, line);
  return { log, notices };
}

/** The end of a log, the phase of its error, and whether it is throttling. */
const failures: readonly [
  name: string,
  lines: readonly string[],
  phase: DialPhase,
  throttled: boolean,
][] = [
  [
    "an unknown name",
    [
      "ssh: Could not resolve hostname nosuch: Name or service not known",
    ],
    "dns",
    false,
  ],
  [
    "a port where nobody listens",
    [
      ...TO_TCP,
      "ssh: connect to host db1 port 1: Connection refused",
    ],
    "tcp",
    false,
  ],
  [
    "an unknown option",
    [
      "command-line: line 0: Bad configuration option: nosuch",
    ],
    "config",
    false,
  ],
  [
    "a bad cipher",
    [
      "command-line line 0: Bad SSH2 cipher spec 'none'.",
    ],
    "config",
    false,
  ],
  [
    "a server that hangs up without a word",
    [
      ...TO_BANNER,
      "kex_exchange_identification: Connection closed by remote host",
      "Connection closed by 10.0.0.1 port 22",
    ],
    "banner",
    true,
  ],
  [
    "a server that names its limit",
    [
      ...TO_BANNER,
      "debug1: kex_exchange_identification: banner line 0: Exceeded MaxStartups",
      "kex_exchange_identification: Connection closed by remote host",
    ],
    "banner",
    true,
  ],
  [
    "a server that says something else",
    [
      ...TO_BANNER,
      "debug1: kex_exchange_identification: banner line 0: 220 mail ESMTP",
      "kex_exchange_identification: Connection closed by remote host",
    ],
    "banner",
    false,
  ],
  [
    "a server that speaks another protocol",
    [
      ...TO_BANNER,
      "kex_exchange_identification: banner line contains invalid characters",
      "banner exchange: Connection to 10.0.0.1 port 80: invalid format",
    ],
    "banner",
    false,
  ],
  [
    "a server that is silent for as long as ssh waits",
    [
      ...TO_BANNER,
      "Connection timed out during banner exchange",
      "Connection to 10.0.0.1 port 22 timed out",
    ],
    "timeout",
    false,
  ],
  [
    "a server that is silent in the key exchange",
    [
      ...TO_KEX,
      "Connection to 10.0.0.1 port 22 timed out",
    ],
    "timeout",
    false,
  ],
  [
    "a connection that ends while its host key is judged",
    [
      ...TO_KEY,
      "Connection reset by 10.0.0.1 port 22",
    ],
    "kex",
    false,
  ],
  [
    "no common algorithm",
    [
      ...TO_KEX,
      "Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: x",
    ],
    "kex",
    false,
  ],
];

for (const [name, lines, phase, throttled] of failures) {
  Deno.test(`DialLog tells ${name} by phase ${phase}${throttled ? ", throttled" : ""}`, () => {
    const error = read(lines).log.failure(255);
    assertEquals([error.phase, error.throttled], [phase, throttled]);
    assertEquals(error.host, "ops@db1:22");
    const said = lines.at(-1)!.replace(/^ssh: /, "");
    assertEquals(error.message, `Cannot connect to "ops@db1:22": ${said}`);
  });
}

const keys: readonly [HostKeyError["reason"], readonly string[]][] = [
  ["unknown", [
    "No ED25519 host key is known for db1 and you have requested strict checking.",
    "Host key verification failed.",
  ]],
  ["mismatch", [
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
    "Offending ED25519 key in /home/ops/.ssh/known_hosts:3",
    "Host key for db1 has changed and you have requested strict checking.",
    "Host key verification failed.",
  ]],
  ["revoked", [
    "@       WARNING: REVOKED HOST KEY DETECTED!               @",
    "The ED25519 host key for db1 is marked as revoked.",
    "Host key verification failed.",
  ]],
];

for (const [reason, lines] of keys) {
  Deno.test(`DialLog tells a host key that is refused as ${reason}, with its fingerprint`, () => {
    const error = read([...TO_KEY, ...lines]).log.failure(255);
    assertInstanceOf(error, HostKeyError);
    assertEquals([error.reason, error.fingerprint], [reason, "SHA256:abc"]);
    assertEquals(
      error.location,
      reason === "mismatch" ? "/home/ops/.ssh/known_hosts:3" : undefined,
    );
  });
}

Deno.test("DialLog tells a refused login with what was offered and tried", () => {
  const error: DialError = read([
    ...TO_AUTH,
    "debug1: Authentications that can continue: publickey,password",
    "debug1: Next authentication method: publickey",
    "debug1: Offering public key: /k1 ED25519 SHA256:x agent",
    "debug1: Authentications that can continue: publickey,password",
    "debug1: Trying private key: /k2",
    "debug1: Authentications that can continue: publickey,password",
    "debug1: Trying private key: /not-there",
    "debug1: Next authentication method: password",
    "ops@db1: Permission denied (publickey,password).",
  ]).log.failure(255);
  assertInstanceOf(error, AuthenticationError);
  assertEquals(error.offered, ["publickey", "password"]);
  assertEquals(error.tried, ["publickey /k1", "publickey /k2", "password"]);
});

Deno.test("DialLog knows the server's software and what the key exchange agreed on", () => {
  const { log } = read(TO_AUTH);
  assertEquals(log.software, "OpenSSH_9.2p1 Debian-2");
  assertEquals(log.algorithms, {
    kex: "sntrup761x25519-sha512",
    hostKey: "ssh-ed25519",
    cipher: "chacha20-poly1305@openssh.com",
    mac: "<implicit>",
  });
  assertEquals(read(TO_KEX).log.algorithms, undefined);
});

Deno.test("DialLog gives a notice of an added key, of one that was not stored, of a touch that is waited for, and of a key that others may read", () => {
  const { log, notices } = read([
    ...TO_BANNER,
    "debug1: identity file /k type 0",
    ...TO_KEY.slice(TO_BANNER.length),
    "Warning: Permanently added 'db1' (ED25519) to the list of known hosts.",
    "Failed to add the host to the list of known hosts (/k/known_hosts).",
    "debug1: SSH2_MSG_NEWKEYS received",
  ]);
  log.tell("Confirm user presence for key ED25519-SK SHA256:k");
  for (let i = 0; i < 2; i++) {
    log.read("Permissions 0644 for '/k' are too open.");
    log.read("This private key will be ignored.");
  }
  assertEquals(notices.map(({ code }) => code), [
    "host-key-accepted",
    "host-key-not-stored",
    "touch-security-key",
    "key-not-used",
  ]);
  assertEquals(notices[0]!.message.includes("SHA256:abc"), true);
  assertEquals(notices[1]!.message.includes("(/k/known_hosts)"), true);
  assertEquals(notices[3]!.message.includes("'/k' are too open"), true);
});

/** What a server can write as well once the first keys are in use. */
const LIES = [
  ...TO_BANNER,
  "debug1: Local version string SSH-2.0-OpenSSH_9.2p1",
  "debug1: Remote protocol version 2.0, remote software version OpenSSH_99.9",
  "debug1: kex: algorithm: none-1",
  "debug1: kex: host key algorithm: none-2",
  "debug1: kex: client->server cipher: none-3 MAC: none-4 compression: none",
  "debug1: Server host key: ssh-rsa SHA256:none",
  "debug1: identity file /none type 0",
  "Warning: Permanently added 'none' (ED25519) to the list of known hosts.",
  "Failed to add the host to the list of known hosts (/none).",
  "Confirm user presence for key ED25519-SK SHA256:none",
  "Permissions 0644 for '/none' are too open.",
  "This private key will be ignored.",
  "No ED25519 host key is known for db1 and you have requested strict checking.",
  "Host key verification failed.",
];

Deno.test("DialLog believes no line that a banner can hold", () => {
  const { log, notices } = read([...TO_AUTH, ...LIES]);
  const { log: plain } = read(TO_AUTH);
  assertEquals(log.software, plain.software);
  assertEquals(log.algorithms, plain.algorithms);
  assertEquals(log.shownKey, plain.shownKey);
  assertEquals(log.phase, "auth");
  assertEquals(notices, []);
  const error = log.failure(255);
  assertEquals([error.name, error.phase], ["DialError", "auth"]);
});

Deno.test("DialLog knows nothing of a server that sends messages amid the key exchange, and holds no warning back", () => {
  const { log, notices } = read([
    ...TO_KEX,
    // Line breaks of the message are those of the log.
    "debug1: Remote: hello",
    "debug1: SSH2_MSG_NEWKEYS received",
    ...TO_KEY.slice(TO_KEX.length),
    "Warning: Permanently added 'db1' (ED25519) to the list of known hosts.",
    "debug1: SSH2_MSG_NEWKEYS received",
  ]);
  assertEquals([log.software, log.algorithms], ["", undefined]);
  assertEquals(notices.map(({ code }) => code), ["host-key-accepted"]);
  for (let i = 0; i < 1000; i++) LIES.forEach((line) => log.read(line));
  assert(notices.length < 100, `${notices.length} notices`);
});

Deno.test("DialLog tells of the keys of all hosts that a ProxyJump goes through, and of nothing that is not certain", () => {
  const start = "debug1: Local version string SSH-2.0-OpenSSH_9.2p1";
  const added = (name: string) =>
    `Warning: Permanently added '${name}' (ED25519) to the list of known hosts.`;
  const newKeys = "debug1: SSH2_MSG_NEWKEYS received";
  const { log, notices } = read([
    "debug1: Executing proxy command: exec ssh -v -W '[db1]:22' gate",
    start,
    ...TO_TCP,
    start,
    ...TO_KEY.slice(TO_TCP.length),
    added("gate"),
    newKeys,
    "debug1: Remote: /k/authorized_keys:1: key options: pty",
    ...TO_KEY.slice(TO_BANNER.length),
    added("db1"),
    newKeys,
    added("none"),
  ]);
  assertEquals(
    notices.map(({ message }) => /"(.*)"/.exec(message)?.[1]),
    ["gate", "db1"],
  );
  assertEquals([log.software, log.algorithms], ["", undefined]);
});

Deno.test("DialLog makes what a server says safe to print", () => {
  const error = read([...TO_BANNER, "say \x1b[2J\x07"]).log.failure(255);
  assertEquals(
    error.message,
    'Cannot connect to "ops@db1:22": say \\x1b[2J\\x07',
  );
});

Deno.test("DialLog keeps the last 50 lines of what ssh says", () => {
  const lines = Array.from({ length: 200 }, (_, i) => `line ${i}`);
  const { cause } = read(lines).log.failure(255);
  assertEquals((cause as Error).message, lines.slice(150).join("\n"));
});

Deno.test("DialLog keeps little of a log that does not end, whatever its lines are", () => {
  const long = "A".repeat(64 * 1024);
  // More than the longest string of the runtime has.
  const greetings = Array.from(
    { length: 9000 },
    () => `debug1: kex_exchange_identification: banner line 0: ${long}`,
  );
  assertEquals(read(greetings).log.failure(255).phase, "config");
  const tried = Array.from({ length: 1000 }, () => [
    `debug1: Next authentication method: ${long}`,
    `debug1: Offering public key: ${long}`,
    `debug1: Trying private key: ${long}`,
    "debug1: Authentications that can continue: publickey",
  ]).flat();
  const error = read([...tried, "Permission denied (publickey)."]).log
    .failure(255);
  assertInstanceOf(error, AuthenticationError);
  assert(error.tried.length < 1000, `${error.tried.length} attempts`);
  assert(error.tried.every((it) => it.length < 1000));
});

Deno.test("DialLog says so where ssh ended without a word", () => {
  assertEquals(
    new DialLog("db1").failure(255).message,
    'Cannot connect to "db1": ssh ended with code 255 and said nothing',
  );
});

Deno.test("DialLog.read() says when ssh is ready, and forgets the login then", () => {
  const { log } = read([...TO_AUTH, "Welcome!"]);
  assertEquals(log.lastWords, "Welcome!");
  assertEquals(log.read("debug1: Entering interactive session."), true);
  log.forgetLogin();
  assertEquals(log.lastWords, "");
  log.read("Transferred: sent 3340, received 3212 bytes, in 0.7 seconds");
  assertEquals(log.lastWords, "");
});

Deno.test("DialLog reads a line in proportion to its length, whatever a server says", () => {
  for (
    const [start, again] of [
      ["Offending ", " key in"],
      ["debug1: Remote protocol ", "remote software version "],
      ["debug1: identity file ", " type 1"],
      ["Permissions 0644 for '", "' are"],
    ] as const
  ) {
    const read = (times: number) =>
      void new DialLog("db1").read(start + again.repeat(times) + "\r");
    assert(slowdown(read, [150, 4_800], 32) < 6);
  }
});
