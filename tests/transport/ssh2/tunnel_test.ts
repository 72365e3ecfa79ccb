/** What a hop's tunnel does with what is written to it. */

import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import type {
  Channel,
  ChannelObserver,
} from "../../../transport/ssh2/_channel.ts";
import type { ChannelTable } from "../../../transport/ssh2/_channel_table.ts";
import { streamOfTunnel } from "../../../transport/_tunnel_stream.ts";
import { openTunnel } from "../../../transport/ssh2/_tunnel.ts";

/** The channels of a hop that writes down what it is to encrypt. */
function recordingHop(written: string[]): ChannelTable {
  const channel = {
    write: (chunk: Uint8Array) => void written.push(String(chunk)),
    eof: () => void written.push("end"),
    resume() {},
    close() {},
  };
  return {
    open(observer: ChannelObserver) {
      queueMicrotask(() => observer.opened());
      return channel as unknown as Channel;
    },
  } as unknown as ChannelTable;
}

Deno.test("openTunnel() gives a stream whose hop encrypts nothing before the writer is done", async () => {
  // ssh2 writes a packet in three parts, from the middle of a cipher whose
  // nonce it shares with every other connection, that of the hop too.
  const written: string[] = [];
  const tunnel = await openTunnel(
    recordingHop(written),
    { hostname: "db1", port: 22 },
    { host: "ops@gate:22", lost: () => new Error("lost") as never },
  );
  const stream = streamOfTunnel(tunnel);
  for (const part of ["length,", "content,", "mac"]) {
    stream.write(Buffer.from(part));
    assertEquals(written, []);
  }
  stream.end();
  await new Promise((resolve) => stream.once("finish", resolve));
  assertEquals(written.join(""), "length,content,macend");
  tunnel.close();
  await tunnel.closed;
});
