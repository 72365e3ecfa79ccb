/**
 * The shared sshd behind a long way, and what a round trip on it takes.
 *
 * @module
 */

import type { SshHost } from "../../mod.ts";
import { DelayProxy } from "./delay_proxy.ts";
import { sharedSshd } from "./sshd.ts";

/** Returns an sshd that is so far away; dispose of it to end the way there. */
export async function farSshd(
  delayMs: number,
): Promise<{ host: SshHost } & AsyncDisposable> {
  const sshd = await sharedSshd();
  const proxy = await DelayProxy.start({ port: sshd.port }, delayMs);
  return {
    host: sshd.host({ port: proxy.port }),
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}

/** A program that far away which sends back what it gets. */
export class FarEcho implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #proxy: DelayProxy;
  readonly #connection: Deno.TcpConn;
  readonly #buffer = new Uint8Array(1);

  private constructor(
    listener: Deno.TcpListener,
    proxy: DelayProxy,
    connection: Deno.TcpConn,
  ) {
    this.#listener = listener;
    this.#proxy = proxy;
    this.#connection = connection;
  }

  /** Starts it, and connects to it. */
  static async start(delayMs: number): Promise<FarEcho> {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const proxy = await DelayProxy.start({ port }, delayMs);
    const connection = await Deno.connect({
      hostname: "127.0.0.1",
      port: proxy.port,
    });
    connection.setNoDelay();
    const peer = await listener.accept();
    peer.readable.pipeTo(peer.writable).catch(() => {});
    return new FarEcho(listener, proxy, connection);
  }

  /** Sends a byte there, and waits until it is back. */
  async roundTrip(): Promise<void> {
    await this.#connection.write(this.#buffer);
    await this.#connection.read(this.#buffer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
    await this.#proxy[Symbol.asyncDispose]();
    this.#listener.close();
  }
}
