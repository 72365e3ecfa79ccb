/**
 * Remote forwards: the server listens, and opens a channel for each connection.
 *
 * @module
 */

import { onAbort } from "../abort.ts";
import type { RemoteListener, Tunnel } from "../connector.ts";
import { ForwardError } from "../forward/errors.ts";
import { type ForwardTarget, targetName } from "../host/target.ts";
import type { Lost } from "./_lost.ts";
import type { Admit } from "./_channel_offers.ts";
import type { ChannelTable } from "./_channel_table.ts";
import { ProtocolViolation } from "./packet_transport.ts";
import { acceptTunnel } from "./_tunnel.ts";
import type { MessageReader, WireField } from "./_wire.ts";

/** How long a server may take to answer a request, in milliseconds. */
const ANSWER_TIMEOUT_MS = 15_000;

const MAX_PORT = 65_535;

/** What remote forwards need of their connection. */
export interface RemoteForwardContext {
  readonly table: ChannelTable;
  /** The name of the host, for messages. */
  readonly host: string;
  readonly lost: Lost;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<unknown>;
}

type OnConnection = (tunnel: Tunnel) => void;

/** The remote forwards of one connection. */
export class RemoteForwards {
  readonly #context: RemoteForwardContext;
  /** By address, as the server names it in the channels that it opens. */
  readonly #listeners = new Map<string, OnConnection>();
  /** Called when the connection ends. A `then()` for each would never go away. */
  readonly #whenClosed = new Set<() => void>();
  #isClosed = false;

  constructor(context: RemoteForwardContext) {
    this.#context = context;
    context.closed.then(() => {
      this.#isClosed = true;
      for (const callback of this.#whenClosed) callback();
    });
    const { table } = context;
    table.offers.accept("forwarded-tcpip", (fields) => {
      const hostname = fields.string();
      return this.#admit({ hostname, port: fields.uint32() });
    });
    table.offers.accept(
      "forwarded-streamlocal@openssh.com",
      (fields) => this.#admit({ path: fields.string() }),
    );
  }

  #admit(address: ForwardTarget): Admit | undefined {
    const onConnection = this.#listeners.get(keyOf(address));
    // A connection that crossed our request to stop.
    if (onConnection === undefined) return undefined;
    return (take) => {
      const tunnel = acceptTunnel(take, this.#context.lost);
      try {
        onConnection(tunnel);
      } catch {
        tunnel.close();
      }
    };
  }

  /** Asks the server to listen. */
  async listen(
    listen: ForwardTarget,
    onConnection: OnConnection,
    signal: AbortSignal | undefined,
  ): Promise<RemoteListener> {
    signal?.throwIfAborted();
    const { table } = this.#context;
    table.socketRef.take();
    try {
      const port = await this.#ask(listen, "listen", {
        signal,
        // Nobody waits any more: the server must not go on listening.
        late: (port) => void this.#cancel(withPort(listen, port)),
        // In the turn of the answer: the first connection may follow at once.
        granted: (port) =>
          this.#listeners.set(keyOf(withPort(listen, port)), onConnection),
      });
      const address = withPort(listen, port);
      let closing: Promise<void> | undefined;
      let tellClosed!: () => void;
      const ended = new Promise<void>((resolve) => tellClosed = resolve);
      const end = () => {
        forget();
        this.#listeners.delete(keyOf(address));
        table.socketRef.release();
        tellClosed();
      };
      const close = () => closing ??= this.#cancel(address).then(end);
      const forget = this.#onClosed(() =>
        closing ??= Promise.resolve().then(end)
      );
      return { address, closed: ended, close };
    } catch (error) {
      table.socketRef.release();
      throw error;
    }
  }

  /** Calls back when the connection has ended, and never in this turn. */
  #onClosed(callback: () => void): () => void {
    if (this.#isClosed) queueMicrotask(callback);
    else this.#whenClosed.add(callback);
    return () => this.#whenClosed.delete(callback);
  }

  async #cancel(address: ForwardTarget): Promise<void> {
    this.#listeners.delete(keyOf(address));
    try {
      await this.#ask(address, "stop listening");
    } catch {
      // Refused, unanswered or lost: nothing more can be done about it.
    }
  }

  /** Sends a global request; the answers come in order. */
  #ask(
    address: ForwardTarget,
    what: "listen" | "stop listening",
    options: {
      signal?: AbortSignal | undefined;
      granted?(port: number | undefined): void;
      late?(port: number | undefined): void;
    } = {},
  ): Promise<number | undefined> {
    const { host, lost } = this.#context;
    const { signal, granted, late } = options;
    const doing = `${what} on ${JSON.stringify(targetName(address))}`;
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const settle = (then: () => void) => {
        if (isSettled) return;
        isSettled = true;
        clearTimeout(timer);
        stop();
        forget();
        then();
      };
      const fail = (why: string) =>
        settle(() =>
          reject(
            new ForwardError(
              `Cannot ${doing} of ${JSON.stringify(host)}: ${why}`,
              { host },
            ),
          )
        );
      const timer = setTimeout(
        () => fail(`the server did not answer within ${ANSWER_TIMEOUT_MS} ms`),
        ANSWER_TIMEOUT_MS,
      );
      const stop = onAbort(signal, () => settle(() => reject(signal?.reason)));
      const forget = this.#onClosed(() => settle(() => reject(lost(doing))));
      const answer = (reply: MessageReader | undefined) => {
        const port = reply && chosenPort(address, what, reply);
        if (isSettled) {
          if (reply) late?.(port);
          return;
        }
        if (!reply) return fail("the server refused");
        granted?.(port);
        settle(() => resolve(port));
      };
      const [name, ...fields] = requestOf(address, what);
      this.#context.table.globals.ask(name, fields, answer);
    });
  }
}

/** The port that the server chose, if it was to choose one. */
function chosenPort(
  address: ForwardTarget,
  what: string,
  reply: MessageReader,
): number | undefined {
  if (what !== "listen" || "path" in address || address.port !== 0) {
    return undefined;
  }
  const port = reply.uint32();
  if (port > 0 && port <= MAX_PORT) return port;
  throw new ProtocolViolation(`the server listens on port ${port}`);
}

/** The name of a request, and its fields. */
function requestOf(
  address: ForwardTarget,
  what: string,
): [string, ...WireField[]] {
  const cancel = what === "listen" ? "" : "cancel-";
  if ("path" in address) {
    return [`${cancel}streamlocal-forward@openssh.com`, address.path];
  }
  return [`${cancel}tcpip-forward`, address.hostname, address.port];
}

/** The address, with the port that the server chose. */
function withPort(
  address: ForwardTarget,
  port: number | undefined,
): ForwardTarget {
  if ("path" in address || port === undefined) return address;
  return { hostname: address.hostname, port };
}

function keyOf(address: ForwardTarget): string {
  return JSON.stringify(
    "path" in address ? [address.path] : [address.hostname, address.port],
  );
}
