/**
 * Addresses of loopback where nobody answers, and where nobody listens.
 *
 * @module
 */

/** A port of 0.0.0.0, so of all 127.x.y.z: each of them is a host of its own. */
export interface DeadPort extends Disposable {
  readonly port: number;
}

/**
 * Returns a port that never answers a SYN: its listener accepts nobody, its
 * queue is full, and the kernel drops what comes on top.
 */
export async function blackHolePort(): Promise<DeadPort> {
  const listener = Deno.listen({
    hostname: "0.0.0.0",
    port: 0,
    tcpBacklog: 1,
  });
  const { port } = listener.addr as Deno.NetAddr;
  // Two fit in the queue; a third would wait for ever.
  const waiting = [
    await Deno.connect({ hostname: "127.0.0.1", port }),
    await Deno.connect({ hostname: "127.0.0.1", port }),
  ];
  return {
    port,
    [Symbol.dispose]() {
      for (const socket of waiting) socket.close();
      listener.close();
    },
  };
}

/** Returns a port that refuses each connection: it was free a moment ago. */
export function refusingPort(): DeadPort {
  const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return { port, [Symbol.dispose]() {} };
}
