/**
 * Remote forwards: the server listens, and opens a channel for each connection.
 *
 * @module
 */

// @ts-types="@types/ssh2"
import type { Client } from "ssh2";
import { onAbort } from "../abort.ts";
import type { RemoteListener, Tunnel } from "../connector.ts";
import { ForwardError } from "../forward/errors.ts";
import { type ForwardTarget, targetName } from "../host/target.ts";
import type { Lost } from "./_channel.ts";
import type { ChannelTable } from "./_channel_table.ts";
import type { RawChannel } from "./fence/internals.ts";
import { acceptTunnel } from "./_tunnel.ts";

/** How long a server may take to answer a request, in milliseconds. */
const ANSWER_TIMEOUT_MS = 15_000;

/** What ssh2 says to those that wait for an answer when a connection ends. */
const NO_RESPONSE = "No response from server";

/** What remote forwards need of their connection. */
export interface RemoteForwardContext {
  readonly client: Client;
  readonly table: ChannelTable;
  /** The name of the host, for messages. */
  readonly host: string;
  readonly lost: Lost;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<unknown>;
}

/** Told of the answer; `error` is set if it is a refusal or the end. */
type Answer = (error?: Error | null, port?: number) => void;

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
    const { client, closed } = context;
    closed.then(() => {
      this.#isClosed = true;
      for (const callback of this.#whenClosed) callback();
    });
    client.on("tcp connection", ({ destIP, destPort }, accept, reject) => {
      const address = { hostname: destIP, port: destPort };
      this.#admit(address, accept, reject);
    });
    client.on("unix connection", ({ socketPath }, accept, reject) => {
      this.#admit({ path: socketPath }, accept, reject);
    });
  }

  /** Asks the server to listen. */
  async listen(
    listen: ForwardTarget,
    onConnection: OnConnection,
    signal: AbortSignal | undefined,
  ): Promise<RemoteListener> {
    signal?.throwIfAborted();
    const { table } = this.#context;
    table.hold.take();
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
        table.hold.release();
        tellClosed();
      };
      const close = () => closing ??= this.#cancel(address).then(end);
      const forget = this.#onClosed(() =>
        closing ??= Promise.resolve().then(end)
      );
      return { address, closed: ended, close };
    } catch (error) {
      table.hold.release();
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

  #admit(
    address: ForwardTarget,
    accept: () => unknown,
    reject: () => void,
  ): void {
    const onConnection = this.#listeners.get(keyOf(address));
    // A connection that crossed our request to stop.
    if (onConnection === undefined) return reject();
    const { table, lost } = this.#context;
    const raw = accept() as RawChannel;
    const tunnel = acceptTunnel(table, raw, lost);
    try {
      onConnection(tunnel);
    } catch {
      tunnel.close();
    }
  }

  /** Sends a global request; ssh2 matches the answers in order. */
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
      const stop = onAbort(
        signal,
        () => settle(() => reject(signal?.reason)),
      );
      const forget = this.#onClosed(() => settle(() => reject(lost(doing))));
      const answer: Answer = (error, port) => {
        if (isSettled) {
          if (!error) late?.(port);
          return;
        }
        // The connection ended, which `closed` tells with its reason.
        if (error?.message === NO_RESPONSE) return;
        if (error) return fail("the server refused");
        granted?.(port);
        settle(() => resolve(port));
      };
      try {
        this.#send(address, what, answer);
      } catch {
        settle(() => reject(lost(doing)));
      }
    });
  }

  #send(
    address: ForwardTarget,
    what: "listen" | "stop listening",
    answer: Answer,
  ): void {
    const { client } = this.#context;
    const listens = what === "listen";
    if ("path" in address) {
      const { path } = address;
      if (listens) client.openssh_forwardInStreamLocal(path, answer);
      else client.openssh_unforwardInStreamLocal(path, answer);
      return;
    }
    const { hostname, port } = address;
    if (listens) client.forwardIn(hostname, port, answer);
    else client.unforwardIn(hostname, port, answer);
  }
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
