// What a peer sends by SFTP, whatever it is: replies of a server to the client,
// and bytes of a client to the server of the fakes. Each takes a second;
// SSHPOOL_FUZZ_SECONDS=60 makes it a minute.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { SshError } from "../../../transport/errors.ts";
import {
  dirEntries,
  readAttributes,
  readFileSystem,
} from "../../../transport/sftp/_attributes.ts";
import { SftpError } from "../../../transport/sftp/errors.ts";
import {
  decodeFileName,
  encodeFileName,
} from "../../../transport/sftp/names.ts";
import {
  MAX_PACKET_BYTES,
  PacketReader,
  PacketType as Type,
} from "../../../transport/sftp/packets.ts";
import { startSftp } from "../../../transport/sftp/open_session.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";
import { PacketSplitter } from "../../../transport/sftp/splitter.ts";
import { MemoryFiles } from "../../../transport/testing/mod.ts";
import { SftpServer } from "../../../transport/testing/sftp_server/sftp_server.ts";
import { fuzz, type Random } from "../../kit/random.ts";
import { FakeServer, type Request, u32 } from "./_fake_server.ts";

/** Numbers at which a reader could go wrong. */
const EDGES = [0, 1, 2, 4, 255, 65_536, 0x7fffffff, 0x80000000, 0xffffffff];

function number(random: Random): number[] {
  return u32(random.chance(0.5) ? random.pick(EDGES) : random.below(20));
}

/** Bytes behind their length, which is now and then a lie. */
function bytes(random: Random, most = 30): number[] {
  const content = random.bytes(random.below(most));
  const isLie = random.chance(0.05);
  return [...isLie ? number(random) : u32(content.length), ...content];
}

function attributes(random: Random): number[] {
  const flags = random.chance(0.8) ? random.below(16) : random.pick(EDGES);
  const words = random.chance(0.9)
    ? [1, 1, 2, 2, 4, 8, 8].filter((flag) => flags & flag).length
    : random.below(9);
  return [
    ...u32(flags),
    ...Array.from({ length: words }, () => number(random)).flat(),
  ];
}

function entries(random: Random): number[] {
  const count = random.below(5);
  return [
    ...random.chance(0.9) ? u32(count) : number(random),
    ...Array.from({ length: count }, () => [
      ...bytes(random),
      ...bytes(random),
      ...attributes(random),
    ]).flat(),
  ];
}

/** The content of a reply, behind its id. */
const REPLIES: Readonly<Record<number, (random: Random) => number[]>> = {
  [Type.STATUS]: (random) => [
    ...u32(random.chance(0.8) ? random.below(10) : random.pick(EDGES)),
    ...random.chance(0.9) ? [...bytes(random, 400), ...bytes(random)] : [],
  ],
  [Type.HANDLE]: (random) => bytes(random, random.pick([5, 300])),
  [Type.DATA]: (random) => bytes(random, random.pick([5, 3000])),
  [Type.NAME]: entries,
  [Type.ATTRS]: attributes,
  [Type.EXTENDED_REPLY]: (random) => [...random.bytes(random.below(100))],
};

const EXPECTED: Readonly<Record<number, number>> = {
  [Type.OPEN]: Type.HANDLE,
  [Type.OPENDIR]: Type.HANDLE,
  [Type.READ]: Type.DATA,
  [Type.READDIR]: Type.NAME,
  [Type.REALPATH]: Type.NAME,
  [Type.READLINK]: Type.NAME,
  [Type.STAT]: Type.ATTRS,
  [Type.LSTAT]: Type.ATTRS,
  [Type.FSTAT]: Type.ATTRS,
  [Type.EXTENDED]: Type.EXTENDED_REPLY,
};

/** A server that answers anything, mostly what is plausible. */
function fakeServer(random: Random): FakeServer {
  let left = 40;
  return new FakeServer(({ type, id }: Request, server) => {
    queueMicrotask(() => {
      if (left-- === 0) return server.end(new Error("enough"));
      const expected = EXPECTED[type] ?? Type.STATUS;
      const kind = random.chance(0.7)
        ? expected
        : Number(random.pick(Object.keys(REPLIES)));
      const content = REPLIES[kind]!(random);
      const own = random.chance(0.97) ? id : random.pick(EDGES);
      const packet = [kind, ...u32(own), ...content];
      const length = random.chance(0.98) ? packet.length : random.below(2000);
      const whole = new Uint8Array([...u32(length), ...packet]);
      const cut = random.below(whole.length);
      try {
        server.raw(whole.slice(0, cut));
        server.raw(whole.slice(cut));
      } catch (error) {
        assertInstanceOf(error, SftpError);
        server.end(error);
      }
    });
  }, [
    ["posix-rename@openssh.com", "1"],
    ["limits@openssh.com", random.pick(["1", "2", ""])],
    ["statvfs@openssh.com", "2"],
    ["hardlink@openssh.com", "1"],
  ]);
}

