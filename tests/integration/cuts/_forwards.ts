/**
 * Tunnels and forwards, cut: what did not come through as a whole must not look
 * as if it had.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import type { Forward, ForwardOptions } from "../../../mod.ts";
import { pause } from "../../pool/_faults_kit.ts";
import { pieces, readAll } from "./_commands.ts";
import { type Cell, must, type Verb } from "./_kit.ts";
import { isPayload, PAYLOAD, PAYLOAD_HASH } from "./_site.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What is asked of the target. */
type Ask = "GET" | "PUT";

/** Checks what came of it, if it ended in order. */
function mustBeAnswer(ask: Ask, answer: Uint8Array): void {
  if (ask === "PUT") {
    must(decoder.decode(answer) === PAYLOAD_HASH, "another hash");
  } else must(isPayload(answer), `${answer.length} of ${PAYLOAD.length} bytes`);
}

function tunnel(ask: Ask): Verb {
  return {
    name: `connect, ${ask}`,
    async run({ pool, host, site, id }) {
      const to = `127.0.0.1:${site.target.port}`;
      await using tunnel = await pool.connect(host, to);
      const answer = readAll(tunnel.readable);
      answer.catch(() => {});
      const writer = tunnel.writable.getWriter();
      await writer.write(encoder.encode(`${ask} ${id}\n`));
      if (ask === "PUT") {
        for (const piece of pieces()) await writer.write(piece);
        await writer.close();
      }
      mustBeAnswer(ask, await answer);
    },
  };
}

/** How a forward of each kind is set up, and how its client begins. */
const KINDS: Record<
  ForwardOptions["type"],
  (cell: Cell) => { options: ForwardOptions; greeting?: Uint8Array }
> = {
  local: ({ site }) => ({
    options: {
      type: "local",
      listen: 0,
      to: `127.0.0.1:${site.target.port}`,
    },
  }),
  remote: ({ site }) => ({
    options: {
      type: "remote",
      listen: 0,
      to: `127.0.0.1:${site.target.port}`,
    },
  }),
  dynamic: ({ site }) => ({
    options: { type: "dynamic", listen: 0 },
    greeting: socksGreeting(site.target.port),
  }),
};

/** SOCKS5: no authentication, connect to a port of 127.0.0.1. */
function socksGreeting(port: number): Uint8Array {
  const connectTo = [5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 0xff];
  return Uint8Array.of(5, 1, 0, ...connectTo);
}

/** What the proxy answers if all is well: its length, and where it says so. */
const SOCKS_ANSWER_BYTES = 12;
const SOCKS_STATUS_AT = 3;

/** So often a client of a remote forward connects, in 50 ms each at least. */
const MOST_ATTEMPTS = 100;

function forward(type: ForwardOptions["type"], ask: Ask): Verb {
  return {
    name: `forward ${type}, ${ask}`,
    async run(cell) {
      const { promise: failed, reject: onError } = Promise.withResolvers<
        never
      >();
      failed.catch(() => {});
      const { options, greeting } = KINDS[type](cell);
      await using forward = await cell.pool.forward(cell.host, {
        ...options,
        onError,
      });
      for (let attempt = 1;; attempt++) {
        using client = new Client(forward, { ask, id: cell.id, greeting });
        const { isWhole, inOrder, answer } = await Promise.race([
          client.ended,
          failed,
        ]);
        if (isWhole) return;
        if (type === "remote") {
          // Both sides had ended, and only the answer was still on its way.
          const received = cell.site.target.received.get(cell.id);
          if (received?.inOrder && isPayload(received.bytes)) return;
          // Where each new connection is cut, it tries again for ever.
          if (attempt === MOST_ATTEMPTS) return;
          // The host resets nothing, and may not have told of the connection.
          await Promise.race([pause(50), failed]);
          continue;
        }
        // The forward tells why.
        if (!inOrder) await failed;
        mustBeAnswer(ask, answer);
      }
    },
    faults({ site, id }) {
      // At the end of a remote forward only: elsewhere it is the host's doing.
      const received = site.target.received.get(id);
      const isHalf = type === "remote" && received?.inOrder &&
        !isPayload(received.bytes);
      return Promise.resolve(
        isHalf
          ? [`the target got ${received.bytes.length} bytes, in order`]
          : [],
      );
    },
  };
}

/** How a client ended. */
interface End {
  /** With an end of file, and not with a reset or a refusal. */
  readonly inOrder: boolean;
  readonly answer: Uint8Array;
  readonly isWhole: boolean;
}

/** A client of a forward, which asks and reads the answer. */
class Client implements Disposable {
  readonly ended: Promise<End>;
  readonly #socket: Socket;

  constructor(
    { address }: Forward,
    { ask, id, greeting }: {
      readonly ask: Ask;
      readonly id: string;
      readonly greeting?: Uint8Array | undefined;
    },
  ) {
    must("port" in address, "no port");
    const socket = connect({
      host: "127.0.0.1",
      port: address.port,
      allowHalfOpen: true,
    });
    this.#socket = socket;
    const chunks: Uint8Array[] = [];
    const skip = greeting === undefined ? 0 : SOCKS_ANSWER_BYTES;
    this.ended = new Promise((resolve) => {
      const end = (inOrder: boolean) => {
        const answer = new Uint8Array(Buffer.concat(chunks).subarray(skip));
        const isWhole = ask === "GET"
          ? isPayload(answer)
          : decoder.decode(answer) === PAYLOAD_HASH;
        // What a SOCKS client is told is as good as a reset.
        const isRefused = greeting !== undefined &&
          Buffer.concat(chunks)[SOCKS_STATUS_AT] !== 0;
        resolve({ inOrder: inOrder && !isRefused, answer, isWhole });
      };
      socket.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      socket.on("end", () => {
        end(true);
        socket.end();
      });
      socket.on("error", () => {});
      socket.on("close", () => end(false));
    });
    if (greeting !== undefined) socket.write(greeting);
    socket.write(`${ask} ${id}\n`);
    if (ask === "PUT") socket.end(PAYLOAD);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** The verbs of this file. */
export const forwardVerbs: Verb[] = [
  tunnel("GET"),
  tunnel("PUT"),
  forward("local", "GET"),
  forward("local", "PUT"),
  forward("dynamic", "GET"),
  forward("remote", "GET"),
  forward("remote", "PUT"),
];
