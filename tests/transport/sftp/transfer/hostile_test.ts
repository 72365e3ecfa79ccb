// A server whose folders have names that lead out of the tree, or whose files have
// no end.

import { assertEquals, assertRejects } from "@std/assert";
import { SftpError } from "../../../../transport/sftp/errors.ts";
import { PacketType } from "../../../../transport/sftp/packets.ts";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import { download } from "../../../../transport/sftp/transfer/download.ts";
import { FakeServer, string, u32 } from "../_fake_server.ts";

const FOLDER = 0o040755;
const LINK = 0o120777;
const FILE = 0o100644;

type Entry = readonly [name: string, mode: number];

/** A server in which every folder has these entries, and every file a letter. */
function serve(entries: readonly Entry[]): FakeServer {
  const listed = new Set<string>();
  return new FakeServer(({ type, id, body }, server) => {
    const path = new TextDecoder().decode(body.bytes());
    const attributes = (
      mode: number,
    ) => [...u32(1 | 4), ...u32(0), ...u32(1), ...u32(mode)];
    switch (type) {
      case PacketType.STAT:
        return server.packet(
          PacketType.ATTRS,
          ...u32(id),
          ...attributes(FOLDER),
        );
      case PacketType.FSTAT:
        return server.packet(PacketType.ATTRS, ...u32(id), ...attributes(FILE));
      case PacketType.OPENDIR:
      case PacketType.OPEN:
        return server.handle(id, path);
      case PacketType.READ:
        return body.u64() === 0n
          ? server.data(id, new Uint8Array([120]))
          : server.status(id, 1);
      case PacketType.READLINK:
        return server.packet(
          PacketType.NAME,
          ...u32(id),
          ...u32(1),
          ...string("../outside"),
          ...string(""),
          ...u32(0),
        );
      case PacketType.READDIR:
        if (listed.has(path) || path !== "top") return server.status(id, 1);
        listed.add(path);
        return server.packet(
          PacketType.NAME,
          ...u32(id),
          ...u32(entries.length),
          ...entries.flatMap((
            [name, mode],
          ) => [...string(name), ...string(""), ...attributes(mode)]),
        );
      default:
        return server.status(id, 0);
    }
  });
}

async function fetchInto(entries: readonly Entry[]) {
  const dir = await Deno.makeTempDir({ prefix: "sshpool-sftp-" });
  await Deno.mkdir(`${dir}/outside`);
  const sftp = await startSftp(serve(entries).transport);
  return {
    dir,
    run: () => download(sftp, "top", `${dir}/target`, { preserve: false }),
    async [Symbol.asyncDispose]() {
      sftp.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

const names = async (dir: string) =>
  (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).toSorted();

Deno.test("download() copies what a well-behaved listing has", async () => {
  await using fetching = await fetchInto([["f", FILE], ["d", FOLDER], [
    "l",
    LINK,
  ]]);
  assertEquals((await fetching.run()).files, 1);
  assertEquals(await names(`${fetching.dir}/target`), ["d", "f", "l"]);
  assertEquals(await Deno.readTextFile(`${fetching.dir}/target/f`), "x");
  assertEquals(await Deno.readLink(`${fetching.dir}/target/l`), "../outside");
});

for (
  const entries of [
    [["../outside/f", FILE]],
    [["/tmp/f", FILE]],
    [["a/b", FILE]],
    [["a\0b", FILE]],
    [["", FILE]],
    [["l", LINK], ["l", FOLDER]],
    [["l", LINK], ["l", FILE]],
    [["l", FILE], ["l", LINK]],
  ] as const
) {
  const shown = entries.map(([name]) => JSON.stringify(name)).join(" and ");
  Deno.test(`download() refuses a folder with ${shown} (${entries[0][1].toString(8)} first), and writes nothing`, async () => {
    await using fetching = await fetchInto(entries);
    await assertRejects(fetching.run, SftpError);
    assertEquals(await names(fetching.dir), ["outside"]);
    assertEquals(await names(`${fetching.dir}/outside`), []);
  });
}

Deno.test("download() does not follow entries that call themselves . and ..", async () => {
  await using fetching = await fetchInto([[".", FOLDER], ["..", FOLDER], [
    "f",
    FILE,
  ]]);
  assertEquals((await fetching.run()).files, 1);
});

Deno.test("download() takes 256 MiB of a file that says that it is empty, and no more", async () => {
  const most = 256 * 1024 * 1024;
  for (const size of [most, most + 1]) {
    const server = new FakeServer(({ type, id, body }, server) => {
      if (type === PacketType.OPEN) return server.handle(id);
      if (type === PacketType.CLOSE) return server.status(id, 0);
      if (type !== PacketType.READ) {
        const attributes = [...u32(1 | 4), ...u32(0), ...u32(0), ...u32(FILE)];
        return server.packet(PacketType.ATTRS, ...u32(id), ...attributes);
      }
      body.bytes();
      const left = size - Number(body.u64());
      if (left <= 0) return server.status(id, 1);
      server.data(id, new Uint8Array(Math.min(left, body.u32())));
    });
    const sftp = await startSftp(server.transport);
    const copying = download(sftp, "f", "/dev/null");
    if (size === most) await copying;
    else {
      const error = await assertRejects(
        () => copying,
        SftpError,
        `has more than ${most} bytes`,
      );
      assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
    }
    sftp.close();
  }
});