const CALLS: readonly ((sftp: Sftp) => Promise<unknown>)[] = [
  (sftp) => sftp.stat("/a"),
  (sftp) => sftp.lstat("/a"),
  (sftp) => Array.fromAsync(sftp.readDir("/a")),
  (sftp) => sftp.readFile("/a"),
  (sftp) => sftp.writeFile("/a", new Uint8Array(100_000)),
  (sftp) => sftp.writeFile("/a", new Uint8Array(10), { atomic: true }),
  (sftp) => sftp.mkdir("/a/b", { recursive: true }),
  (sftp) => sftp.remove("/a", { recursive: true }),
  (sftp) => sftp.rename("/a", "/b"),
  (sftp) => sftp.readLink("/a"),
  (sftp) => sftp.realPath("/a"),
  (sftp) => sftp.statFileSystem("/a"),
  (sftp) => sftp.symlink("/a", "/b"),
  (sftp) => sftp.truncate("/a", 5),
];

/** Settles by itself, or is a hang. */
async function settled(work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hang = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TypeError("It hangs")), 30_000);
  });
  try {
    await Promise.race([work, hang]);
  } catch (error) {
    if (!(error instanceof SshError)) throw error;
  } finally {
    clearTimeout(timer);
  }
}

Deno.test("Sftp answers or throws an SshError, whatever a server replies", async () => {
  const count = await fuzz(async (random) => {
    const server = fakeServer(random);
    await settled((async () => {
      const sftp = await startSftp(server.transport, { host: "me@test:22" });
      const calls = random.some(CALLS, 4).map((call) => settled(call(sftp)));
      // A reply under another id leaves a call without its own.
      const quiet = setTimeout(() => server.end(new Error("quiet")), 50);
      await Promise.all(calls);
      clearTimeout(quiet);
      sftp.close();
    })());
  });
  assert(count > 0);
});

Deno.test("readers of attributes, names and file systems give safe numbers or an SftpError, whatever the bytes", async () => {
  await fuzz((random) => {
    for (let round = 0; round < 100; round++) {
      for (const make of [attributes, entries, () => random.bytes(99)]) {
        const packet = new Uint8Array([Type.NAME, ...make(random)]);
        for (const read of [readAttributes, dirEntries, readFileSystem]) {
          try {
            checkNumbers(read(new PacketReader(packet)));
          } catch (error) {
            assertInstanceOf(error, SftpError);
          }
        }
      }
    }
  });
});

function checkNumbers(value: unknown): void {
  if (typeof value === "number") assert(value >= 0, String(value));
  else if (Array.isArray(value)) value.forEach(checkNumbers);
  else if (value instanceof Date) assert(!Number.isNaN(value.getTime()));
  else if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(checkNumbers);
  }
}

Deno.test("decodeFileName() and encodeFileName() lose nothing, whatever the bytes", async () => {
  await fuzz((random) => {
    for (let round = 0; round < 500; round++) {
      const name = random.bytes(random.below(40));
      assertEquals(encodeFileName(decodeFileName(name)), name);
    }
  });
});

/** The packets in some bytes, and whether they end with an error. */
function split(chunks: readonly Uint8Array[]): unknown[] {
  const found: unknown[] = [];
  const splitter = new PacketSplitter((packet) => {
    assert(packet.length <= MAX_PACKET_BYTES);
    found.push(packet.slice());
  });
  try {
    for (const chunk of chunks) splitter.push(chunk);
  } catch (error) {
    assertInstanceOf(error, SftpError);
    found.push("error");
  }
  return found;
}

Deno.test("PacketSplitter finds the same packets wherever the bytes are cut, or throws an SftpError", async () => {
  await fuzz((random) => {
    const all = new Uint8Array(
      Array.from({ length: random.below(8) }, () => bytes(random, 200)).flat(),
    );
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < all.length;) {
      const end = at + 1 + random.below(random.pick([1, 7, 100]));
      pieces.push(all.slice(at, end));
      at = end;
    }
    assertEquals(split(pieces), split([all]));
  });
});

Deno.test("SftpServer of the fakes answers or ends, whatever a client sends", async () => {
  await fuzz(async (random) => {
    let ends = 0;
    const server = new SftpServer({
      files: new MemoryFiles({ "/a": "text", "/d/": "" }).served(),
      send: () => undefined,
      end: () => ends++,
    });
    const init = [Type.INIT, ...u32(3)];
    const packets = [
      init,
      ...Array.from({ length: 20 }, () => [
        1 + random.below(21),
        ...number(random),
        ...random.chance(0.5) ? [...u32(2), 47, 97] : bytes(random),
        ...number(random),
        ...random.chance(0.5) ? attributes(random) : bytes(random),
      ]),
    ];
    for (const packet of packets) {
      await server.receive(new Uint8Array([...u32(packet.length), ...packet]));
    }
    server.close();
    assert(ends <= 1);
  });
});
