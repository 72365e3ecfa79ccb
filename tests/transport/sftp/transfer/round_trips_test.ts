// What is sent without waiting, and what waits: with answers that the test
// holds back.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { SftpError } from "../../../../transport/sftp/errors.ts";
import { PacketType } from "../../../../transport/sftp/packets.ts";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import { download } from "../../../../transport/sftp/transfer/download.ts";
import { upload } from "../../../../transport/sftp/transfer/upload.ts";
import { FakeServer, type Request, string, u32 } from "../_fake_server.ts";

const NAMES = Object.fromEntries(
  Object.entries(PacketType).map(([name, type]) => [type, name]),
);
const later = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
const MTIME = 1_000_000_000;
/** OpenSSH has it, and those who work on requests in parallel do not. */
const IN_ORDER = [["fsync@openssh.com", "1"]] as const;

const content = (length: number, seed = 1) =>
  new Uint8Array(length).map((_, index) => index * 31 * seed + (index >> 8));

/**
 * A server far away: it answers the requests of a round trip when all that the
 * test expects in it are there. If the client waits for one of the answers, the
 * test meets its deadline.
 */
class FarServer extends FakeServer {
  /** The names of the requests of each round trip. */
  readonly trips: string[] = [];
  readonly #expected: string[];
  readonly #waiting: Request[] = [];

  /**
   * @param expected The names of the requests of each round trip; what comes
   * after them is answered at once.
   */
  constructor(
    answer: (request: Request, server: FakeServer) => void,
    extensions: readonly (readonly [string, string])[],
    expected: readonly string[],
  ) {
    super((request) => {
      const waiting = this.#waiting;
      waiting.push(request);
      const [trip = ""] = this.#expected;
      if (waiting.length !== trip.split(" ").length) return;
      // Not in this turn: what is sent in it without waiting belongs to it.
      setTimeout(() => {
        this.#expected.shift();
        this.trips.push(waiting.map(({ type }) => NAMES[type]).join(" "));
        for (const each of waiting.splice(0)) answer(each, this);
      }, 0);
    }, extensions);
    this.#expected = [...expected];
  }
}

interface Served {
  readonly data: Uint8Array;
  readonly mtime?: number;
}

/** Answers what a download asks; `files` are what each look at it finds. */
function serveFile(files: readonly Served[]) {
  let looks = 0;
  const now = () => files[Math.min(looks, files.length - 1)]!;
  return ({ type, id, body }: Request, server: FakeServer) => {
    switch (type) {
      case PacketType.OPEN:
        return server.handle(id);
      case PacketType.STAT:
      case PacketType.FSTAT: {
        const { data, mtime = MTIME } = now();
        looks++;
        return attributes(server, id, data.length, mtime);
      }
      case PacketType.READ: {
        body.bytes();
        const [offset, length] = [Number(body.u64()), body.u32()];
        const piece = now().data.subarray(offset, offset + length);
        return piece.length === 0
          ? server.status(id, 1)
          : server.data(id, piece);
      }
      default:
        return server.status(id, 0);
    }
  };
}

function attributes(
  server: FakeServer,
  id: number,
  size: number,
  mtime = MTIME,
): void {
  const [withSize, withMode, withTimes] = [1, 4, 8];
  server.packet(
    PacketType.ATTRS,
    ...u32(id),
    ...u32(withSize | withMode | withTimes),
    ...u32(0),
    ...u32(size),
    ...u32(0o100644),
    ...u32(mtime),
    ...u32(mtime),
  );
}

