// What a server sends, or does not take, fills no memory and holds up nobody.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { startSftp } from "../../../transport/sftp/open_session.ts";
import { PacketType } from "../../../transport/sftp/packets.ts";
import { FakeServer, string, u32 } from "./_fake_server.ts";

const later = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

const MB = 1_000_000;
/** The buffers of this thread, garbage that is not collected yet included. */
const held = () => Deno.memoryUsage().external / MB;

Deno.test("SftpFile.read() keeps of an answer what it has of the file, and nothing behind it", async () => {
  const packet = new Uint8Array(14 + MB);
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type !== PacketType.READ) return server.handle(id);
    body.bytes();
    if (body.u64() >= 300n) return server.status(id, 1);
    packet.set([...u32(10 + MB), PacketType.DATA, ...u32(id), ...u32(1), 7]);
    server.raw(packet);
  });
  const sftp = await startSftp(server.transport);
  const bytes = await sftp.readFile("f");
  const now = held();
  assertEquals(bytes, new Uint8Array(300).fill(7));
  assert(now < 200, `${now} MB of 300`);
  sftp.close();
});

Deno.test("Sftp.readFile() reads as many bytes as maxBytes says, and no file that has more", async () => {
  let size = 300;
  const piece = new Uint8Array(30_000).fill(65);
  let reads = 0;
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.OPEN) return server.handle(id);
    if (type !== PacketType.READ) return server.status(id, 0);
    reads++;
    body.bytes();
    const rest = size - Number(body.u64());
    if (rest <= 0) return server.status(id, 1);
    server.data(id, piece.subarray(0, Math.min(rest, body.u32(), 30_000)));
  });
  const sftp = await startSftp(server.transport);
  assertEquals(
    await sftp.readTextFile("f", { maxBytes: 300 }),
    "A".repeat(300),
  );
  const refused = (maxBytes: number) =>
    assertRejects(
      () => sftp.readFile("f", { maxBytes }),
      SftpError,
      `it has more than ${maxBytes} bytes, which maxBytes allows`,
    );
  await refused(299);
  size = Infinity;
  reads = 0;
  await refused(1_000_000);
  assert(reads < 1_000, `${reads} reads`);
  sftp.close();
});

Deno.test("SftpFile.readable has few pieces, however short the answers are", async () => {
  const size = 5_000;
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.OPEN) return server.handle(id);
    if (type !== PacketType.READ) return server.status(id, 0);
    body.bytes();
    const offset = Number(body.u64());
    if (offset >= size) return server.status(id, 1);
    server.data(id, Uint8Array.of(offset));
  });
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f");
  let [pieces, bytes] = [0, 0];
  for await (const piece of file.readable) {
    for (const byte of piece) assertEquals(byte, bytes++ & 255);
    pieces++;
  }
  assertEquals(bytes, size);
  assert(pieces < 200, `${pieces} pieces`);
  sftp.close();
});

Deno.test("SftpFile.writeAt() that is given up before it was sent keeps no data", async () => {
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPEN) server.handle(id);
  });
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f", { write: true, create: true });
  server.room = new Promise(() => {});
  for (let i = 0; i < 100; i++) {
    const stop = new AbortController();
    const { signal } = stop;
    const writing = file.writeAt(new Uint8Array(4 * MB), 0, { signal });
    const given = assertRejects(() => writing, Error, "enough");
    await later();
    stop.abort(new Error("enough"));
    await given;
  }
  const now = held();
  assert(now < 200, `${now} MB of 400`);
  sftp.close();
});

Deno.test("Sftp.readDir() takes a name of 1024 characters, and no longer one", async () => {
  let name = "a".repeat(1024);
  let isListed = false;
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPENDIR) return server.handle(id);
    if (type !== PacketType.READDIR) return server.status(id, 0);
    if (isListed) return server.status(id, 1);
    isListed = true;
    const entry = [...string(name), ...string(""), ...u32(0)];
    server.packet(PacketType.NAME, ...u32(id), ...u32(1), ...entry);
  });
  const sftp = await startSftp(server.transport);
  const names = async () =>
    (await Array.fromAsync(sftp.readDir("d"))).map((it) => it.name);
  assertEquals(await names(), [name]);
  isListed = false;
  name += "a";
  const error = await assertRejects(names, SftpError, "more than 1024");
  assertEquals(error.code, "SSH_SFTP_PROTOCOL");
});

Deno.test("Sftp.remove() and rename() end where a server has no end of answers without a name", async () => {
  const entries = [".", ".."].flatMap((name) => [
    ...[...string(name), ...string(""), ...u32(4), ...u32(0o040755)],
  ]);
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPENDIR) return server.handle(id);
    if (type === PacketType.READDIR) {
      return server.packet(PacketType.NAME, ...u32(id), ...u32(2), ...entries);
    }
    if (type === PacketType.CLOSE) return server.status(id, 0);
    if (type !== PacketType.LSTAT) return server.status(id, 4, "no");
    server.packet(PacketType.ATTRS, ...u32(id), ...u32(4), ...u32(0o040755));
  }, [["posix-rename@openssh.com", "1"]]);
  const sftp = await startSftp(server.transport);
  for (const run of [() => sftp.remove("d"), () => sftp.rename("c", "d")]) {
    const error = await assertRejects(run, SftpError);
    assertEquals(error.code, "SSH_SFTP_FAILURE");
  }
  sftp.close();
});
