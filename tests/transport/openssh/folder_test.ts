/** The folders of connections: which of them the next process removes. */

import { assertEquals } from "@std/assert";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Folders } from "../../../transport/openssh/_folder.ts";
import { socketFolder } from "./_kit.ts";

Deno.test("Folders.make() removes what crashed processes left, keys too, and nothing that may be in use", async () => {
  const base = await socketFolder();
  const old = new Date(Date.now() - 120_000);
  /** Makes a folder of a connection, with a key in it. */
  const leave = async (name: string, time: Date) => {
    const path = join(base, name);
    await Deno.mkdir(path);
    await Deno.writeTextFile(join(path, "k0"), "a key");
    await Deno.utime(path, time, time);
    return path;
  };
  await leave("sshpool.aaaaaa", old);
  await leave("sshpool.bbbbbb", new Date());
  await leave("sshpool.notours", old);
  await Deno.symlink(
    join(base, "sshpool.notours"),
    join(base, "sshpool.cccccc"),
  );
  // Its process lives.
  const used = await leave("sshpool.dddddd", old);
  const server = createServer().listen(join(used, "s"));
  await new Promise((resolve) => server.once("listening", resolve));
  const own = await new Folders(base).make();
  assertEquals(
    readdirSync(base).map((it) => join(base, it)).sort(),
    [
      own,
      ..."bbbbbb cccccc dddddd notours".split(" ").map((it) =>
        join(base, `sshpool.${it}`)
      ),
    ].sort(),
  );
  assertEquals(readdirSync(join(base, "sshpool.notours")), ["k0"]);
  await new Promise((resolve) => server.close(resolve));
  await Deno.remove(base, { recursive: true });
});

Deno.test({
  name: "Folders.make() removes no folder of another user, though it may",
  ignore: Deno.uid() !== 0,
  async fn() {
    const base = await socketFolder();
    const theirs = join(base, "sshpool.aaaaaa");
    await Deno.mkdir(theirs);
    await Deno.writeTextFile(join(theirs, "k0"), "a key");
    const old = new Date(Date.now() - 120_000);
    await Deno.utime(theirs, old, old);
    await Deno.chown(theirs, 65_534, 65_534);
    await new Folders(base).make();
    assertEquals(readdirSync(theirs), ["k0"]);
    await Deno.chown(theirs, 0, 0);
    await new Folders(base).make();
    assertEquals(readdirSync(base).includes("sshpool.aaaaaa"), false);
    await Deno.remove(base, { recursive: true });
  },
});