async function withFolder(fn: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sshpool-trips-" });
  try {
    await fn(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function names(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name)
    .toSorted();
}

const DEADLINE_MS = 10_000;
/** Of 100,000 bytes. */
const READS = "READ READ READ READ";

Deno.test("download() of a file takes three round trips, and its close none", async () => {
  await withFolder(async (dir) => {
    const data = content(100_000);
    const trips = [
      // Whether it is a file: to open a named pipe would block the server.
      "STAT",
      "OPEN",
      `FSTAT ${READS} FSTAT`,
      "CLOSE",
    ];
    const server = new FarServer(serveFile([{ data }]), IN_ORDER, trips);
    const sftp = await startSftp(server.transport);
    await deadline(download(sftp, "f", `${dir}/f`), DEADLINE_MS);
    assertEquals(await Deno.readFile(`${dir}/f`), data);
    while (sftp.requestsInFlight > 0) await later();
    assertEquals(server.trips, trips);
  });
});

Deno.test("download() looks at the file again after the last answer of a server that may work in parallel", async () => {
  await withFolder(async (dir) => {
    const data = content(100_000);
    const trips = ["STAT", "OPEN", `FSTAT ${READS}`, "FSTAT", "CLOSE"];
    const server = new FarServer(serveFile([{ data }]), [], trips);
    const sftp = await startSftp(server.transport);
    await deadline(download(sftp, "f", `${dir}/f`), DEADLINE_MS);
    while (sftp.requestsInFlight > 0) await later();
    assertEquals(server.trips, trips);
  });
});

Deno.test("download() begins again with a file that another has replaced since it was found", async () => {
  for (const size of [0, 50_000, 100_000, 200_000]) {
    await withFolder(async (dir) => {
      const [old, data] = [content(100_000), content(size, 2)];
      const newer = { data, mtime: MTIME + 5 };
      // Found as the old one, and another when it is opened.
      const server = new FakeServer(
        serveFile([{ data: old }, newer]),
        IN_ORDER,
      );
      const sftp = await startSftp(server.transport);
      const seen: number[] = [];
      await download(sftp, "f", `${dir}/f`, {
        onProgress: ({ bytes }) => void seen.push(bytes),
      });
      assertEquals(await Deno.readFile(`${dir}/f`), data);
      assertEquals(seen, seen.toSorted((a, b) => a - b));
      assertEquals(seen.at(-1), size);
      sftp.close();
    });
  }
});

Deno.test("download() sees a change that comes between its last READ and the end", async () => {
  await withFolder(async (dir) => {
    const data = content(100_000);
    const changed = { data, mtime: MTIME + 5 };
    const server = new FakeServer(
      serveFile([{ data }, { data }, changed]),
      IN_ORDER,
    );
    const sftp = await startSftp(server.transport);
    const error = await assertRejects(
      () => download(sftp, "f", `${dir}/f`),
      SftpError,
    );
    assertEquals(error.code, "SSH_SFTP_SOURCE_CHANGED");
    assertEquals(await names(dir), []);
    sftp.close();
  });
});

Deno.test("SftpFile.readRange() calls onSent again when a short answer needs one more request", async () => {
  const data = content(3000);
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.OPEN) return server.handle(id);
    if (type !== PacketType.READ) return server.status(id, 0);
    body.bytes();
    const [offset, length] = [Number(body.u64()), body.u32()];
    server.data(id, data.subarray(offset, offset + Math.min(length, 1000)));
  }, IN_ORDER);
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f");
  const asked: number[] = [];
  const pieces = await Array.fromAsync(file.readRange({
    end: 3000,
    onSent: () => void asked.push(server.requests.length),
  }));
  assertEquals(pieces.map(({ length }) => length), [1000, 1000, 1000]);
  assertEquals(asked.length, 3);
  await file.close();
  sftp.close();
});

/** Answers what an upload asks, and fails what `fails` names. */
function takeFile(size: number, fails: (request: Request) => boolean) {
  return (request: Request, server: FakeServer) => {
    const { type, id } = request;
    if (fails(request)) return server.status(id, 4, "no");
    if (type === PacketType.OPEN) return server.handle(id);
    if (type === PacketType.FSTAT || type === PacketType.LSTAT) {
      return attributes(server, id, size);
    }
    server.status(id, 0);
  };
}

const UPLOADED = 100_000;
const writes = "WRITE WRITE WRITE WRITE";

async function uploadTo(
  fails: (request: Request) => boolean,
  extensions: readonly (readonly [string, string])[],
  trips: readonly string[],
  size = UPLOADED,
): Promise<unknown> {
  const server = new FarServer(takeFile(size, fails), extensions, trips);
  const sftp = await startSftp(server.transport);
  let error: unknown;
  await withFolder(async (dir) => {
    await Deno.writeFile(`${dir}/f`, content(UPLOADED));
    const uploading = upload(sftp, `${dir}/f`, "target");
    await deadline(uploading, DEADLINE_MS).catch((it) => error = it);
  });
  sftp.close();
  assertEquals(server.trips, trips);
  return error;
}

const none = () => false;
const TAIL = "FSTAT FSETSTAT CLOSE";

