/**
 * The treaty of `transport/connector.ts`: ports and unix sockets on which the
 * host listens, over every adapter and every server.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Tunnel } from "../../../transport/connector.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import { ForwardError } from "../../../transport/forward/errors.ts";
import type { ForwardTarget } from "../../../transport/host/target.ts";
import { contract, type Rig } from "./_contract.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** Sends back what comes, in upper case, and ends when it ends. */
async function shout({ readable, writable }: Tunnel): Promise<void> {
  const text = await new Response(readable).text();
  const writer = writable.getWriter();
  await writer.write(encode(text.toUpperCase()));
  await writer.close();
}

/** Sends a text, ends, and reads the answer. */
async function ask(tunnel: Tunnel, text: string): Promise<string> {
  const writer = tunnel.writable.getWriter();
  await writer.write(encode(text));
  await writer.close();
  return await new Response(tunnel.readable).text();
}

const places: readonly (readonly [
  name: string,
  listen: (rig: Rig) => ForwardTarget,
])[] = [
  ["port", () => ({ hostname: "127.0.0.1", port: 0 })],
  ["unix socket", ({ sockets }) => ({ path: `${sockets}/s.sock` })],
];

for (const [name, listen] of places) {
  contract(
    `lets the host listen on a ${name}, and gives each connection`,
    async (connection, rig) => {
      const taken: Tunnel[] = [];
      const listener = await connection.forwardIn!(listen(rig), (tunnel) => {
        taken.push(tunnel);
        void shout(tunnel);
      });
      const { address } = listener;
      assert("path" in address || address.port > 0);
      assertEquals(connection.openChannels, 0);
      for (const text of ["first", "second"]) {
        const tunnel = await connection.forwardOut!(address);
        assertEquals(await ask(tunnel, text), text.toUpperCase());
        await tunnel.closed;
      }
      assertEquals(taken.length, 2);
      for (const tunnel of taken) await tunnel.closed;
      await listener.close();
      await listener.close();
      await listener.closed;
    },
  );
}

contract("refuses to listen twice on one port", async (connection, rig) => {
  const listen = { hostname: "127.0.0.1", port: 0 };
  const { address } = await connection.forwardIn!(listen, () => {});
  await using other = await rig.connector.connect(rig.host);
  await assertRejects(
    () => other.forwardIn!(address, () => {}),
    ForwardError,
    "the server refused",
  );
});

contract(
  "ends a listener and its tunnels with the connection",
  async (connection, rig) => {
    const { promise, resolve } = Promise.withResolvers<Tunnel>();
    const listen = { hostname: "127.0.0.1", port: 0 };
    const listener = await connection.forwardIn!(listen, resolve);
    const near = await connection.forwardOut!(listener.address);
    const far = await promise;
    await rig.lose();
    await Promise.all([listener.closed, near.closed, far.closed]);
    await assertRejects(
      () => connection.forwardIn!(listen, () => {}),
      ConnectionLostError,
    );
  },
);

contract(
  "refuses a forward to a port where nothing listens",
  async (connection) => {
    const error = await assertRejects(
      () => connection.forwardOut!({ hostname: "127.0.0.1", port: 1 }),
      ChannelOpenError,
    );
    assertEquals([error.reason, error.mayHaveRun], [2, false]);
  },
);
