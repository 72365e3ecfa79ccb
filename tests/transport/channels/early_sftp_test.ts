// What a server sends on the channel of SFTP before it grants the subsystem.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { openSftp } from "../../../transport/channels/_sftp.ts";
import * as wire from "../../../transport/channels/_wire.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { EarlyPieces } from "../../../transport/session/small_pieces.ts";
import { memoryTable } from "./_memory_transport.ts";

const MB = 1_000_000;

Deno.test("connection.sftp() keeps bytes that came before the grant as bytes, however small their pieces are", async () => {
  const { table, say } = memoryTable();
  const context = {
    table,
    name: "ops@web-1:22",
    lost: (doing: string) => new ConnectionLostError(doing, { host: "web-1" }),
    endsToo: () => Promise.resolve(false),
  };
  const stop = new AbortController();
  const opening = openSftp(context, stop.signal);
  say(wire.CHANNEL_OPEN_CONFIRMATION, 0, 50, 2 ** 21, 2 ** 15);
  const before = Deno.memoryUsage().heapUsed;
  for (let i = 0; i < MB / 2; i++) say(wire.CHANNEL_DATA, 0, "A");
  const grown = (Deno.memoryUsage().heapUsed - before) / MB;
  stop.abort(new Error("enough"));
  await assertRejects(() => opening, Error, "enough");
  assert(grown < 50, `${grown} MB of heap for half a megabyte`);
});

Deno.test("EarlyPieces gives all bytes in their order, and has few pieces", () => {
  const early = new EarlyPieces();
  const sent: number[] = [];
  const add = (length: number) => {
    const piece = Uint8Array.from(
      { length },
      (_, i) => (sent.length + i) & 255,
    );
    sent.push(...piece);
    early.add(piece);
    piece.fill(0);
  };
  for (let i = 0; i < 10_000; i++) add(1);
  for (const length of [5_000, 1, 511, 512, 4_096, 1, 600]) add(length);
  const pieces = early.take();
  assertEquals(pieces.flatMap((piece) => [...piece]), sent);
  assert(pieces.length < 12, `${pieces.length} pieces`);
  assertEquals(early.take(), []);
});