Deno.test("upload() of a file takes three round trips: the last one gives it its name", async () => {
  const trips = ["OPEN LSTAT", `${writes} ${TAIL}`, "RENAME"];
  assertEquals(await uploadTo(none, IN_ORDER, trips), undefined);
});

Deno.test("upload() sets times after the last answer of a server that may work in parallel", async () => {
  const trips = ["OPEN LSTAT", writes, TAIL, "RENAME"];
  assertEquals(await uploadTo(none, [], trips), undefined);
});

const REMOVED = ["OPEN LSTAT", `${writes} ${TAIL}`, "LSTAT", "REMOVE"];

for (
  const [what, fails] of Object.entries({
    "a WRITE": ({ type, id }: Request) => type === PacketType.WRITE && id === 3,
    "the last WRITE": ({ type, id }: Request) =>
      type === PacketType.WRITE && id === 5,
    "the FSTAT": ({ type }: Request) => type === PacketType.FSTAT,
    "the FSETSTAT": ({ type }: Request) => type === PacketType.FSETSTAT,
    // As a file system over a network does that had no room for the data.
    "the CLOSE": ({ type }: Request) => type === PacketType.CLOSE,
  })
) {
  Deno.test(`upload() does not give a file its name when ${what} fails behind which it has sent more`, async () => {
    const error = await uploadTo(fails, IN_ORDER, REMOVED);
    assert(error instanceof SftpError, String(error));
    assertEquals(error.code, "SSH_SFTP_FAILURE");
  });
}

Deno.test("upload() does not give a file its name when the server has less of it than was sent", async () => {
  const error = await uploadTo(none, IN_ORDER, REMOVED, UPLOADED - 1);
  assert(error instanceof SftpError, String(error));
  assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
});

Deno.test("upload() sends requests as large as the server takes, none cut short, and what the file has", async () => {
  const [most, size] = [255 * 1024, 3_000_000];
  const data = content(size);
  const got = new Uint8Array(size);
  const sizes: number[] = [];
  const held: (() => void)[] = [];
  const plain = takeFile(size, none);
  const server = new FakeServer((request, server) => {
    const { type, id, body } = request;
    if (type === PacketType.EXTENDED) {
      const limits = [most + 1024, most, most, 0];
      const reply = limits.flatMap((limit) => [...u32(0), ...u32(limit)]);
      return server.packet(PacketType.EXTENDED_REPLY, ...u32(id), ...reply);
    }
    if (type !== PacketType.WRITE) return plain(request, server);
    body.bytes();
    const offset = Number(body.u64());
    const piece = body.bytes();
    got.set(piece, offset);
    sizes.push(piece.length);
    // Out of order, so that memory is free in another order than it was used.
    held.push(() => server.status(id, 0));
    if (held.length < 4 && offset + piece.length < size) return;
    for (const answer of held.splice(0).toReversed()) queueMicrotask(answer);
  }, [...IN_ORDER, ["limits@openssh.com", "1"]]);
  const sftp = await startSftp(server.transport);
  await withFolder(async (dir) => {
    await Deno.writeFile(`${dir}/f`, data);
    await upload(sftp, `${dir}/f`, "target");
  });
  sftp.close();
  assertEquals(sizes, [...Array(11).fill(most), size - 11 * most]);
  assertEquals(got.findIndex((byte, at) => byte !== data[at]), -1);
});

Deno.test("Sftp.writeFile() with atomic takes four round trips, and gives no name when one of them fails", async () => {
  const run = async (
    fails: (request: Request) => boolean,
    trips: readonly string[],
  ) => {
    const server = new FarServer(
      (request, server) => {
        if (request.type === PacketType.LSTAT) {
          return server.status(request.id, 2);
        }
        takeFile(UPLOADED, fails)(request, server);
      },
      IN_ORDER,
      trips,
    );
    const sftp = await startSftp(server.transport);
    const writing = sftp.writeFile("f", content(UPLOADED), {
      atomic: true,
      mode: 0o600,
    });
    const error = await deadline(writing, DEADLINE_MS).catch((it) => it);
    sftp.close();
    assertEquals(server.trips, trips);
    return error;
  };
  const begin = ["LSTAT", "OPEN", `${writes} FSETSTAT EXTENDED CLOSE`];
  assertEquals(await run(none, [...begin, "RENAME"]), undefined);
  // The data is not on the disk, says the extension fsync.
  const isSync = ({ type }: Request) => type === PacketType.EXTENDED;
  const error = await run(isSync, [...begin, "REMOVE"]);
  assert(error instanceof SftpError, String(error));
});

