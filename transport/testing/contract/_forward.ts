/**
 * The treaty of `transport/connector.ts`: ports and unix sockets on which the
 * host listens, over every adapter and every server.
 *
 * @module
 */

import type { Tunnel } from "../../connector.ts";
import { ChannelOpenError, ConnectionLostError } from "../../errors.ts";
import { ForwardError } from "../../forward/errors.ts";
import type { ForwardTarget } from "../../host/target.ts";
import {
  assert,
  assertEquals,
  assertRejects,
  type Contract,
  type ContractRig,
  disposing,
} from "./_contract.ts";

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
  listen: (rig: ContractRig) => ForwardTarget,
])[] = [
  ["port", () => ({ hostname: "127.0.0.1", port: 0 })],
  ["unix socket", ({ sockets }) => ({ path: `${sockets}/s.sock` })],
];

/** Registers them. */
export function forwardTests(contract: Contract): void {
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
      "forwardIn",
    );
  }

  contract("refuses to listen twice on one port", async (connection, rig) => {
    const listen = { hostname: "127.0.0.1", port: 0 };
    const { address } = await connection.forwardIn!(listen, () => {});
    const other = await rig.connector.connect(rig.host);
    await disposing(other, () =>
      assertRejects(
        () => other.forwardIn!(address, () => {}),
        ForwardError,
        "the server refused",
      ));
  }, "forwardIn");

  contract(
    "ends a listener and its tunnels with the connection",
    async (connection, rig) => {
      let resolve!: (tunnel: Tunnel) => void;
      const promise = new Promise<Tunnel>((done) => resolve = done);
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
    "forwardIn",
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
    "forwardOut",
  );
}
