/**
 * The treaty of `transport/connector.ts`: subsystems as bytes, and what `onOpen`
 * may hold up, over every adapter and every server.
 *
 * @module
 */

import type { Tunnel } from "../../connector.ts";
import { ChannelOpenError, ConnectionLostError } from "../../errors.ts";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  type Contract,
} from "./_contract.ts";

/** SSH_FXP_INIT of version 3, and the type of its answer. */
const INIT = Uint8Array.of(0, 0, 0, 5, 1, 0, 0, 0, 3);
const VERSION = 2;

/** Says the first word of SFTP, and reads the type of the answer. */
async function greet({ readable, writable }: Tunnel): Promise<number> {
  const writer = writable.getWriter();
  await writer.write(INIT);
  writer.releaseLock();
  const reader = readable.getReader();
  let all: number[] = [];
  while (all.length < 9) {
    const { value, done } = await reader.read();
    assert(!done);
    all = [...all, ...value];
  }
  reader.releaseLock();
  assertEquals(all.slice(5, 9), [0, 0, 0, 3]);
  return all[4]!;
}

/** Resolves when no session channel is open any more. */
async function allEnded(connection: { readonly openChannels: number }) {
  while (connection.openChannels > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Registers them. */
export function subsystemTests(contract: Contract): void {
  contract(
    "gives a subsystem as bytes, on a channel that counts until it is closed",
    async (connection) => {
      const tunnel = await connection.subsystem!("sftp");
      assertEquals(connection.openChannels, 1);
      assertEquals(await greet(tunnel), VERSION);
      tunnel.close();
      tunnel.close();
      await tunnel.closed;
      await allEnded(connection);
      const aborted = AbortSignal.abort(new Error("enough"));
      await assertRejects(
        () => connection.subsystem!("sftp", { signal: aborted }),
        Error,
        "enough",
      );
      assertEquals(connection.openChannels, 0);
    },
    "subsystem",
  );

  contract(
    "refuses a subsystem that the server does not have, and frees its channel",
    async (connection) => {
      for (let i = 0; i < 3; i++) {
        const error = await assertRejects(
          () => connection.subsystem!("sshpool-none"),
          ChannelOpenError,
          '"sshpool-none"',
        );
        assertEquals([error.reason, error.mayHaveRun], [0, false]);
        await allEnded(connection);
      }
      await assertRejects(() => connection.subsystem!(""), TypeError, "name");
    },
    "subsystem",
  );

  contract(
    "ends a subsystem with the connection",
    async (connection, rig) => {
      const tunnel = await connection.subsystem!("sftp");
      assertEquals(await greet(tunnel), VERSION);
      const reading = tunnel.readable.getReader().read().catch((error) =>
        error
      );
      await rig.lose();
      assertInstanceOf(await reading, ConnectionLostError);
      await tunnel.closed;
      await connection.closed;
      await assertRejects(
        () => connection.subsystem!("sftp"),
        ConnectionLostError,
      );
    },
    "subsystem",
  );

  contract(
    "sends the command when the promise of onOpen has resolved",
    async (connection) => {
      let open!: () => void;
      const gate = new Promise<void>((resolve) => open = resolve);
      let isOver = false;
      const running = connection.exec("echo on", { onOpen: () => gate });
      running.then(() => isOver = true);
      // One that came later has a result by now.
      await connection.exec("true");
      assertEquals(isOver, false);
      open();
      assertEquals((await running).stdout, "on\n");
    },
  );

  contract(
    "runs nothing if onOpen throws, or its promise rejects",
    async (connection) => {
      const reason = new Error("not now");
      const ways: (() => unknown)[] = [
        () => {
          throw reason;
        },
        () => Promise.reject(reason),
      ];
      for (const onOpen of ways) {
        const error = await connection.exec("true", { onOpen })
          .catch((error) => error);
        assertStrictEquals(error, reason);
        await allEnded(connection);
      }
    },
  );
}
