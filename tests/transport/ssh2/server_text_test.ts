/** What a hostile server says is never printed as it is. */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
// @ts-types="@types/ssh2"
import ssh2, { type AuthContext, type Connection as Peer } from "ssh2";
import type {
  Connection,
  ConnectOptions,
} from "../../../transport/connector.ts";
import {
  AuthenticationError,
  ChannelOpenError,
  ConnectionLostError,
  DialError,
} from "../../../transport/errors.ts";
import type { ResolvedHost } from "../../../transport/host/host.ts";
import { Ssh2Connector } from "../../../transport/ssh2/mod.ts";
import { string, uint32 } from "../../../transport/ssh2/_bytes.ts";
import { parseHostKey } from "../../../transport/ssh2/dial/_greeting.ts";
import {
  endCiphers,
  prepareCiphers,
} from "../../../transport/ssh2/cipher/ciphers.ts";
import { keyPair } from "../../../transport/testing/server/_keys.ts";
import {
  serverError,
  serverText,
} from "../../../transport/session/server_text.ts";

/** Sets the title of a terminal, colours it, turns text around, forges a log. */
const EVIL = `x\x1b]0;owned\x07\x9b31m\u202e\u2028\r\nFAKE LOG LINE${
  "A".repeat(9_000)
}END`;
// deno-lint-ignore no-control-regex -- exactly these are what must not appear
const UNSAFE = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]/;

/** Checks a text of a message or a field. */
function assertSafe(what: string, text: string): void {
  assert(!UNSAFE.test(text), `${what}: ${JSON.stringify(text.slice(0, 300))}`);
  assert(text.length < 3_000, `${what} has ${text.length} characters`);
}

/** Checks an error and its causes, and that there is something to check. */
function assertSafeError(error: unknown): void {
  let seen = false;
  for (let e = error; e instanceof Error; e = e.cause) {
    assertSafe(e.name, e.message);
    seen ||= e.message.includes("owned");
    const stack = e.stack ?? "";
    assert(!stack.includes("\x1b") && !stack.includes("\nFAKE"), stack);
  }
  assert(seen, `The server's text is missing in ${error}`);
}

/** The parts of ssh2's server that let it send what it should not. */
interface Protocol {
  readonly _packetRW: {
    readonly write: {
      readonly allocStart: number;
      alloc(length: number): Buffer;
      finalize(packet: Buffer): Buffer;
    };
  };
  readonly _cipher: { encrypt(packet: Buffer): void };
  channelOpenFail(id: number, reason: number, text: string): void;
}

function protocolOf(peer: Peer): Protocol {
  return (peer as unknown as { _protocol: Protocol })._protocol;
}

function send(peer: Peer, payload: Buffer): void {
  const protocol = protocolOf(peer);
  const writer = protocol._packetRW.write;
  const packet = writer.alloc(payload.length);
  payload.copy(packet, writer.allocStart);
  protocol._cipher.encrypt(writer.finalize(packet));
}

const disconnect = () =>
  Buffer.concat([Buffer.of(1), uint32(2), string(EVIL), string("")]);

function exitSignal(channel: object): Buffer {
  const { outgoing } = channel as { outgoing: { id: number } };
  return Buffer.concat([
    ...[Buffer.of(98), uint32(outgoing.id), string("exit-signal")],
    ...[Buffer.of(0), string(EVIL), Buffer.of(0), string(EVIL)],
    string(""),
  ]);
}

interface Behaviour {
  readonly authenticate?: (context: AuthContext, peer: Peer) => void;
  readonly onReady?: (peer: Peer) => void;
}

