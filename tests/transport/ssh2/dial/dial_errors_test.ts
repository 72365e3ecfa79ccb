import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { type AddressInfo, createServer, type Socket } from "node:net";
import {
  AuthenticationError,
  DialError,
  HostKeyError,
} from "../../../../transport/errors.ts";
import type { ResolvedHost, SshHost } from "../../../../transport/host/host.ts";
import { Dial } from "../../../../transport/ssh2/dial/dial.ts";
import { HYBRIDS } from "../../../../transport/ssh2/dial/_kem.ts";
import { string, uint32 } from "../../../../transport/ssh2/_bytes.ts";
import { Ssh2Connector } from "../../../../transport/ssh2/mod.ts";
import { EmbeddedServer } from "../../../../transport/testing/mod.ts";
import { startBlackHole } from "../../../kit/black_hole.ts";
import { noSshd, sshdHint, startSshd } from "../../../kit/sshd.ts";
import type { Tunnel } from "../../../../transport/connector.ts";
import { until } from "../../../kit/until.ts";
import { connect, rejection, resolved as resolve } from "../_kit.ts";
import { startPlainServer } from "../_plain_server.ts";

const connector = new Ssh2Connector();
const BANNER = "SSH-2.0-Peer_1.0\r\n";

function resolved(host: SshHost): ResolvedHost {
  return resolve({
    password: "secret-word",
    hostKey: "insecure-accept-any",
    ...host,
  });
}

