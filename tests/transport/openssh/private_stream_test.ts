/** The private socket to which what `ssh` starts connects. */

import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { readdirSync, watch } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import {
  type FrameField,
  frameOf,
  FrameSplitter,
} from "../../../transport/openssh/_frames.ts";
import { serveStreams } from "../../../transport/openssh/_private_stream.ts";

Deno.test("serveStreams() listens before its socket has its name, so that nobody takes it for dead", async () => {
  const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: "os-" });
  const names: string[] = [];
  const watcher = watch(
    folder,
    (_, name) => void names.push(`${name}`),
  );
  const server = await serveStreams(join(folder, "s"), () => {});
  assertEquals(readdirSync(folder), ["s"]);
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ path: join(folder, "s") });
    socket.once("connect", () => socket.destroy());
    socket.once("close", () => resolve());
    socket.once("error", reject);
  });
  while (!names.includes("s")) await new Promise((done) => setTimeout(done, 5));
  // Another name was there first.
  assertEquals(names.indexOf("s~") >= 0 && names[0] !== "s", true, `${names}`);
  watcher.close();
  await new Promise((resolve) => server.close(resolve));
  await Deno.remove(folder, { recursive: true });
});

/** A message of SSH as a control socket in proxy mode carries it. */
const packet = (type: number, ...fields: FrameField[]) =>
  frameOf(Buffer.from([0, type]), ...fields);

Deno.test("a stream that nobody reads holds up who writes to it, and has all of it later", async () => {
  const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: "os-" });
  const path = join(folder, "s");
  const opened = Promise.withResolvers<Duplex>();
  const server = await serveStreams(path, opened.resolve);
  const socket = connect({ path });
  let taken = 0;
  const splitter = new FrameSplitter();
  socket.on("data", (chunk) => {
    // Each piece that was received is told of by a message of type 93.
    splitter.push(chunk as Buffer, (it) => taken += it[1] === 93 ? 1 : 0);
  });
  socket.write(frameOf(1, 4));
  socket.write(frameOf(0x1000000f, 0));
  socket.write(packet(90, "session", 0, 2 ** 31 - 1, 32 * 1024));
  socket.write(packet(98, 0, "exec", Buffer.from([1]), "x"));
  const stream = await opened.promise;
  const pieces = 256;
  const data = "x".repeat(32 * 1024);
  for (let i = 0; i < pieces; i++) socket.write(packet(94, 0, data));
  const pause = () => new Promise((resolve) => setTimeout(resolve, 5));
  for (let last = -1, same = 0; same < 30; last = taken) {
    await pause();
    same = taken === last ? same + 1 : 0;
  }
  assert(taken < pieces / 2, `${taken} of ${pieces} were taken`);
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => bytes += chunk.length);
  while (bytes < pieces * data.length || taken < pieces) await pause();
  assertEquals([bytes, taken], [pieces * data.length, pieces]);
  socket.destroy();
  await new Promise((resolve) => stream.once("close", resolve));
  await new Promise((resolve) => server.close(resolve));
  await Deno.remove(folder, { recursive: true });
});
