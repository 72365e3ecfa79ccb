/**
 * The server's side of SOCKS: version 5 (RFC 1928) without authentication, and
 * 4 and 4a, as `ssh -D` speaks them. The command is CONNECT in all three.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Tunnel } from "../connector.ts";
import { ChannelOpenError } from "../errors.ts";
import { parseTarget, type TcpTarget } from "../host/target.ts";
import { SocketReader } from "./_socket_reader.ts";
import { ForwardError } from "./errors.ts";

const V4 = 4;
const V5 = 5;
const NO_AUTHENTICATION = 0;
const CONNECT = 1;
const IPV4 = 1;
const DOMAIN = 3;
const IPV6 = 4;

/**
 * The most bytes of a user id, and of a name, of version 4, which has no
 * lengths. A name of version 5 cannot be longer either.
 */
const MAX_TEXT_BYTES = 255;

/** The codes of a reply of version 5. */
const REPLY = {
  succeeded: 0,
  failed: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
} as const;

/** Those of version 4: it has no reasons. */
const GRANTED = 90;
const REJECTED = 91;

/** What a client asks for. */
interface SocksRequest {
  readonly target: TcpTarget;
  /** The answer, by the code of version 5. */
  readonly reply: (code: number) => Uint8Array;
}

/** The answer to a client before its connection is closed. */
class Refusal extends ForwardError {
  readonly reply: Uint8Array | undefined;

  constructor(why: string, reply?: Uint8Array, cause?: unknown) {
    super(
      `Cannot serve the SOCKS client: ${why}`,
      cause === undefined ? {} : { cause },
    );
    this.reply = reply;
  }
}

/** How a SOCKS client is served. */
export interface SocksOptions {
  /** How long a client may take to say where to, in milliseconds. */
  readonly handshakeTimeoutMs: number;
  /** Opens a tunnel to where it wants to go. */
  open(target: TcpTarget): Promise<Tunnel>;
}

/**
 * Serves one client up to the reply that its connection is open.
 *
 * @param client Its socket.
 * @param options The time limit and the opener.
 * @returns The tunnel to the target.
 * @throws {ForwardError} If the client does not speak SOCKS; it has been told
 * where the protocol has an answer, and its socket is ended.
 */
export async function serveSocks(
  client: Socket,
  options: SocksOptions,
): Promise<Tunnel> {
  let request: SocksRequest | undefined;
  try {
    request = await handshake(client, options.handshakeTimeoutMs);
    const tunnel = await options.open(request.target);
    client.write(request.reply(REPLY.succeeded));
    return tunnel;
  } catch (error) {
    const answer = error instanceof Refusal
      ? error.reply
      : request?.reply(replyCode(error));
    if (answer !== undefined && client.writable) client.end(answer);
    throw error;
  }
}

async function handshake(
  client: Socket,
  timeoutMs: number,
): Promise<SocksRequest> {
  const reader = new SocketReader(client);
  const timer = setTimeout(
    () =>
      reader.fail(
        new Refusal(`it did not say where to within ${timeoutMs} ms`),
      ),
    timeoutMs,
  );
  try {
    const [version] = await reader.take(1);
    if (version === V4) return await readRequest4(reader);
    if (version !== V5) {
      throw new Refusal(`its version is ${version}, must be ${V4} or ${V5}`);
    }
    await chooseMethod(reader, client);
    return await readRequest5(reader);
  } finally {
    clearTimeout(timer);
    reader.release();
  }
}

async function chooseMethod(
  reader: SocketReader,
  client: Socket,
): Promise<void> {
  const [count = 0] = await reader.take(1);
  const methods = await reader.take(count);
  if (!methods.includes(NO_AUTHENTICATION)) {
    throw new Refusal(
      "it asks for authentication, which there is none of",
      Uint8Array.of(V5, 0xff),
    );
  }
  client.write(Uint8Array.of(V5, NO_AUTHENTICATION));
}

