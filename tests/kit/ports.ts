/**
 * Ports of servers that a test starts.
 *
 * @module
 */

/** Returns a port of 127.0.0.1 on which nobody listens. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/**
 * Returns whether a server on the port greets who connects.
 *
 * @param port The port, of 127.0.0.1.
 * @param greeting How what it sends begins; by default with anything.
 */
export async function greets(port: number, greeting = ""): Promise<boolean> {
  try {
    using socket = await Deno.connect({ hostname: "127.0.0.1", port });
    const buffer = new Uint8Array(64);
    const n = await socket.read(buffer) ?? 0;
    const text = new TextDecoder().decode(buffer.subarray(0, n));
    return n > 0 && text.startsWith(greeting);
  } catch {
    return false;
  }
}
