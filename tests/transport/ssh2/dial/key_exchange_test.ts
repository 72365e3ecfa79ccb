import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { ConnectionPool } from "../../../../mod.ts";
import { DialError, HostKeyError } from "../../../../transport/errors.ts";
import type {
  HostKeyVerifier,
  SshHost,
} from "../../../../transport/host/host.ts";
import type { Tunnel } from "../../../../transport/connector.ts";
import { keyPair } from "../../../../transport/testing/server/_keys.ts";
import { EmbeddedServer } from "../../../../transport/testing/mod.ts";
import {
  type RogueOptions,
  type ServerProtocol,
  startRogueServer,
} from "../_rogue_server.ts";
import { connect, rejection } from "../_kit.ts";
import { KeyExchangeGuard } from "../../../../transport/ssh2/dial/_key_exchange.ts";
import { slowdown } from "../../../kit/linear.ts";
import { Random } from "../../../kit/random.ts";

{
  // The deadlines below are for what servers do: the first dial of a process
  // loads modules, and compiles them.
  await using server = await EmbeddedServer.start();
  await (await connect(server.host())).close();
}

const SECRETS = ["hunter2", "SECRET_VARIABLE", "launch-rocket", "input-text"];

/** What a rogue server says as soon as it can. */
const ATTACKS: Record<string, RogueOptions["says"]> = {
  SERVICE_ACCEPT: (protocol) => protocol.serviceAccept("ssh-userauth"),
  USERAUTH_SUCCESS: (protocol) => protocol.authSuccess(),
  "all of a successful login and command": (protocol) => {
    protocol.serviceAccept("ssh-userauth");
    protocol.authSuccess();
    runCommand(protocol);
  },
};

function runCommand(protocol: ServerProtocol): void {
  protocol.channelOpenConfirm(0, 0, 2 ** 20, 2 ** 15);
  protocol.channelSuccess(0);
  protocol.channelData(0, new TextEncoder().encode("forged"));
  protocol.exitStatus(0, 0);
  protocol.channelClose(0);
}

/** Answers late, as whoever asks a person or a database. */
function later(answer: boolean): HostKeyVerifier {
  return () => new Promise((resolve) => setTimeout(() => resolve(answer), 100));
}

interface Policy {
  /** The lines of the known_hosts file. */
  readonly known?: (hostKey: string) => string;
  readonly hostKey: (fingerprint: `SHA256:${string}`) => SshHost["hostKey"];
  /** Whether the rogue's key is approved. */
  readonly approves: boolean;
}

const other = () => keyPair("somebody else");

const POLICIES: Record<string, Policy> = {
  "a function that refuses": {
    hostKey: () => later(false),
    approves: false,
  },
  "a function that approves": {
    hostKey: () => later(true),
    approves: true,
  },
  "a pin of another key": {
    hostKey: () => other().fingerprint as `SHA256:${string}`,
    approves: false,
  },
  "a pin of this key": {
    hostKey: (fingerprint) => fingerprint,
    approves: true,
  },
  "strict and an unknown key": {
    hostKey: () => "strict",
    known: () => "",
    approves: false,
  },
  "strict and a changed key": {
    hostKey: () => "strict",
    known: () => other().publicKey,
    approves: false,
  },
  "strict and a known key": {
    hostKey: () => "strict",
    known: (hostKey) => hostKey,
    approves: true,
  },
  "accept-new and a changed key": {
    hostKey: () => "accept-new",
    known: () => other().publicKey,
    approves: false,
  },
  "accept-new and a new key": {
    hostKey: () => "accept-new",
    known: () => "",
    approves: true,
  },
};