async function readRequest5(reader: SocketReader): Promise<SocksRequest> {
  const [version, command, , type] = await reader.take(4);
  if (version !== V5) {
    throw new Refusal(
      `the version of its request is ${version}, must be ${V5}`,
      reply5(REPLY.failed),
    );
  }
  const hostname = await readAddress(reader, type);
  const port = (await reader.take(2)).readUInt16BE(0);
  checkCommand(command, reply5);
  return { target: targetOf(hostname, port, reply5), reply: reply5 };
}

async function readRequest4(reader: SocketReader): Promise<SocksRequest> {
  const [command] = await reader.take(1);
  const port = (await reader.take(2)).readUInt16BE(0);
  const address = await reader.take(4);
  // Who asks is of no use: all who reach the port may use it.
  await readText(reader, "user id");
  // Version 4a: an address of 0.0.0.x stands for a name that follows.
  const isNamed = address.readUInt32BE(0) >>> 8 === 0 && address[3] !== 0;
  const hostname = isNamed
    ? await readText(reader, "host name")
    : address.join(".");
  checkCommand(command, reply4);
  return { target: targetOf(hostname, port, reply4), reply: reply4 };
}

/** Reads text up to its zero byte. */
async function readText(reader: SocketReader, what: string): Promise<string> {
  const text = await reader.takeUntil(0, MAX_TEXT_BYTES);
  if (text !== undefined) return text.toString("utf8");
  throw new Refusal(
    `its ${what} has more than ${MAX_TEXT_BYTES} bytes`,
    reply4(REPLY.failed),
  );
}

function checkCommand(
  command: number | undefined,
  reply: SocksRequest["reply"],
): void {
  if (command === CONNECT) return;
  throw new Refusal(
    `its command is ${command}, must be ${CONNECT} (connect)`,
    reply(REPLY.commandNotSupported),
  );
}

function targetOf(
  hostname: string,
  port: number,
  reply: SocksRequest["reply"],
): TcpTarget {
  try {
    return parseTarget({ hostname, port }) as TcpTarget;
  } catch (cause) {
    throw new Refusal(
      "it asks for a target that is none",
      reply(REPLY.hostUnreachable),
      cause,
    );
  }
}

async function readAddress(
  reader: SocketReader,
  type: number | undefined,
): Promise<string> {
  switch (type) {
    case IPV4:
      return (await reader.take(4)).join(".");
    case IPV6: {
      const bytes = await reader.take(16);
      const groups = Array.from(
        { length: 8 },
        (_, i) => bytes.readUInt16BE(2 * i).toString(16),
      );
      return groups.join(":");
    }
    case DOMAIN: {
      const [length = 0] = await reader.take(1);
      return (await reader.take(length)).toString("utf8");
    }
  }
  throw new Refusal(
    `its address type is ${type}, must be ${IPV4}, ${DOMAIN} or ${IPV6}`,
    reply5(REPLY.addressTypeNotSupported),
  );
}

/** The address that is bound is not known here: RFC 1928 then has zeros. */
function reply5(code: number): Buffer {
  return Buffer.from([V5, code, 0, IPV4, 0, 0, 0, 0, 0, 0]);
}

/** Its first byte is 0, and its address is for BIND alone. */
function reply4(code: number): Buffer {
  const answer = code === REPLY.succeeded ? GRANTED : REJECTED;
  return Buffer.from([0, answer, 0, 0, 0, 0, 0, 0]);
}

/** Says what the server said, in the words of SOCKS. */
function replyCode(error: unknown): number {
  if (!(error instanceof ChannelOpenError)) return REPLY.failed;
  if (error.reason === 1) return REPLY.notAllowed;
  if (error.reason !== 2) return REPLY.failed;
  // OpenSSH says why in the words of its system; nobody else says more.
  const why = /reason 2: (.*)$/s.exec(error.message)?.[1] ?? "";
  if (/network/i.test(why)) return REPLY.networkUnreachable;
  if (/route|host|name|timed out/i.test(why)) return REPLY.hostUnreachable;
  return REPLY.refused;
}