Deno.test("SftpFile.readRange() uses the memory of a piece again with reuse, and never that of another reader", async () => {
  // More than what is asked for ahead.
  const data = content(12_000_000);
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.OPEN) return server.handle(id);
    if (type !== PacketType.READ) return server.status(id, 0);
    body.bytes();
    const [offset, length] = [Number(body.u64()), body.u32()];
    const piece = data.subarray(offset, offset + length);
    if (piece.length === 0) return server.status(id, 1);
    // In two chunks, so that the packet is put together.
    const packet = new Uint8Array(13 + piece.length);
    packet.set([...u32(9 + piece.length), PacketType.DATA, ...u32(id)]);
    packet.set(u32(piece.length), 9);
    packet.set(piece, 13);
    setTimeout(() => {
      server.raw(packet.subarray(0, 20_000));
      server.raw(packet.subarray(20_000));
    }, 0);
  });
  const sftp = await startSftp(server.transport);
  const [a, b] = await Promise.all([sftp.open("a"), sftp.open("b")]);
  const kept: Uint8Array[] = [];
  const keep = async () => {
    for await (const piece of b.readRange({ end: data.length })) {
      kept.push(piece);
    }
  };
  const memory = new Set<ArrayBufferLike>();
  const use = async () => {
    let at = 0;
    for await (const piece of a.readRange({ reuse: true })) {
      memory.add(piece.buffer);
      // Whoever writes to a file takes a while.
      await later();
      assert(piece.every((byte, i) => byte === data[at + i]), `at ${at}`);
      at += piece.length;
    }
    assertEquals(at, data.length);
  };
  await Promise.all([use(), keep(), use()]);
  const pieces = Math.ceil(data.length / 32768);
  assert(memory.size < pieces, `${memory.size} of ${pieces}`);
  const joined = new Uint8Array(data.length);
  let at = 0;
  for (const piece of kept) {
    joined.set(piece, at);
    at += piece.length;
  }
  assert(joined.every((byte, i) => byte === data[i]));
  await Promise.all([a.close(), b.close()]);
  while (sftp.requestsInFlight > 0) await later();
});

for (const what of ["makes", "removes"] as const) {
  Deno.test(`upload() ${what} as many folders at a time as concurrency says, and 32 at most`, async () => {
    const source = await Deno.makeTempDir({ prefix: "sshpool-many-" });
    const names = Array.from({ length: 100 }, (_, i) => `${i}`);
    const folder = [...u32(4), ...u32(0o040755)];
    const listing = names.flatMap((name) => [
      ...[...string(name), ...string(""), ...folder],
    ]);
    try {
      if (what === "makes") {
        for (const name of names) await Deno.mkdir(`${source}/${name}`);
      }
      for (const [concurrency, wanted] of [[3, 3], [100, 32]] as const) {
        let [waiting, most, done, lists] = [0, 0, 0, 0];
        const server = new FakeServer(({ type, id, body }, server) => {
          const isTop = new TextDecoder().decode(body.bytes()) === "to";
          if (type === PacketType.OPENDIR) {
            return server.handle(id, isTop ? "to" : `h${id}`);
          }
          if (type === PacketType.LSTAT) {
            if (what === "makes") return server.status(id, 2);
            return server.packet(PacketType.ATTRS, ...u32(id), ...folder);
          }
          if (type === PacketType.READDIR) {
            if (!isTop || lists++ > 0) return server.status(id, 1);
            const head = [...u32(id), ...u32(names.length)];
            return server.packet(PacketType.NAME, ...head, ...listing);
          }
          if (type !== PacketType.MKDIR && type !== PacketType.RMDIR) {
            return server.status(id, 0);
          }
          most = Math.max(most, ++waiting);
          setTimeout(() => {
            waiting--;
            done++;
            server.status(id, 0);
          }, 0);
        });
        const sftp = await startSftp(server.transport);
        await upload(sftp, source, "to", {
          concurrency,
          preserve: false,
          ...what === "removes" && { delete: "even-if-empty" },
        });
        assertEquals(most, wanted);
        // The top is made as well.
        assertEquals(done, names.length + (what === "makes" ? 1 : 0));
        sftp.close();
      }
    } finally {
      await Deno.remove(source, { recursive: true });
    }
  });
}
