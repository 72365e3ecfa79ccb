/**
 * Ports of servers that a test starts.
 *
 * @module
 */

/** Below those that a system gives to whoever asks for any. */
const [FIRST, COUNT] = [20_000, 12_000];

/**
 * Returns a port of 127.0.0.1 on which nobody listens. Nor does another test
 * get it by chance before the server that it is for has it.
 */
export function freePort(): number {
  for (;;) {
    const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
    const port = FIRST + random % COUNT;
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
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
