/**
 * A program that sends a file to each client on a port of loopback. It says the
 * port on standard output.
 *
 * @module
 */

const [path = ""] = Deno.args;
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
// deno-lint-ignore no-console -- its parent reads the port
console.log((listener.addr as Deno.NetAddr).port);
for await (const client of listener) {
  const file = await Deno.open(path);
  await file.readable.pipeTo(client.writable);
}
