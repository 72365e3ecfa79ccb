/**
 * The server's side of SOCKS5 (RFC 1928): no authentication, CONNECT.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Tunnel } from "../connector.ts";
import { ChannelOpenError } from "../errors.ts";
import { parseTarget, type TcpTarget } from "../host/target.ts";
import { ByteReader } from "./_byte_reader.ts";
import { ForwardError } from "./errors.ts";

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const CONNECT = 1;
const IPV4 = 1;
const DOMAIN = 3;
const IPV6 = 4;

/** The codes of a reply. */
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

/** What a client is told before its connection is closed. */
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
 * @throws {ForwardError} If the client does not speak SOCKS5; it has been told
 * where the protocol has an answer, and its socket is ended.
 */
export async function serveSocks(
  client: Socket,
  options: SocksOptions,
): Promise<Tunnel> {
  try {
    const target = await handshake(client, options.handshakeTimeoutMs);
    const tunnel = await options.open(target);
    client.write(reply(REPLY.succeeded));
    return tunnel;
  } catch (error) {
    const answer = error instanceof Refusal
      ? error.reply
      : reply(replyCode(error));
    if (answer !== undefined && client.writable) client.end(answer);
    throw error;
  }
}

async function handshake(
  client: Socket,
  timeoutMs: number,
): Promise<TcpTarget> {
  const reader = new ByteReader(client);
  const timer = setTimeout(
    () =>
      reader.fail(
        new Refusal(`it did not say where to within ${timeoutMs} ms`),
      ),
    timeoutMs,
  );
  try {
    await chooseMethod(reader, client);
    return await readRequest(reader);
  } finally {
    clearTimeout(timer);
    reader.release();
  }
}

async function chooseMethod(reader: ByteReader, client: Socket): Promise<void> {
  const [version, count = 0] = await reader.take(2);
  if (version !== VERSION) {
    throw new Refusal(`its version is ${version}, must be ${VERSION}`);
  }
  const methods = await reader.take(count);
  if (!methods.includes(NO_AUTHENTICATION)) {
    throw new Refusal(
      "it asks for authentication, which there is none of",
      Uint8Array.of(VERSION, 0xff),
    );
  }
  client.write(Uint8Array.of(VERSION, NO_AUTHENTICATION));
}

async function readRequest(reader: ByteReader): Promise<TcpTarget> {
  const [version, command, , type] = await reader.take(4);
  if (version !== VERSION) {
    throw new Refusal(
      `the version of its request is ${version}, must be ${VERSION}`,
      reply(REPLY.failed),
    );
  }
  const hostname = await readAddress(reader, type);
  const port = (await reader.take(2)).readUInt16BE(0);
  if (command !== CONNECT) {
    throw new Refusal(
      `its command is ${command}, must be ${CONNECT} (connect)`,
      reply(REPLY.commandNotSupported),
    );
  }
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
  reader: ByteReader,
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
    reply(REPLY.addressTypeNotSupported),
  );
}

/** The address that is bound is not known here: RFC 1928 then has zeros. */
function reply(code: number): Buffer {
  return Buffer.from([VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]);
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
