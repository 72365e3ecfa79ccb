/**
 * Remote forwards: the host listens, this side connects.
 *
 * @module
 */

import { onAbort, sleep } from "../abort.ts";
import type { Connection, RemoteListener, Tunnel } from "../connector.ts";
import { MAX_CONNECTIONS, tooMany } from "./errors.ts";
import {
  type CommonForwardOptions,
  type Forward,
  type ForwardEnd,
  type ForwardFailureReason,
  type TellFailure,
  tellFailure,
} from "./forward.ts";
import { connectTarget } from "./connect_target.ts";
import { type ForwardTarget, targetName } from "../host/target.ts";

/**
 * The first and the longest pause before the host is asked again. A listener
 * that has held for longer than that is asked for again at once.
 */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** The pause after one of this length. */
const longer = (ms: number): number =>
  ms === 0 ? FIRST_PAUSE_MS : Math.min(2 * ms, LONGEST_PAUSE_MS);

/** What a remote forward is made of. */
export interface RemoteForwardParts {
  readonly get: (signal?: AbortSignal) => Promise<Connection>;
  /** Where the host listens. */
  readonly listen: ForwardTarget;
  /** Where each connection leads to on this side. */
  readonly to: ForwardTarget;
  readonly options: CommonForwardOptions;
  /** Called for each failure, beside `onError`. */
  readonly tell?: TellFailure;
  /** Whether the host would only fail in this way again. */
  readonly isFinal: (error: unknown) => boolean;
}

/** A remote forward, which is set up again when its connection was lost. */
export class RemoteForward implements Forward {
  readonly closed: Promise<ForwardEnd>;
  readonly #parts: RemoteForwardParts;
  readonly #tunnels = new Map<Tunnel, Promise<void>>();
  readonly #stop = new AbortController();
  #address: ForwardTarget;
  #listener: RemoteListener | undefined;
  /** How long to wait when a listener ends, before the host is asked again. */
  #pauseMs = 0;
  #tellClosed!: (end: ForwardEnd) => void;
  #closing: Promise<void> | undefined;
  /** Takes back what waits for the signal. */
  readonly #forgetSignal: () => void;

  /** Sets it up. */
  static async start(parts: RemoteForwardParts): Promise<RemoteForward> {
    const { signal } = parts.options;
    const forward = new RemoteForward(parts);
    try {
      await forward.#listen(signal);
      signal?.throwIfAborted();
      return forward;
    } catch (error) {
      await forward.close();
      throw error;
    }
  }

  private constructor(parts: RemoteForwardParts) {
    this.#parts = parts;
    this.#address = parts.listen;
    this.closed = new Promise((resolve) => this.#tellClosed = resolve);
    this.#forgetSignal = onAbort(
      parts.options.signal,
      () => void this.close(),
    );
  }

  get address(): ForwardTarget {
    return this.#address;
  }

  get connections(): number {
    return this.#tunnels.size;
  }

  /** Nothing: the connection to the host keeps the process alive. */
  unref(): void {}

  close(): Promise<void> {
    return this.#closing ??= this.#close({ kind: "local" });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(end: ForwardEnd): Promise<void> {
    this.#forgetSignal();
    this.#stop.abort();
    for (const tunnel of this.#tunnels.keys()) tunnel.close();
    await Promise.all([this.#listener?.close(), ...this.#tunnels.values()]);
    this.#tellClosed(end);
  }

  async #listen(signal: AbortSignal | undefined): Promise<void> {
    const connection = await this.#parts.get(signal);
    if (connection.forwardIn === undefined) {
      throw new TypeError(
        "Cannot forward: the connector of the pool does not support it",
      );
    }
    // The port that was chosen is kept, so that `address` stays true.
    const listener = await connection.forwardIn(
      this.#address,
      (tunnel) => this.#lead(tunnel),
      signal ? { signal } : {},
    );
    this.#address = listener.address;
    this.#listener = listener;
    if (this.#stop.signal.aborted) return await listener.close();
    const since = performance.now();
    listener.closed.then(() => {
      if (performance.now() - since > LONGEST_PAUSE_MS) this.#pauseMs = 0;
      return this.#again();
    });
  }

  async #again(): Promise<void> {
    const { signal } = this.#stop;
    // A server may let us listen and hang up, again and again.
    let pauseMs = this.#pauseMs;
    this.#pauseMs = longer(pauseMs);
    for (;; pauseMs = longer(pauseMs)) {
      if (pauseMs > 0) await sleep(pauseMs, signal).catch(() => {});
      if (signal.aborted) return; // closed meanwhile
      try {
        return await this.#listen(signal);
      } catch (error) {
        this.#report("not-listening", error);
        if (this.#parts.isFinal(error)) {
          const end = { kind: "failed", error: error as Error } as const;
          return void (this.#closing ??= this.#close(end));
        }
      }
    }
  }

  #lead(tunnel: Tunnel): void {
    // A tunnel that arrived during close(): drop it.
    if (this.#stop.signal.aborted) return tunnel.close();
    const { to, options: { maxConnections = MAX_CONNECTIONS } } = this.#parts;
    if (this.#tunnels.size >= maxConnections) {
      tunnel.close();
      const error = tooMany(targetName(to), maxConnections);
      return this.#report("too-many", error);
    }
    let isOpen = false;
    const led = connectTarget(tunnel, to, () => isOpen = true)
      .catch((error) => this.#report(isOpen ? "broken" : "not-opened", error))
      .finally(() => this.#tunnels.delete(tunnel));
    this.#tunnels.set(tunnel, led);
  }

  #report(reason: ForwardFailureReason, error: unknown): void {
    if (this.#stop.signal.aborted) return;
    const { options, tell, to } = this.#parts;
    tellFailure(options, tell, { reason, listen: this.#address, to, error });
  }
}
