/** The private socket to which what `ssh` starts connects. */

import { assertEquals } from "@std/assert";
import { readdirSync, watch } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
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