/** A peer that does what `onSocket` does, and shows what is connected to it. */
async function startPeer(onSocket: (socket: Socket) => void) {
  const all: Socket[] = [];
  const open = new Set<Socket>();
  // Half open: a peer that does not hang up because we do.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    all.push(socket);
    open.add(socket);
    socket.on("error", () => {});
    for (const event of ["end", "close"]) {
      socket.on(event, () => open.delete(socket));
    }
    socket.resume();
    onSocket(socket);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    host: resolved({
      hostname: "127.0.0.1",
      port: (server.address() as AddressInfo).port,
    }),
    get accepted() {
      return all.length;
    },
    /** Resolves when the client has let go of every socket. */
    left: () => until(() => open.size === 0),
    async [Symbol.asyncDispose]() {
      for (const socket of all) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Dials in vain. */
async function failure(
  host: ResolvedHost,
  options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<DialError> {
  const started = performance.now();
  const error = await connector.connect(host, options).then(
    async (connection) => {
      await connection.close();
      throw new Error("The dial succeeded");
    },
    (error) => error,
  );
  assertInstanceOf(error, DialError);
  // A dial that fails must not wait for its deadline, unless it is that.
  if (error.phase !== "timeout") {
    assert(performance.now() - started < 15_000, error.message);
  }
  assertEquals(error.mayHaveRun, false);
  assert(!error.message.includes("secret-word"), error.message);
  return error;
}

/** Connects until it is let in. */
async function bannerOf(port: number): Promise<Deno.Conn> {
  for (;;) {
    const socket = await Deno.connect({ hostname: "127.0.0.1", port });
    const first = new Uint8Array(4);
    await socket.read(first);
    if (new TextDecoder().decode(first) === "SSH-") return socket;
    socket.close();
  }
}

const said = (text: string) => (socket: Socket) => void socket.end(text);

Deno.test("Ssh2Connector.connect() names the phase dns for a name that nobody knows", async () => {
  const error = await failure(resolved({ hostname: "no-such-host.invalid" }));
  assertEquals([error.phase, error.throttled], ["dns", false]);
  assertStringIncludes(error.message, "no-such-host.invalid");
});

Deno.test("Ssh2Connector.connect() names the phase tcp for a refused port", async () => {
  const peer = await startPeer(() => {});
  await peer[Symbol.asyncDispose]();
  const error = await failure(peer.host);
  assertEquals([error.phase, error.throttled], ["tcp", false]);
  assertMatch(error.message, /ECONNREFUSED/);
});

Deno.test("Ssh2Connector.connect() sees a server that hangs up while the dial still loads something", async () => {
  await using peer = await startPeer((socket) => socket.end());
  const [hybrid] = HYBRIDS as unknown as { load: () => Promise<unknown> }[];
  const { load } = hybrid!;
  hybrid!.load = async () => {
    await until(() => peer.accepted === 1);
    await peer.left();
    // Our end of it is closed in the turn after.
    await new Promise((resolve) => setTimeout(resolve));
    return await load();
  };
  try {
    const error = await failure(peer.host);
    assertEquals([error.phase, error.throttled], ["banner", true]);
  } finally {
    hybrid!.load = load;
  }
});

Deno.test("Dial.run() ends when its time is up, of which a part was spent before", async () => {
  await using peer = await startPeer(() => {});
  const started = performance.now();
  const dial = new Dial(peer.host, { timeoutMs: 20_000 });
  const error = await dial.run(19_900).catch((error) => error);
  assert(performance.now() - started < 15_000);
  assertEquals(error.phase, "timeout");
  assertMatch(error.message, /no success within 20000 ms/);
  await peer.left();
});

Deno.test("Ssh2Connector.connect() names the phase tcp for a local address that is not ours", async () => {
  await using peer = await startPeer(() => {});
  // An address of the documentation, which no machine has.
  const error = await failure({ ...peer.host, bindAddress: "192.0.2.1" });
  assertEquals(error.phase, "tcp");
  assertEquals(peer.accepted, 0);
});

Deno.test("Ssh2Connector.connect() takes a bare close before the banner for throttling", async () => {
  await using peer = await startPeer((socket) => void socket.end());
  const error = await failure(peer.host);
  assertEquals([error.phase, error.throttled], ["banner", true]);
});

Deno.test("Ssh2Connector.connect() takes a reset before the banner for throttling", async () => {
  await using peer = await startPeer((socket) => void socket.resetAndDestroy());
  const error = await failure(peer.host);
  assertEquals([error.phase, error.throttled], ["banner", true]);
});

for (const text of ["Exceeded MaxStartups", "Not allowed at this time"]) {
  Deno.test(`Ssh2Connector.connect() takes "${text}" for throttling, and quotes it`, async () => {
    await using peer = await startPeer(said(`${text}\r\n`));
    const error = await failure(peer.host);
    assertEquals([error.phase, error.throttled], ["banner", true]);
    assertStringIncludes(error.message, text);
  });
}

Deno.test("Ssh2Connector.connect() does not take another protocol for throttling", async () => {
  await using peer = await startPeer(said("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const error = await failure(peer.host);
  assertEquals([error.phase, error.throttled], ["banner", false]);
  assertStringIncludes(error.message, "HTTP/1.1 400");
});

Deno.test("Ssh2Connector.connect() names the phase kex when the server closes after its banner", async () => {
  await using peer = await startPeer(said(BANNER));
  const error = await failure(peer.host);
  assertEquals([error.phase, error.throttled], ["kex", false]);
});

Deno.test("Ssh2Connector.connect() says what a server says that hangs up before its KEXINIT", async () => {
  await using server = await startPlainServer({
    kex: "curve25519-sha256",
    first: Buffer.concat([
      ...[Buffer.of(1), uint32(12)],
      ...[string("Too many connections"), string("")],
    ]),
  });
  const error = await failure(resolved(server.host));
  assertEquals(error.phase, "kex");
  assertStringIncludes(error.message, "Too many connections");
});

Deno.test("Ssh2Connector.connect() says so when a server begins a key exchange without a KEXINIT", async () => {
  await using server = await startPlainServer({
    kex: "curve25519-sha256",
    first: Buffer.concat([Buffer.of(31), string("key")]),
  });
  const error = await failure(resolved(server.host));
  assertEquals(error.phase, "kex");
  assertStringIncludes(error.message, "sent message 31 before its KEXINIT");
});

for (
  const [name, message] of [
    ["an IGNORE", Buffer.concat([Buffer.of(2), string("")])],
    ["a DEBUG", Buffer.concat([Buffer.of(4, 0), string("hi"), string("")])],
  ] as const
) {
  Deno.test(`Ssh2Connector.connect() passes over ${name} before the KEXINIT`, async () => {
    const wentOn = new AbortController();
    await using server = await startPlainServer({
      kex: "diffie-hellman-group14-sha256",
      first: message,
      answer: ([type]) => {
        if (type === 30) wentOn.abort("it went on");
        return undefined;
      },
    });
    const dial = connector.connect(resolved(server.host), {
      signal: wentOn.signal,
    });
    assertEquals(await rejection(dial), "it went on");
  });
}

Deno.test("Ssh2Connector.connect() gives up on what is no SSH after the banner, though the peer stays", async () => {
  await using peer = await startPeer((socket) => {
    socket.write(`${BANNER}${"garbage ".repeat(64)}`);
  });
  const error = await failure(peer.host);
  assertEquals(error.phase, "kex");
  await peer.left();
});

Deno.test("Ssh2Connector.connect() says that it waits for the banner when none comes", async () => {
  await using peer = await startPeer(() => {});
  const error = await failure(peer.host, { timeoutMs: 150 });
  assertEquals([error.phase, error.throttled], ["timeout", false]);
  assertMatch(error.message, /150 ms.*banner/);
  await peer.left();
});

Deno.test("Ssh2Connector.connect() says that it exchanges keys when the server falls silent", async () => {
  await using peer = await startPeer((socket) => void socket.write(BANNER));
  const error = await failure(peer.host, { timeoutMs: 150 });
  assertMatch(error.message, /150 ms.*exchanging keys/);
  await peer.left();
});

Deno.test("Ssh2Connector.connect() says that it connects when an address answers nothing", async () => {
  await using hole = await startBlackHole();
  const { hostname, port } = hole;
  const error = await failure(resolved({ hostname, port }), {
    timeoutMs: 150,
  });
  assertEquals(error.phase, "timeout");
  assertMatch(error.message, /connecting/);
});

Deno.test("Ssh2Connector.connect() names the phase kex when no algorithm is common", async () => {
  await using server = await EmbeddedServer.start({
    algorithms: { kex: ["ecdh-sha2-nistp521"] },
  });
  const error = await failure(resolved(server.host({
    algorithms: { kex: ["curve25519-sha256"] },
  })));
  assertEquals([error.phase, error.throttled], ["kex", false]);
});

Deno.test("Ssh2Connector.connect() refuses a host key that is not the pinned one", async () => {
  await using server = await EmbeddedServer.start();
  const error = await failure(resolved(server.host({
    hostKey: `SHA256:${"A".repeat(43)}`,
  })));
  assertInstanceOf(error, HostKeyError);
  assertEquals([error.phase, error.reason], ["hostkey", "mismatch"]);
  assertEquals(error.fingerprint, server.hostKeyFingerprint);
});

Deno.test("Ssh2Connector.connect() says that it verifies the host key while a callback thinks", async () => {
  await using server = await EmbeddedServer.start();
  const answer = Promise.withResolvers<boolean>();
  const host = resolved(server.host({ hostKey: () => answer.promise }));
  // The key exchange has to be over by then.
  const error = await failure(host, { timeoutMs: 3_000 });
  assertMatch(error.message, /verifying the host key/);
  // Too late, and nobody is harmed: an unhandled rejection would fail this.
  answer.resolve(true);
  await new Promise((resolve) => setTimeout(resolve));
});

Deno.test("Ssh2Connector.connect() says what was tried when no credential is accepted", async () => {
  await using server = await EmbeddedServer.start({ password: "right" });
  const { privateKey: _, ...host } = server.host();
  const error = await failure(resolved({ ...host, password: "secret-word" }));
  assertInstanceOf(error, AuthenticationError);
  assertEquals(error.phase, "auth");
  assertEquals(error.tried, ["password"]);
});

Deno.test("Ssh2Connector.connect() does not call a server that hangs up amid the login a refusal", async () => {
  await using server = await EmbeddedServer.start({
    keyboardInteractive: { questions: [{ prompt: "Code:", answer: "1" }] },
  });
  const { privateKey: _, ...host } = server.host();
  const { password: _none, ...bare } = resolved(host);
  const error = await failure({
    ...bare,
    keyboardInteractive: () => {
      server.dropAll();
      return new Promise<string[]>(() => {});
    },
  });
  assert(!(error instanceof AuthenticationError), error.message);
  assertEquals(error.phase, "auth");
});

Deno.test("Ssh2Connector.connect() rejects with the reason of an abort, and lets go of the socket", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  await using peer = await startPeer((socket) => {
    socket.write(BANNER);
    controller.abort(reason);
  });
  const dialled = connector.connect(peer.host, { signal: controller.signal });
  assertStrictEquals(await dialled.catch((error) => error), reason);
  await peer.left();
});

Deno.test("Ssh2Connector.connect() does not dial when the signal has already aborted", async () => {
  await using peer = await startPeer(() => {});
  const reason = new Error("enough");
  const dialled = connector.connect(peer.host, {
    signal: AbortSignal.abort(reason),
  });
  assertStrictEquals(await dialled.catch((error) => error), reason);
  assertEquals(peer.accepted, 0);
});

Deno.test("Ssh2Connector.connect() fails at once when a proxy command ends after the banner", async () => {
  const error = await failure(resolved({
    hostname: "db1",
    proxyCommand: `printf '${BANNER.replaceAll("\r\n", "\\r\\n")}'`,
  }));
  assert(error.phase === "kex" || error.phase === "proxy", error.phase);
});

Deno.test("Ssh2Connector.connect() names the phase config for a policy that is none", async () => {
  const error = await connector
    .connect(resolved({ hostname: "db1", hostKey: "sha256" as never }))
    .catch((error) => error);
  assertInstanceOf(error, TypeError);
});

Deno.test({
  name: noSshd
    ? `Ssh2Connector.connect() knows sshd's own throttling (${sshdHint})`
    : "Ssh2Connector.connect() knows sshd's own throttling",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({ maxStartups: "1:100:1" });
    // Whoever has its banner and says nothing holds the one place.
    using _held = await bannerOf(sshd.port);
    const error = await failure(resolved(sshd.host()));
    assertEquals([error.phase, error.throttled], ["banner", true]);
  },
});

/** A tunnel to a server that says this, and hangs up. */
function tunnelThatSays(text: string): Tunnel {
  const closed = Promise.withResolvers<void>();
  return {
    readable: new ReadableStream({
      start(controller) {
        if (text !== "") controller.enqueue(new TextEncoder().encode(text));
        controller.close();
      },
    }),
    writable: new WritableStream(),
    closed: closed.promise,
    close: () => closed.resolve(),
  } as unknown as Tunnel;
}

for (
  const [said, throttled] of [
    ["", true],
    ["Exceeded MaxStartups\r\n", true],
    ["Not allowed at this time\r\n", true],
    ["HTTP/1.1 400 Bad Request\r\n", false],
  ] as const
) {
  Deno.test(`a server behind a hop that says ${JSON.stringify(said)} before its banner is ${throttled ? "" : "not "}dialled again`, async () => {
    const error = await rejection(
      connect({
        hostname: "db1",
        hostKey: "insecure-accept-any",
        password: "x",
      }, {
        tunnel: tunnelThatSays(said),
      }),
    );
    assertInstanceOf(error, DialError);
    assertEquals([error.phase, error.throttled], ["proxy", throttled]);
    assert(error.message.includes(said.trim()), error.message);
  });
}

for (
  const [name, text, throttled] of [
    ["its limit", "Exceeded MaxStartups", true],
    ["another protocol", "HTTP/1.1", false],
  ] as const
) {
  Deno.test({
    name: `a server behind a ProxyCommand that names ${name} is ${
      throttled ? "" : "not "
    }dialled again`,
    ignore: Deno.build.os === "windows",
    async fn() {
      for (const code of [0, 1]) {
        const error = await rejection(connect({
          hostname: "db1",
          hostKey: "insecure-accept-any",
          password: "x",
          proxyCommand: `printf '%s\\r\\n' '${text}'; exit ${code}`,
        }));
        assertInstanceOf(error, DialError);
        assertEquals(error.throttled, throttled, error.message);
        assert(error.message.includes(text), error.message);
      }
    },
  });
}