async function hostileServer(
  { authenticate, onReady }: Behaviour,
): Promise<AsyncDisposable & { host: ResolvedHost }> {
  await prepareCiphers();
  const peers = new Set<Peer>();
  const hostKeys = [keyPair("hostile").privateKey];
  const server = new ssh2.Server({ hostKeys }, (peer) => {
    endCiphers(protocolOf(peer));
    peers.add(peer);
    peer.on(
      "authentication",
      (context) =>
        authenticate === undefined
          ? context.accept()
          : authenticate(context, peer),
    );
    peer.on("ready", () => onReady?.(peer));
    peer.on("error", () => {});
    peer.on("close", () => peers.delete(peer));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  return {
    host: hostAt(port),
    async [Symbol.asyncDispose]() {
      for (const peer of peers) peer.end();
      await new Promise<void>((done) => server.close(() => done()));
    },
  };
}

function hostAt(port: number): ResolvedHost {
  return {
    hostname: "127.0.0.1",
    port,
    user: "ops",
    password: "x",
    hostKey: "insecure-accept-any",
  };
}

function connect(
  host: ResolvedHost,
  options: ConnectOptions = {},
): Promise<Connection> {
  return new Ssh2Connector().connect(host, {
    timeoutMs: 10_000,
    onNotice: ({ message }) => assertSafe("a notice", message),
    ...options,
  });
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not fail");
}

Deno.test("serverText() and serverError() escape controls and cap the length", () => {
  assertEquals(
    serverText("a\x1b[1m\x85\u202eb\n"),
    "a\\x1b[1m\\x85\\u202eb\\x0a",
  );
  assertEquals(serverText("abcdef", 3), "abc…");
  const error = serverError(new Error("bad\r\nstuff"));
  assertEquals(error.message, "bad\\x0d\\x0astuff");
  assertEquals(error.stack?.split("\n")[0], "Error: bad\\x0d\\x0astuff");
  const fine = new Error("fine");
  const { stack } = fine;
  assertEquals(serverError(fine).stack, stack);
});

Deno.test("Ssh2Connector escapes what a server says before its banner", async () => {
  const server = createServer((socket: Socket) => {
    socket.on("error", () => {});
    socket.resume();
    socket.end(Buffer.from(`x\x1b]0;owned\x07\x9b\u202e\r\nFAKE LOG\r\n`));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  const error = await failure(connect(hostAt(port)));
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "banner");
  assertSafeError(error);
  await new Promise<void>((done) => server.close(() => done()));
});

Deno.test("Ssh2Connector escapes the DISCONNECT of a login", async () => {
  await using server = await hostileServer({
    authenticate: (_, peer) => send(peer, disconnect()),
  });
  assertSafeError(await failure(connect(server.host)));
});

Deno.test("Ssh2Connector escapes the names of methods that a server offers", async () => {
  await using server = await hostileServer({
    authenticate: (context) =>
      context.reject(
        Array.from({ length: 40 }, (_, i) =>
          `${EVIL.slice(0, 700)}${i}`) as never,
      ),
  });
  const error = await failure(connect(server.host));
  assertInstanceOf(error, AuthenticationError);
  assertSafeError(error);
  assert(error.offered.length > 0 && error.offered.length <= 16);
  for (const method of error.offered) assertSafe("a method", method);
});

Deno.test("ChannelConnection escapes the refusal of a channel", async () => {
  await using server = await hostileServer({
    onReady: (peer) =>
      peer.on("session", (_accept, reject) => {
        const protocol = protocolOf(peer);
        const { channelOpenFail } = protocol;
        protocol.channelOpenFail = (id, _reason, _text) =>
          channelOpenFail.call(protocol, id, 1, EVIL);
        reject();
      }),
  });
  await using connection = await connect(server.host);
  for (const call of [connection.exec("true"), connection.spawn("true")]) {
    const error = await failure(call);
    assertInstanceOf(error, ChannelOpenError);
    assertSafeError(error);
  }
});

Deno.test("ChannelConnection escapes the name of a signal", async () => {
  await using server = await hostileServer({
    onReady: (peer) =>
      peer.on("session", (accept) =>
        accept().on("exec", (acceptExec) => {
          const channel = acceptExec();
          send(peer, exitSignal(channel));
          channel.end();
        })),
  });
  await using connection = await connect(server.host);
  const { signal } = await connection.exec("true");
  assertSafe("a signal", signal ?? "");
  assert(signal?.startsWith("x\\x1b]0;owned") && signal.length < 120, signal!);
  const process = await connection.spawn("true");
  assertEquals((await process.output()).signal, signal);
});

Deno.test("ChannelConnection escapes the DISCONNECT that ends it", async () => {
  await using server = await hostileServer({
    onReady: (peer) =>
      peer.on("session", (accept) =>
        accept().on("exec", (acceptExec) => {
          acceptExec();
          send(peer, disconnect());
        })),
  });
  await using connection = await connect(server.host);
  const error = await failure(connection.exec("sleep 9"));
  assertInstanceOf(error, ConnectionLostError);
  assertSafeError(error);
  const reason = await connection.closed;
  assert(reason.kind !== "local");
  assertSafe("the reason", reason.message);
  assertSafeError(await failure(connection.exec("true")));
});

Deno.test("Ssh2Connector escapes what a proxy command writes to standard error", async () => {
  const host = {
    ...hostAt(22),
    proxyCommand: String
      .raw`sh -c 'printf "x\033]0;owned\007\302\233\342\200\256\r\nFAKE LOG" >&2; exit 1'`,
  };
  const error = await failure(connect(host));
  assertInstanceOf(error, DialError);
  assertEquals(error.phase, "proxy");
  assertSafeError(error);
});

Deno.test("parseHostKey() escapes the type of a key", () => {
  const host = hostAt(22);
  const { type } = parseHostKey(host, "h", Buffer.concat([string(EVIL)]));
  assertSafe("a key type", type);
  assert(type.startsWith("x\\x1b]0;owned"), type);
});