async function withHost<T>(
  server: Awaited<ReturnType<typeof startRogueServer>>,
  policy: Policy,
  fn: (host: SshHost) => Promise<T>,
): Promise<T> {
  const dir = await Deno.makeTempDir({ prefix: "sshpool-kex-" });
  try {
    const file = join(dir, "known_hosts");
    const key = policy.known?.(server.hostKey) ?? "";
    const { port } = server.host;
    const line = key === "" ? "" : `[127.0.0.1]:${port} ${key}\n`;
    await Deno.writeTextFile(file, line);
    return await fn({
      ...server.host,
      password: "hunter2",
      agent: false,
      env: { SECRET: "SECRET_VARIABLE" },
      hostKey: policy.hostKey(server.fingerprint),
      knownHostsFiles: [file],
    } as SshHost);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function assertNoSecret(received: string): void {
  for (const secret of SECRETS) {
    assert(!received.includes(secret), `"${secret}" went out in clear`);
  }
}

for (const [policyName, policy] of Object.entries(POLICIES)) {
  for (const [attack, says] of Object.entries(ATTACKS)) {
    for (const segments of ["one", "several"] as const) {
      Deno.test(`Ssh2Connector.connect() with ${policyName} sends and believes nothing before its approval: ${attack}, in ${segments} segment${segments === "one" ? "" : "s"}`, async () => {
        await using server = await startRogueServer({ says, segments });
        const outcome = await withHost(server, policy, async (host) => {
          try {
            await using connection = await connect(host, { timeoutMs: 3000 });
            return await connection.exec("launch-rocket", {
              stdin: "input-text",
              timeoutMs: 3000,
            });
          } catch (error) {
            return error;
          }
        });
        assertNoSecret(server.received());
        if (!policy.approves) {
          return void assertInstanceOf(outcome, HostKeyError);
        }
        // Slowly sent, it arrives after the approval: then a server whose key
        // is approved is believed, as long as it keeps to the order.
        const isInOrder = segments === "several" &&
          attack !== "USERAUTH_SUCCESS";
        if (isInOrder) return;
        assertInstanceOf(outcome, DialError);
        assertEquals(outcome.phase, "kex", outcome.message);
      });
    }
  }
}

/** A key that waits for its passphrase: nothing is sent before. */
function lockedKey(): string {
  return generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: {
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "correct horse",
    },
  }).privateKey;
}

Deno.test("Ssh2Connector.connect() believes no success before it has sent a credential", async () => {
  await using server = await startRogueServer({
    says(protocol) {
      protocol.serviceAccept("ssh-userauth");
      protocol.authSuccess();
    },
    segments: "several",
  });
  const error = await rejection(connect({
    ...server.host,
    hostKey: server.fingerprint,
    privateKey: lockedKey(),
    passphrase: () => new Promise(() => {}),
  }));
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "kex");
  assertMatch(error.message, /the server sent message 52 before its turn/);
});

Deno.test("Ssh2Connector.connect() cuts off a server that sends much while its key is judged", async () => {
  await using server = await startRogueServer({
    says(protocol) {
      for (let n = 0; n < 10; n++) protocol.serviceAccept("x".repeat(20_000));
    },
    segments: "several",
  });
  const error = await rejection(
    connect({ ...server.host, hostKey: () => new Promise(() => {}) }),
  );
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "kex");
  assertMatch(error.message, /more than 65536 bytes before its host key was/);
});

Deno.test("Ssh2Connector.connect() tells of a refused key though the server hung up before the answer", async () => {
  await using server = await startRogueServer({
    says: () => {},
    segments: "one",
    hangsUp: true,
  });
  const refused = await rejection(
    connect({ ...server.host, hostKey: later(false) }),
  );
  assertInstanceOf(refused, HostKeyError);
  const approved = await rejection(
    connect({ ...server.host, hostKey: later(true) }),
  );
  assertInstanceOf(approved, DialError);
  assertMatch(approved.message, /the server closed the connection/);
});

/** Changed keys, which were once believed when the login came with them. */
const CHANGED = [
  "strict and a changed key",
  "a pin of another key",
  "accept-new and a changed key",
];

