/**
 * A client of the ssh-agent protocol (draft-miller-ssh-agent).
 *
 * ssh2 has one, which leaves out every key that it cannot parse (certificates,
 * security keys), and whose sockets cannot be reached to be closed.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { ByteReader, frame, string, uint32 } from "../_bytes.ts";

const FAILURE = 5;
const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;

/** The longest message that OpenSSH's agent sends or takes, in bytes. */
const MAX_MESSAGE_BYTES = 256 * 1024;

/** Asks RSA keys for a SHA-2 signature; other keys ignore it. */
export const SIGN_FLAGS: Readonly<Record<string, number>> = {
  sha256: 2,
  sha512: 4,
};

/** A key that an agent holds. */
export interface AgentKey {
  /** The public key, or a certificate, in wire format. */
  readonly blob: Buffer;
  /** Its type, such as `ssh-ed25519`. */
  readonly type: string;
  /** What its owner called it. */
  readonly comment: string;
}

/** Talks to the agent that listens on a Unix socket (or a named pipe). */
export class AgentClient {
  readonly #path: string;
  readonly #sockets = new Set<Socket>();
  #disposed = false;

  /** @param path The path of the socket. */
  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Lists the keys of the agent.
   *
   * @param timeoutMs How long the agent may take: one that hangs must not use
   *   up the deadline of the dial while there are other credentials.
   * @returns The keys, in the agent's order.
   */
  async list(timeoutMs: number): Promise<AgentKey[]> {
    const request = Buffer.from([REQUEST_IDENTITIES]);
    const answer = await this.#ask(request, IDENTITIES_ANSWER, timeoutMs);
    const reader = new ByteReader(answer);
    const keys: AgentKey[] = [];
    for (let left = reader.uint32(); left > 0; left--) {
      const blob = reader.string();
      const comment = reader.string().toString();
      keys.push({
        blob,
        comment,
        type: new ByteReader(blob).string().toString(),
      });
    }
    return keys;
  }

  /**
   * Has the agent sign. There is no deadline, since the agent may be asking its
   * owner for consent; {@linkcode dispose} ends the wait.
   *
   * @param blob The public key.
   * @param data What to sign.
   * @param flags One of {@linkcode SIGN_FLAGS}, or 0.
   * @returns The signature in wire format, which begins with its algorithm.
   */
  async sign(blob: Buffer, data: Buffer, flags: number): Promise<Buffer> {
    const request = Buffer.concat([
      Buffer.from([SIGN_REQUEST]),
      string(blob),
      string(data),
      uint32(flags),
    ]);
    return new ByteReader(await this.#ask(request, SIGN_RESPONSE)).string();
  }

  /** Closes every socket; questions without an answer reject. */
  dispose(): void {
    this.#disposed = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  #ask(request: Buffer, expected: number, timeoutMs?: number): Promise<Buffer> {
    if (this.#disposed) {
      return Promise.reject(new Error("The agent is not used any more"));
    }
    return new Promise((resolve, reject) => {
      const socket = connect(this.#path);
      this.#sockets.add(socket);
      const timer = timeoutMs === undefined ? undefined : setTimeout(() => {
        reject(new Error(`The agent did not answer within ${timeoutMs} ms`));
        socket.destroy();
      }, timeoutMs);
      socket.on("error", reject);
      socket.on("close", () => {
        clearTimeout(timer);
        this.#sockets.delete(socket);
        reject(new Error("The agent closed the connection"));
      });
      collectFrame(socket, (message, error) => {
        if (message === undefined) reject(error);
        else if (message[0] === expected) resolve(message.subarray(1));
        else if (message[0] === FAILURE) reject(new Error("The agent refused"));
        else reject(new Error(`The agent answered with message ${message[0]}`));
        socket.destroy();
      });
      socket.write(frame(request));
    });
  }
}

function collectFrame(
  socket: Socket,
  done: (message: Buffer | undefined, error?: Error) => void,
): void {
  let received = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 4) return;
    const length = received.readUInt32BE(0);
    if (length === 0 || length > MAX_MESSAGE_BYTES) {
      done(undefined, new Error(`The agent sent a message of ${length} bytes`));
    } else if (received.length >= 4 + length) {
      done(received.subarray(4, 4 + length));
    }
  });
}
