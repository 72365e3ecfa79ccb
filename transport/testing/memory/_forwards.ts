/** The forwards of a memory connection, in both directions. */

import type { RemoteListener, Tunnel } from "../../connector.ts";
import { didYouMean } from "../../options/nearest.ts";
import { type ForwardTarget, targetName } from "../../host/target.ts";
import { pass } from "../scripts/outcome.ts";
import { ScriptFault } from "../scripts/script_fault.ts";
import { type MemoryChannels, once } from "./_channels.ts";
import { notListening, passOrRefuse, refused, STEPS } from "./_errors.ts";
import type { MemoryHost, TakeConnection } from "./_host.ts";
import { MemoryTunnel, tunnelPair } from "./_tunnel.ts";
import { ByteQueue } from "../scripts/byte_queue.ts";
import type { TargetHandler } from "./memory_connector_options.ts";

/** Opens forwards, and ends them with the connection. */
export class MemoryForwards {
  /** Where they lead to, oldest first. */
  readonly opened: string[] = [];
  readonly #channels: MemoryChannels;
  readonly #host: () => MemoryHost;

  constructor(channels: MemoryChannels, host: () => MemoryHost) {
    this.#channels = channels;
    this.#host = host;
  }

  /** Opens a tunnel to a target. */
  async open(
    target: ForwardTarget,
    signal: AbortSignal | undefined,
  ): Promise<Tunnel> {
    const { options, connection, name } = this.#channels;
    await this.#ask(signal, async (over) => {
      const outcome = options.onForward?.(connection, target);
      await passOrRefuse(outcome, over, name, STEPS.forward);
    });
    const tunnel = this.#connect(target);
    this.opened.push(tunnel.target);
    return tunnel;
  }

  /** Lets the host listen. */
  async listen(
    listen: ForwardTarget,
    onConnection: (tunnel: Tunnel) => void,
    signal: AbortSignal | undefined,
  ): Promise<RemoteListener> {
    const { options, connection, name } = this.#channels;
    await this.#ask(signal, async (over) => {
      try {
        await pass(options.onListen?.(connection, listen), over);
      } catch (error) {
        over.throwIfAborted();
        if (error instanceof ScriptFault) throw error;
        throw notListening(name, targetName(listen), error);
      }
    });
    const host = this.#host();
    const address = host.listen(listen, (far) => {
      const near = this.#keep(far);
      try {
        onConnection(near);
      } catch {
        near.close();
      }
    });
    if (address === undefined) throw notListening(name, targetName(listen));
    return this.#listener(host, address);
  }

  #listener(host: MemoryHost, address: ForwardTarget): RemoteListener {
    let tellClosed!: () => void;
    const closed = new Promise<void>((resolve) => tellClosed = resolve);
    const end = once(() => {
      host.unlisten(address);
      stop();
      tellClosed();
    });
    const stop = this.#channels.onEnd(end);
    const close = () => {
      end();
      return closed;
    };
    return { address, closed, close };
  }

  /** Waits for the server's answer; its gates come last. */
  async #ask(
    signal: AbortSignal | undefined,
    answer: (over: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const channels = this.#channels;
    await channels.ask(signal, async (over) => {
      if (channels.isFrozen) await channels.thawed(over);
      await channels.roundTrip(over);
      await answer(over);
    });
  }

  #connect(target: ForwardTarget): MemoryTunnel {
    const name = targetName(target);
    const take = this.#host().at(target) ?? this.#taker(name);
    if (take === undefined) {
      return this.#keep(new MemoryTunnel(name, new ByteQueue()));
    }
    const [near, far] = tunnelPair(name);
    this.#keep(near);
    take(far);
    return near;
  }

  /** Returns what is at a target; `undefined` if all of them echo. */
  #taker(target: string): TakeConnection | undefined {
    const { options: { targets }, name } = this.#channels;
    if (targets === undefined) return undefined;
    const isTable = typeof targets !== "function";
    const handler = isTable ? own(targets, target) : targets(target, name);
    if (handler !== undefined) return (far) => void this.#serve(handler, far);
    const what = `Cannot open a forward to "${target}"`;
    const why = isTable
      ? ": it is not in the option `targets`" +
        didYouMean(target, Object.keys(targets))
      : "";
    throw refused(name, { what, reason: 2 }, `connect failed${why}`);
  }

  async #serve(handler: TargetHandler, far: MemoryTunnel): Promise<void> {
    const over = new AbortController();
    far.closed.then(() => over.abort());
    const { readable, writable, target } = far;
    const { signal } = over;
    try {
      await handler({
        host: this.#channels.name,
        target,
        readable,
        writable,
        signal,
      });
      far.close();
    } catch (error) {
      far.fail(error);
    }
  }

  /** Ends it with the connection. */
  #keep(tunnel: MemoryTunnel): MemoryTunnel {
    const channels = this.#channels;
    tunnel.closed.then(channels.onEnd(() => tunnel.fail(channels.lost())));
    return tunnel;
  }
}

function own<T>(table: Readonly<Record<string, T>>, name: string) {
  const key = Object.hasOwn(table, name) ? name : "*";
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