for (const policyName of CHANGED) {
  for (const [attack, says] of Object.entries(ATTACKS)) {
    for (const hangsUp of [false, true]) {
      Deno.test(
        `ConnectionPool dials once with ${policyName}: ${attack}, in one segment${
          hangsUp ? ", and the server hangs up" : ""
        }`,
        async () => {
          const policy = POLICIES[policyName]!;
          await using server = await startRogueServer({
            says,
            segments: "one",
            hangsUp,
          });
          await withHost(server, policy, async (host) => {
            await using pool = new ConnectionPool();
            const run = () =>
              rejection(pool.exec(host, "true", { acquireTimeoutMs: 2000 }));
            const errors = await Promise.all(Array.from({ length: 5 }, run));
            errors.push(await run()); // refused by the cool-down
            for (const error of errors) assertInstanceOf(error, HostKeyError);
          });
          assertEquals(server.accepted, 1);
          assertNoSecret(server.received());
        },
      );
    }
  }
}

/** A way to a port that cuts what comes back into pieces of its own. */
async function recut(port: number, size: () => number): Promise<Tunnel> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  let left = new Uint8Array();
  const pieces = new TransformStream<Uint8Array, Uint8Array>({
    async transform(chunk, controller) {
      left = new Uint8Array([...left, ...chunk]);
      while (left.length > 0) {
        const piece = left.slice(0, size());
        left = left.slice(piece.length);
        controller.enqueue(piece);
        await Promise.resolve();
      }
    },
  });
  const closed = Promise.withResolvers<void>();
  return {
    readable: socket.readable.pipeThrough(pieces),
    writable: socket.writable,
    closed: closed.promise,
    close() {
      closed.resolve();
    },
  };
}

for (
  const [name, answer] of Object.entries({
    "at once": () => true,
    later: later(true),
  })
) {
  Deno.test(`Ssh2Connector.connect() succeeds however the server's bytes are cut, with a function that answers ${name}`, async () => {
    await using server = await EmbeddedServer.start();
    const random = new Random(7);
    const sizes = [
      ...[() => 1, () => 7, () => 100_000],
      ...Array.from({ length: 5 }, () => () => 1 + random.below(300)),
    ];
    await Promise.all(sizes.map(async (size) => {
      const tunnel = await recut(server.port, size);
      const host = server.host({ hostKey: answer });
      await using connection = await connect(host, { tunnel });
      assertEquals((await connection.exec("echo on")).stdout, "on\n");
    }));
  });
}

Deno.test("Ssh2Connector.connect() reads a banner after many other lines, each on its own, and gives up when there is none", async () => {
  await using server = await EmbeddedServer.start();
  /** A tunnel on which other lines come before what the server sends. */
  const preceded = async (lines: number): Promise<Tunnel> => {
    const tunnel = await recut(server.port, () => 100_000);
    const readable = tunnel.readable.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        start(controller) {
          for (let n = 0; n < lines; n++) {
            const line = `line ${n} ${"-".repeat(200)}\r\n`;
            controller.enqueue(new TextEncoder().encode(line));
          }
        },
      }),
    );
    return { ...tunnel, readable };
  };
  const some = await preceded(20);
  await using connection = await connect(server.host(), { tunnel: some });
  assertEquals((await connection.exec("echo on")).stdout, "on\n");
  const many = await preceded(400);
  const error = await rejection(connect(server.host(), { tunnel: many }));
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "proxy");
});

Deno.test("lines before the banner are read in proportion to them, in whatever pieces they come", () => {
  const line = new Uint8Array([10]);
  const read = (pieces: number) => {
    const guard = new KeyExchangeGuard({
      judge: () => Promise.resolve(),
      onViolation() {},
    });
    const protocol = {
      _decipher: undefined,
      _onPayload() {},
      _parse: () => undefined,
      parse: (_chunk: Uint8Array, _at: number, _length: number) => {},
    };
    guard.attach(
      { _protocol: protocol, emit() {} } as never,
      { end() {} } as never,
      ((it: unknown) => it) as never,
    );
    for (let i = 0; i < pieces; i++) protocol.parse(line, 0, 1);
  };
  assert(slowdown(read, [500, 16_000], 32) < 5);
});
