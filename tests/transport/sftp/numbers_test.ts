// Numbers of 64 bits: what they are to a program, in which a number is exact up
// to 2^53, and what a client or a server may say with the rest.

import { assertEquals, assertRejects } from "@std/assert";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { startSftp } from "../../../transport/sftp/open_session.ts";
import {
  PacketReader,
  PacketType,
  PacketWriter,
  Status,
} from "../../../transport/sftp/packets.ts";
import { PacketSplitter } from "../../../transport/sftp/splitter.ts";
import { MemoryFiles } from "../../../transport/testing/mod.ts";
import { SftpServer } from "../../../transport/testing/sftp_server/sftp_server.ts";
import { FakeServer, type Request, u32 } from "./_fake_server.ts";

function u64(value: bigint): number[] {
  return [
    ...u32(Number(value >> 32n)),
    ...u32(Number(value & 0xffffffffn)),
  ];
}

const SIZE_ONLY = 1;

/** Opens and closes files, and says that each has this size. */
function serveSize(size: bigint): FakeServer {
  return new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPEN) return server.handle(id);
    if (type === PacketType.FSTAT || type === PacketType.STAT) {
      return server.packet(
        PacketType.ATTRS,
        ...u32(id),
        ...u32(SIZE_ONLY),
        ...u64(size),
      );
    }
    server.status(id, Status.OK);
  });
}

const kinds = ({ requests }: FakeServer) =>
  requests.map(({ type }: Request) => type);

Deno.test("Sftp.stat() gives the largest sizes nearly, and all others exactly", async () => {
  for (
    const [sent, size] of [
      [2n ** 53n - 1n, Number.MAX_SAFE_INTEGER],
      [2n ** 63n + 1n, 2 ** 63],
      [2n ** 64n - 1n, 2 ** 64],
    ] as const
  ) {
    const sftp = await startSftp(serveSize(sent).transport);
    assertEquals((await sftp.stat("/f")).size, size);
    sftp.close();
  }
});

// As an offset, 2^64 - 1 would become 2^64, which is sent as 0: the beginning.
for (const size of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
  Deno.test(`Sftp.writeFile() appends nothing to a file of ${size} bytes, and closes it`, async () => {
    const server = serveSize(size);
    const sftp = await startSftp(server.transport);
    const error = await assertRejects(
      () => sftp.writeFile("/f", new Uint8Array(3), { append: true }),
      SftpError,
      `Cannot append to "/f": the server says that it has ${Number(size)} ` +
        "bytes, must be at most 9007199254740991",
    );
    assertEquals(error.code, "SSH_SFTP_FAILURE");
    assertEquals(kinds(server), [
      PacketType.OPEN,
      PacketType.FSTAT,
      PacketType.CLOSE,
    ]);
    assertEquals((await sftp.stat("/f")).isFile, false, "the session goes on");
    sftp.close();
  });
}

Deno.test("Sftp.statFileSystem() multiplies before it rounds, and finds a flag among 64", async () => {
  const numbers = [
    4096n, // the size of a block
    1n << 20n, // the unit
    (1n << 40n) + 1n,
    (1n << 33n) - 1n,
    1n,
    2n ** 64n - 1n,
    0n,
    0n,
    0n,
    2n ** 63n + 1n, // the flags: read-only, and one of the highest
    255n,
  ];
  const server = new FakeServer(
    ({ id }, server) =>
      server.packet(
        PacketType.EXTENDED_REPLY,
        ...u32(id),
        ...numbers.flatMap(u64),
      ),
    [["statvfs@openssh.com", "2"]],
  );
  const sftp = await startSftp(server.transport);
  assertEquals(await sftp.statFileSystem("/"), {
    totalBytes: 2 ** 60 + 2 ** 20,
    freeBytes: 2 ** 53 - 2 ** 20,
    availableBytes: 2 ** 20,
    totalFiles: 2 ** 64,
    freeFiles: 0,
    isReadOnly: true,
  });
  sftp.close();
});

Deno.test("Sftp takes limits of a server, whatever they are, and asks for no more than its own", async () => {
  for (
    const [limit, asked] of [
      [0n, 32 * 1024],
      [1000n, 1000],
      [2n ** 64n - 1n, 255 * 1024],
    ] as const
  ) {
    const lengths: number[] = [];
    const server = new FakeServer(({ type, id, body }, server) => {
      if (type === PacketType.EXTENDED) {
        return server.packet(
          PacketType.EXTENDED_REPLY,
          ...u32(id),
          ...[limit, limit, limit, limit].flatMap(u64),
        );
      }
      if (type === PacketType.OPEN) return server.handle(id);
      if (type === PacketType.READ) {
        body.bytes();
        body.u64();
        lengths.push(body.u32());
        return server.status(id, Status.EOF);
      }
      server.status(id, Status.OK);
    }, [["limits@openssh.com", "1"]]);
    const sftp = await startSftp(server.transport);
    assertEquals((await sftp.readFile("/f")).length, 0);
    assertEquals(lengths[0], asked);
    sftp.close();
  }
});

for (const offset of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
  Deno.test(`SftpFile refuses to begin at ${offset}, and sends nothing`, async () => {
    const server = serveSize(0n);
    const sftp = await startSftp(server.transport);
    const file = await sftp.open("/f", { read: true, write: true });
    const bytes = new Uint8Array(1);
    const none = (async function* () {})();
    for (
      const begin of [
        () => file.readAt(bytes, offset),
        () => file.writeAt(bytes, offset),
        () => file.writeFrom(none, offset),
      ]
    ) {
      await assertRejects(begin, RangeError, "offset");
    }
    assertEquals(kinds(server), [PacketType.OPEN]);
    sftp.close();
  });
}

Deno.test("SftpServer answers a position that no file can have with a failure, and goes on", async () => {
  const answers: PacketReader[] = [];
  const splitter = new PacketSplitter((packet) =>
    void answers.push(new PacketReader(packet.slice()))
  );
  let ends = 0;
  const server = new SftpServer({
    files: new MemoryFiles({ "/a": "text" }).served(),
    send: (bytes) => {
      splitter.push(bytes);
      return undefined;
    },
    end: () => ends++,
  });
  const ask = async (packet: Uint8Array) => {
    await server.receive(packet);
    return answers.pop()!;
  };
  const request = (type: number) => new PacketWriter(type);
  await ask(request(PacketType.INIT).u32(3).finish(0));
  const opened = await ask(
    request(PacketType.OPEN).text("/a").u32(3).u32(0).finish(1),
  );
  opened.u32();
  const handle = opened.bytes();
  const far = 2 ** 60;
  for (
    const packet of [
      request(PacketType.READ).bytes(handle).u64(far).u32(9),
      request(PacketType.WRITE).bytes(handle).u64(far).bytes(handle),
      request(PacketType.FSETSTAT).bytes(handle).u32(SIZE_ONLY).u64(far),
    ]
  ) {
    const answer = await ask(packet.finish(2));
    assertEquals(
      [answer.type, answer.u32(), answer.u32()],
      [PacketType.STATUS, 2, Status.BAD_MESSAGE],
    );
  }
  const read = await ask(
    request(PacketType.READ).bytes(handle).u64(0).u32(9).finish(3),
  );
  read.u32();
  assertEquals(new TextDecoder().decode(read.bytes()), "text");
  assertEquals(ends, 0);
  server.close();
});
