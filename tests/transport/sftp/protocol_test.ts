// What a server may do that OpenSSH's never does: answers that are malformed,
// short, late, out of order or missing.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { mock } from "node:test";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { decodeFileName } from "../../../transport/sftp/names.ts";
import {
  type PacketReader,
  PacketType,
} from "../../../transport/sftp/packets.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";
import { protocolOf } from "../../../transport/sftp/_protocol.ts";
import { startSftp } from "../../../transport/sftp/open_session.ts";
import { OpeningText } from "../../../transport/sftp/_opening_text.ts";
import { upload } from "../../../transport/sftp/transfer/upload.ts";
import { slowdown } from "../../kit/linear.ts";
import { withSeed } from "../../kit/random.ts";
import { FakeServer, type Request, string, u32 } from "./_fake_server.ts";

const later = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** Answers OPEN, CLOSE and the reads of a file with this content. */
function serveFile(
  content: Uint8Array,
  atMost = Infinity,
  deliver: (send: () => void) => void = (send) => send(),
): FakeServer {
  return new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.OPEN) return deliver(() => server.handle(id));
    if (type === PacketType.CLOSE) return deliver(() => server.status(id, 0));
    body.bytes();
    const [offset, length] = [Number(body.u64()), body.u32()];
    const end = Math.min(offset + Math.min(length, atMost), content.length);
    deliver(() =>
      offset >= content.length
        ? server.status(id, 1)
        : server.data(id, content.subarray(offset, end))
    );
  });
}

const content = (length: number) =>
  new Uint8Array(length).map((_, index) => index * 31 + (index >> 8));

Deno.test("Sftp.readFile() is right with short answers in any order", () =>
  withSeed(async (random) => {
    for (
      const [size, atMost] of [[100_000, 999], [300_000, 20_000], [
        1,
        1,
      ]] as const
    ) {
      const waiting: (() => void)[] = [];
      const server = serveFile(content(size), atMost, (send) => {
        waiting.push(send);
        setTimeout(
          () => waiting.splice(random.below(waiting.length), 1)[0]?.(),
          0,
        );
      });
      const sftp = await startSftp(server.transport);
      assertEquals(await sftp.readFile("f"), content(size));
      while (sftp.requestsInFlight > 0) await later();
      sftp.close();
    }
  }));

Deno.test("Sftp.readFile() is right when the server sends one byte at a time", async () => {
  const server = serveFile(content(5000));
  let receive: (bytes: Uint8Array) => void = () => {};
  server.transport.onData((bytes) =>
    bytes.forEach((byte) => receive(Uint8Array.of(byte)))
  );
  const transport = {
    ...server.transport,
    onData: (callback: typeof receive) => void (receive = callback),
  };
  const sftp = await startSftp(transport);
  assertEquals(await sftp.readFile("f"), content(5000));
});

const BAD_ANSWERS: readonly (readonly [
  string,
  (request: Request, server: FakeServer) => void,
])[] = [
  [
    "a packet longer than any may be",
    (_, server) => server.raw(new Uint8Array([0x7f, 0, 0, 0])),
  ],
  ["an empty packet", (_, server) => server.raw(new Uint8Array(4))],
  [
    "a string longer than its packet",
    ({ id }, server) =>
      server.packet(PacketType.HANDLE, ...u32(id), ...u32(1000), 1),
  ],
  [
    "a packet that ends within a number",
    ({ id }, server) => server.packet(PacketType.STATUS, ...u32(id), 0, 0),
  ],
  [
    "an id that was not asked for",
    ({ id }, server) => server.status(id + 1, 0),
  ],
  [
    "an answer of a wrong type",
    ({ id }, server) => server.data(id, new Uint8Array(3)),
  ],
  ["success without a handle", ({ id }, server) => server.status(id, 0)],
  [
    "a handle that is too long",
    ({ id }, server) => server.handle(id, "x".repeat(257)),
  ],
  ["end of file to an OPEN", ({ id }, server) => server.status(id, 1)],
];

for (const [name, answer] of BAD_ANSWERS) {
  Deno.test(`Sftp ends the session with SSH_SFTP_PROTOCOL after ${name}`, async () => {
    const server = new FakeServer(answer);
    const sftp = await startSftp(server.transport);
    const error = await assertRejects(() => sftp.open("f"), SftpError);
    assertEquals(error.code, "SSH_SFTP_PROTOCOL", error.message);
    assertEquals([sftp.isClosed, server.closes], [true, 1]);
    server.raw(new Uint8Array(100)); // what comes after the end is ignored
  });
}

Deno.test("Sftp ends the session after an answer that a READ did not ask for", async () => {
  for (const length of [0, 40_000]) {
    const server = new FakeServer(({ type, id }, server) =>
      type === PacketType.OPEN
        ? server.handle(id)
        : server.data(id, new Uint8Array(length))
    );
    const sftp = await startSftp(server.transport);
    const error = await assertRejects(() => sftp.readFile("f"), SftpError);
    assertEquals(error.code, "SSH_SFTP_PROTOCOL");
  }
});

Deno.test("Sftp.readDir() refuses a huge count of names, and names with a slash", async () => {
  const answers = [
    [...u32(0xffffffff), ...string("a")],
    [...u32(1), ...string("../a"), ...string(""), ...u32(0)],
    [...u32(1), ...string("a\0"), ...string(""), ...u32(0)],
    [...u32(1), ...string(""), ...string(""), ...u32(0)],
    [
      ...u32(1),
      ...string("a"),
      ...string(""),
      ...u32(0x80000000),
      ...u32(0xffffffff),
    ],
  ];
  for (const names of answers) {
    const server = new FakeServer(({ type, id }, server) =>
      type === PacketType.OPENDIR
        ? server.handle(id)
        : server.packet(PacketType.NAME, ...u32(id), ...names)
    );
    const sftp = await startSftp(server.transport);
    const error = await assertRejects(
      () => Array.fromAsync(sftp.readDir("d")),
      SftpError,
    );
    assertEquals(error.code, "SSH_SFTP_PROTOCOL", error.message);
  }
});

Deno.test("startSftp() says what a shell printed in place of the protocol", async () => {
  const server = new FakeServer(() => {}, undefined);
  const starting = assertRejects(() => startSftp(server.transport), SftpError);
  server.raw(new TextEncoder().encode("Welcome to \x1b[1mweb-1\n"));
  const error = await starting;
  assertEquals(error.code, "SSH_SFTP_PROTOCOL");
  assert(
    error.message.includes('"Welcome to \\x1b[1mweb-1\\x0a"'),
    error.message,
  );
});

Deno.test("startSftp() gives a program that prints and waits a moment to say whose text it is", async () => {
  mock.timers.enable({ apis: ["setTimeout"] } as never);
  try {
    const server = new FakeServer();
    const silent = { ...server.transport, write: () => undefined };
    const starting = assertRejects(() => startSftp(silent), SftpError);
    server.raw(new TextEncoder().encode("Menu: 1) reboot"));
    server.raw(new TextEncoder().encode(", 2) exit"));
    mock.timers.tick(1_000);
    const { message, hint } = await starting;
    assertMatch(message, /instead of a packet: "Menu: 1\) reboot, 2\) exit"$/);
    assertMatch(hint ?? "", /such as a ForceCommand of sshd/);
  } finally {
    mock.timers.reset();
  }
});

Deno.test("OpeningText finds the first packet in pieces of any size, within 16 KiB", () => {
  const packet = [0, 0, 0, 5, PacketType.VERSION, ...u32(3)];
  const found = (text: string, size: number) => {
    const messages: string[] = [];
    const opening = new OpeningText(({ message }) => messages.push(message));
    const bytes = Uint8Array.of(...new TextEncoder().encode(text), ...packet);
    for (let at = 0; at < bytes.length; at += size) {
      opening.add(bytes.subarray(at, at + size));
      opening.add(new Uint8Array());
    }
    opening.stop();
    return messages;
  };
  for (let size = 1; size <= 24; size++) {
    for (const text of ["", "Hello, world\n"]) {
      const [message, ...others] = found(text, size);
      const said = JSON.stringify(text).replace("\\n", "\\x0a");
      assert(message?.endsWith(`speak SFTP: ${said}`), `${size}: ${message}`);
      assertEquals(others, []);
    }
    const most = 16 * 1024 - packet.length;
    assertEquals(found("x".repeat(most), size).length, 1, `${size}`);
    assertEquals(found("x".repeat(most + 1), size), [], `${size}`);
  }
});

Deno.test("OpeningText takes time in proportion to the pieces that come, also when it has enough", () => {
  const piece = Uint8Array.of(0);
  const ratio = slowdown(
    (pieces) => {
      const opening = new OpeningText(() => {});
      for (let n = 0; n < pieces; n++) opening.add(piece);
      opening.stop();
    },
    [500, 32_000],
    64,
  );
  assert(ratio < 5, `${ratio}`);
});

Deno.test("startSftp() refuses another version, and rejects when the channel ends first", async () => {
  for (
    const [act, type] of [
      [
        (server: FakeServer) => server.packet(PacketType.VERSION, ...u32(6)),
        SftpError,
      ],
      [
        (server: FakeServer) => server.packet(PacketType.STATUS, ...u32(3)),
        SftpError,
      ],
      [(server: FakeServer) => server.end(), SftpError],
      [
        (server: FakeServer) => server.end(new Error("cut")),
        ConnectionLostError,
      ],
    ] as const
  ) {
    const server = new FakeServer(() => {}, undefined);
    const starting = assertRejects(
      () => startSftp(server.transport),
      type as typeof SftpError,
    );
    act(server);
    await starting;
    assertEquals(server.closes, 1);
  }
});

Deno.test("startSftp() closes the channel when it is aborted", async () => {
  for (const early of [true, false]) {
    const server = new FakeServer(() => {}, undefined);
    const abort = new AbortController();
    if (early) abort.abort(new Error("stop"));
    const starting = assertRejects(
      () => startSftp(server.transport, { signal: abort.signal }),
      Error,
      "stop",
    );
    abort.abort(new Error("stop"));
    await starting;
    assertEquals(server.closes, 1);
  }
});

Deno.test("Sftp drops the late answer of an aborted request, and goes on", async () => {
  const requests: Request[] = [];
  const server = new FakeServer((request) => void requests.push(request));
  const sftp = await startSftp(server.transport);
  const abort = new AbortController();
  const stat = assertRejects(
    () => sftp.stat("f", { signal: abort.signal }),
    Error,
    "stop",
  );
  await later();
  abort.abort(new Error("stop"));
  await stat;
  assertEquals(sftp.requestsInFlight, 1);
  server.status(requests[0]!.id, 2);
  assertEquals(sftp.requestsInFlight, 0);
  assertEquals(sftp.isClosed, false);
  await assertRejects(
    () => sftp.stat("f", { signal: abort.signal }),
    Error,
    "stop",
  );
  assertEquals(requests.length, 1);
});

Deno.test("Sftp.open() closes a handle that comes after an abort", async () => {
  const server = new FakeServer();
  const sftp = await startSftp(server.transport);
  const abort = new AbortController();
  const opening = assertRejects(
    () => sftp.open("f", { signal: abort.signal }),
    Error,
    "stop",
  );
  await later();
  abort.abort(new Error("stop"));
  await opening;
  server.handle(server.requests[0]!.id, "late");
  await later();
  const close = server.requests[1]!;
  assertEquals([close.type, new TextDecoder().decode(close.body.bytes())], [
    PacketType.CLOSE,
    "late",
  ]);
});

Deno.test("Sftp does not send a request that was aborted while the transport was full", async () => {
  const server = new FakeServer(({ id }, server) => server.status(id, 2));
  const sftp = await startSftp(server.transport);
  const gate = Promise.withResolvers<void>();
  server.room = gate.promise;
  const abort = new AbortController();
  const sent = assertRejects(() => sftp.stat("sent"), SftpError);
  await later();
  const never = assertRejects(
    () => sftp.stat("never", { signal: abort.signal }),
    Error,
    "stop",
  );
  const next = assertRejects(() => sftp.stat("next"), SftpError);
  await later();
  assertEquals(server.requests.length, 1);
  abort.abort(new Error("stop"));
  server.room = undefined;
  gate.resolve();
  await Promise.all([sent, never, next]);
  const paths = server.requests.map(({ body }) =>
    new TextDecoder().decode(body.bytes())
  );
  assertEquals(paths, ["sent", "next"]);
});

Deno.test("Sftp sends what is asked for in one turn in one piece, up to 16 KiB", async () => {
  const server = new FakeServer(({ id }, server) => server.status(id, 2));
  const sizes: number[] = [];
  const { write } = server.transport;
  server.transport.write = (bytes) => {
    sizes.push(bytes.length);
    return write(bytes);
  };
  const sftp = await startSftp(server.transport);
  sizes.length = 0;
  await Promise.allSettled(Array.from({ length: 100 }, () => sftp.stat("f")));
  assertEquals(sizes, [100 * 14]);
  sizes.length = 0;
  await Promise.allSettled(
    Array.from({ length: 3 }, () => sftp.stat("f".repeat(6000))),
  );
  assertEquals(sizes, [2 * 6013, 6013]);
});

Deno.test("Sftp waits while the transport is full, and ends when the transport fails", async () => {
  const server = new FakeServer();
  const sftp = await startSftp(server.transport);
  server.room = Promise.reject(new Error("broken pipe"));
  const error = await assertRejects(() => sftp.mkdir("d"), ConnectionLostError);
  assertEquals(error.mayHaveRun, true);
  assertEquals(server.closes, 1);
});

/** Requests of 32 KiB that are sent ahead of their answers. */
async function sentAhead(answerMs: number): Promise<[number, number]> {
  const server = new FakeServer(({ type, id }, server) => {
    const until = performance.now() + answerMs;
    while (performance.now() < until);
    if (type === PacketType.OPEN) server.handle(id);
    if (type === PacketType.STAT) server.status(id, 2);
    if (type === PacketType.CLOSE) server.status(id, 0);
  });
  const sftp = await startSftp(server.transport);
  // The least time counts: this machine may have been busy.
  for (let i = 0; i < 20; i++) await sftp.stat("f").catch(() => {});
  const file = await sftp.open("f", { read: true, write: true });
  const abort = new AbortController();
  const { signal } = abort;
  const count = (type: number) =>
    server.requests.filter((request) => request.type === type).length;
  answerMs = 0;
  const writing = assertRejects(
    () => file.writeAt(new Uint8Array(20_000_000), 0, { signal }),
    Error,
    "stop",
  );
  await later();
  const writes = count(PacketType.WRITE);
  const reading = assertRejects(
    () => file.readAt(new Uint8Array(20_000_000), 0, { signal }),
    Error,
    "stop",
  );
  await later();
  const reads = count(PacketType.READ);
  abort.abort(new Error("stop"));
  await Promise.all([writing, reading]);
  sftp.close();
  return [writes, reads];
}

Deno.test("Sftp has as much of a file in flight as fills the link, 1 to 4 MiB in each direction", async () => {
  assertEquals(await sentAhead(0), [32, 32]);
  assertEquals(await sentAhead(8), [128, 128]);
  const [writes, reads] = await sentAhead(4);
  assertEquals(writes >= 64 && writes === reads, true, `${writes}, ${reads}`);
});

Deno.test("Sftp takes for the link the answer to what is asked alone, the fastest, and believes a longer way slowly", async () => {
  let busyMs = 0;
  const held: number[] = [];
  const server = new FakeServer(({ id, body }, server) => {
    const until = performance.now() + busyMs;
    while (performance.now() < until);
    const path = new TextDecoder().decode(body.bytes());
    if (path === "held") held.push(id);
    else server.status(id, 2);
  });
  const sftp = await startSftp(server.transport);
  const window = () => protocolOf(sftp)!.requests.windowBytes / 2 ** 20;
  const ask = (path = "f") => sftp.stat(path).catch(() => {});
  assertEquals(window(), 4);
  busyMs = 8;
  await ask();
  assertEquals(window(), 4);
  busyMs = 0;
  const never = ask("held");
  await ask();
  // It was answered at once, behind another.
  assertEquals(window(), 4);
  server.status(held[0]!, 2);
  await never;
  for (let i = 0; i < 20; i++) await ask();
  assertEquals(window(), 1);
  busyMs = 8;
  await ask();
  assertEquals(window() < 4, true);
  for (let i = 0; i < 20; i++) await ask();
  assertEquals(window(), 4);
  sftp.close();
});

Deno.test("SftpFile.writeFrom() tells of a piece when the server has all of it, and of none that it refuses", async () => {
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPEN) server.handle(id);
    if (type === PacketType.CLOSE) server.status(id, 0);
  });
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f", { write: true });
  const written: number[] = [];
  async function* source() {
    for (const size of [80_000, 10, 40_000]) yield new Uint8Array(size);
  }
  const writing = assertRejects(
    () =>
      file.writeFrom(source(), 0, {
        onWritten: (piece) => void written.push(piece.length),
      }),
    SftpError,
  );
  await later();
  const ids = server.requests.slice(1).map(({ id }) => id);
  assertEquals(ids.length, 3 + 1 + 2);
  const answer = async (nth: number, status = 0) => {
    server.status(ids[nth]!, status);
    await later();
    return written.join(" ");
  };
  assertEquals(await answer(0), "");
  assertEquals(await answer(2), "");
  assertEquals(await answer(3), "10");
  assertEquals(await answer(1), "10 80000");
  assertEquals(await answer(4), "10 80000");
  assertEquals(await answer(5, 4), "10 80000");
  await writing;
  sftp.close();
});

Deno.test("Sftp sends the start of large data in one piece with its packet, 32 KiB of both", async () => {
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPEN) server.handle(id);
    else server.status(id, 0);
  });
  const sizes: number[] = [];
  const { write } = server.transport;
  server.transport.write = (bytes) => {
    sizes.push(bytes.length);
    return write(bytes);
  };
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f", { write: true });
  sizes.length = 0;
  const head = 4 + 1 + 4 + 4 + 2 + 8 + 4;
  await file.writeAt(new Uint8Array(32 * 1024), 0);
  assertEquals(sizes.splice(0), [32 * 1024, head]);
  await file.writeAt(new Uint8Array(32 * 1024 - head), 0);
  assertEquals(sizes.splice(0), [32 * 1024]);
  sftp.close();
});

Deno.test("Sftp.writeFile() gives the failure of any of its writes, and calls it by no name it does not know", async () => {
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.OPEN) return server.handle(id);
    if (type !== PacketType.WRITE) return server.status(id, 0);
    body.bytes();
    server.status(id, body.u64() === 65536n ? 4 : 0, "Fail\x1bure");
  });
  const sftp = await startSftp(server.transport);
  const error = await assertRejects(
    () => sftp.writeFile("f", new Uint8Array(200_000)),
    SftpError,
  );
  assertEquals(error.code, "SSH_SFTP_FAILURE");
  assertEquals(
    error.message,
    'Cannot write "f": the server does not say why (server says "Fail\\x1bure")',
  );
});

Deno.test("Sftp rejects what runs when the server closes the channel", async () => {
  const server = new FakeServer();
  const sftp = await startSftp(server.transport);
  const stat = assertRejects(() => sftp.stat("f"), SftpError);
  server.end();
  assertEquals((await stat).code, "SSH_SFTP_CLOSED");
  await sftp.closed;
});

Deno.test("Sftp.remove() of a tree fails once when the channel is lost under it", async () => {
  // One file at a time, so that removals and the next READDIR are in flight.
  const entry = [...u32(1), ...string("f"), ...string(""), ...u32(0)];
  let named = 0;
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.LSTAT) {
      server.packet(PacketType.ATTRS, ...u32(id), ...u32(4), ...u32(0o40755));
    } else if (type === PacketType.OPENDIR) server.handle(id);
    else if (type === PacketType.READDIR && named++ === 0) {
      server.packet(PacketType.NAME, ...u32(id), ...entry);
    } else if (type === PacketType.REMOVE) server.end(new Error("cut"));
  });
  const sftp = await startSftp(server.transport);
  const error = await assertRejects(
    () => sftp.remove("d", { recursive: true }),
    ConnectionLostError,
  );
  assertEquals(error.mayHaveRun, true);
  await later(); // an unhandled rejection would end the test here
});

/** Serves whatever is asked for, and loses the channel at a request. */
function losing(at: number, nth = 1): FakeServer {
  let left = nth;
  return new FakeServer(({ type, id }, server) => {
    if (type === at && --left === 0) return server.end(new Error("cut"));
    if (type === PacketType.OPEN) server.handle(id);
    else if (type === PacketType.FSTAT) {
      server.packet(PacketType.ATTRS, ...u32(id), ...u32(0));
    } else if (type === PacketType.LSTAT) server.status(id, 2);
    else server.status(id, 0);
  });
}

Deno.test("Sftp says that an operation may have run if any of its requests may", async () => {
  const data = new Uint8Array(10);
  for (
    const [at, nth, run, mayHaveRun] of [
      [PacketType.CLOSE, 1, (it: Sftp) => it.writeFile("f", data), true],
      [PacketType.OPEN, 1, (it: Sftp) => it.writeFile("f", data), true],
      [
        PacketType.LSTAT,
        1,
        (it: Sftp) => it.writeFile("f", data, { atomic: true }),
        false,
      ],
      [
        PacketType.FSTAT,
        1,
        async (it: Sftp) => {
          const file = await it.open("f", { write: true });
          await file.stat();
        },
        true,
      ],
      [
        PacketType.FSTAT,
        1,
        async (it: Sftp) => {
          const file = await it.open("f");
          await file.stat();
        },
        false,
      ],
    ] as const
  ) {
    const server = losing(at, nth);
    const sftp = await startSftp(server.transport);
    const error = await assertRejects(() => run(sftp), ConnectionLostError);
    assertEquals(error.mayHaveRun, mayHaveRun, `${run}`);
  }
});

Deno.test("Sftp says that a write which was refused half-way may have run", async () => {
  let writes = 0;
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPEN) server.handle(id);
    else server.status(id, type === PacketType.WRITE && ++writes > 1 ? 4 : 0);
  });
  const sftp = await startSftp(server.transport);
  const write = () => sftp.writeFile("f", new Uint8Array(40_000));
  const error = await assertRejects(write, SftpError);
  assertEquals(error.mayHaveRun, true);
  const refused = await startSftp(
    new FakeServer(({ id }, server) => server.status(id, 3)).transport,
  );
  const none = await assertRejects(() => refused.mkdir("d"), SftpError);
  assertEquals(none.mayHaveRun, false);
});

Deno.test("Sftp survives random bytes after the greeting", () =>
  withSeed(async (random) => {
    for (let round = 0; round < 300; round++) {
      const server = new FakeServer((_, server) =>
        server.packet(
          random.pick([101, 102, 103, 104, 105, 201, random.below(256)]),
          ...u32(random.chance(0.9) ? 1 : random.below(5)),
          ...Array.from({ length: random.below(60) }, () =>
            random.chance(0.5) ? 0 : random.below(256)),
        )
      );
      const sftp = await startSftp(server.transport);
      const run = random.pick([
        () => sftp.stat("f"),
        () => sftp.realPath("f"),
        () => sftp.open("f"),
        () => Array.fromAsync(sftp.readDir("f")),
        () => sftp.statFileSystem("f"),
      ]);
      const result = run().catch((error) => {
        assert(error instanceof SftpError, String(error));
      });
      await later();
      sftp.close();
      await result;
    }
  }));

Deno.test("Sftp reads in a fifth of the round trips that one request at a time would take", async () => {
  const data = content(4_000_000);
  let waiting: (() => void)[] = [];
  let roundTrips = 0;
  const server = serveFile(data, Infinity, (send) => {
    // What is asked for before the next answer comes is answered with it.
    if (waiting.length === 0) {
      roundTrips++;
      setTimeout(() => {
        const answers = waiting;
        waiting = [];
        for (const answer of answers) answer();
      });
    }
    waiting.push(send);
  });
  const sftp = await startSftp(server.transport);
  assertEquals((await sftp.readFile("f")).length, data.length);
  const oneByOne = data.length / 32768;
  assert(roundTrips * 5 < oneByOne, `${roundTrips} against ${oneByOne}`);
  while (sftp.requestsInFlight > 0) await later();
  sftp.close();
});

Deno.test("Sftp listens to a signal once for all of its requests, and not after them", async () => {
  const server = new FakeServer(({ id }, server) => server.status(id, 2));
  const sftp = await startSftp(server.transport);
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (
    ...args: Parameters<typeof removeEventListener>
  ) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  const stats = Promise.allSettled(
    Array.from({ length: 50 }, () => sftp.stat("f", { signal })),
  );
  assertEquals(listeners, 1);
  await stats;
  assertEquals(listeners, 0);
});

Deno.test("Sftp.writeFile() and upload() that are aborted wait 5 s at most for a server that does not answer", async () => {
  const source = await Deno.makeTempFile();
  await Deno.writeTextFile(source, "x");
  const verbs: ((sftp: Sftp, signal: AbortSignal) => Promise<unknown>)[] = [
    (sftp, signal) => sftp.writeFile("f", new Uint8Array(9), { signal }),
    (sftp, signal) =>
      sftp.writeFile("f", new Uint8Array(9), { signal, atomic: true }),
    (sftp, signal) => upload(sftp, source, "f", { signal }),
  ];
  try {
    for (const verb of verbs) {
      let tellWriting!: () => void;
      const writing = new Promise<void>((resolve) => tellWriting = resolve);
      const server = new FakeServer(({ type, id }, server) => {
        if (type === PacketType.OPEN) return server.handle(id);
        if (type === PacketType.LSTAT) return server.status(id, 2);
        if (type === PacketType.WRITE) tellWriting();
      });
      const sftp = await startSftp(server.transport);
      const controller = new AbortController();
      const running = verb(sftp, controller.signal);
      await writing;
      mock.timers.enable({ apis: ["setTimeout"] } as never);
      try {
        controller.abort(new Error("mine"));
        while (server.requests.at(-1)?.type === PacketType.WRITE) {
          await Promise.resolve();
        }
        for (let i = 0; i < 50; i++) await Promise.resolve();
        mock.timers.tick(5_000);
      } finally {
        mock.timers.reset();
      }
      await assertRejects(() => running, Error, "mine");
      sftp.close();
    }
  } finally {
    await Deno.remove(source);
  }
});

Deno.test("SftpFile[Symbol.asyncDispose]() and cancel() of its stream wait 5 s at most for a server that does not answer", async () => {
  for (const end of ["dispose", "cancel"]) {
    const server = new FakeServer(({ type, id }, server) => {
      if (type === PacketType.OPEN) server.handle(id);
    });
    const sftp = await startSftp(server.transport);
    const file = await sftp.open("f");
    mock.timers.enable({ apis: ["setTimeout"] } as never);
    try {
      const ended = end === "dispose"
        ? file[Symbol.asyncDispose]()
        : file.readable.cancel();
      for (let i = 0; i < 50; i++) await Promise.resolve();
      mock.timers.tick(5_000);
      await ended;
    } finally {
      mock.timers.reset();
    }
    sftp.close();
  }
});

Deno.test("Sftp.writeFile() and upload() remove what a request may have made that was given up", async () => {
  const dir = await Deno.makeTempDir();
  await Deno.mkdir(`${dir}/tree`);
  await Deno.writeTextFile(`${dir}/file`, "x");
  await Deno.symlink("x", `${dir}/tree/link`);
  const verbs: ((sftp: Sftp, signal: AbortSignal) => Promise<unknown>)[] = [
    (sftp, signal) =>
      sftp.writeFile("f", new Uint8Array(9), { signal, atomic: true }),
    (sftp, signal) => upload(sftp, `${dir}/file`, "f", { signal }),
    (sftp, signal) => upload(sftp, `${dir}/tree`, "tree", { signal }),
  ];
  try {
    for (const verb of verbs) {
      const controller = new AbortController();
      let made: string | undefined;
      const removed: string[] = [];
      const server = new FakeServer(({ type, id, body }, server) => {
        if (type === PacketType.OPEN || type === PacketType.SYMLINK) {
          if (type === PacketType.SYMLINK) body.bytes();
          made = decodeFileName(body.bytes());
          // The answer is late.
          setTimeout(() => {
            controller.abort(new Error("mine"));
            if (type === PacketType.OPEN) server.handle(id);
            else server.status(id, 0);
          });
        } else if (type === PacketType.LSTAT && made !== undefined) {
          server.packet(PacketType.ATTRS, ...u32(id), ...u32(0));
        } else if (type === PacketType.LSTAT) server.status(id, 2);
        else {
          if (type === PacketType.REMOVE) {
            removed.push(decodeFileName(body.bytes()));
          }
          server.status(id, 0);
        }
      });
      const sftp = await startSftp(server.transport);
      await assertRejects(() => verb(sftp, controller.signal), Error, "mine");
      // A link is made under its own name, where there is nothing.
      assertMatch(made ?? "", /\.sshpool-|^tree\/link$/);
      assertEquals(removed, [made]);
      sftp.close();
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("Sftp.remove() with recursive ends in a tree that has no end", async () => {
  let folders = 0;
  const listed = new Set<string>();
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.LSTAT) {
      return server.packet(
        PacketType.ATTRS,
        ...u32(id),
        ...u32(4),
        ...u32(0o040755),
      );
    }
    if (type === PacketType.OPENDIR) return server.handle(id, `${folders++}`);
    if (type !== PacketType.READDIR) return server.status(id, 0);
    const handle = decodeFileName(body.bytes());
    if (listed.has(handle)) return server.status(id, 1);
    listed.add(handle);
    const entry = [...string("d"), ...string(""), ...u32(4), ...u32(0o040755)];
    server.packet(PacketType.NAME, ...u32(id), ...u32(1), ...entry);
  });
  const sftp = await startSftp(server.transport);
  const error = await assertRejects(
    () => sftp.remove("top", { recursive: true }),
    SftpError,
    "more than 1000 folders in each other",
  );
  assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
  sftp.close();
});

Deno.test("Sftp.remove() with recursive ends in a folder that has no end of folders", async () => {
  const attributes = [...u32(4), ...u32(0o040755)];
  const entry = [...string("d"), ...string(""), ...attributes];
  const names = Array.from({ length: 10_000 }, () => entry).flat();
  const head = [PacketType.NAME, ...u32(0), ...u32(10_000)];
  const answer = Uint8Array.from([
    ...u32(head.length + names.length),
    ...head,
    ...names,
  ]);
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.LSTAT) {
      server.packet(PacketType.ATTRS, ...u32(id), ...attributes);
    } else if (type === PacketType.OPENDIR) server.handle(id);
    else if (type === PacketType.READDIR) {
      answer.set(u32(id), 5);
      server.raw(answer);
    } else server.status(id, 0);
  });
  const sftp = await startSftp(server.transport);
  const error = await assertRejects(
    () => sftp.remove("top", { recursive: true }),
    SftpError,
    "more than 100000 folders beside each other",
  );
  assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
  sftp.close();
});

for (
  const [what, ...names] of [
    ["nothing"],
    ["the folder and the one above", ".", ".."],
  ]
) {
  Deno.test(`Sftp.readDir() ends where each answer names ${what}`, async () => {
    const entries = names.flatMap((name) => [
      ...string(name),
      ...string(""),
      ...u32(0),
    ]);
    const server = new FakeServer(({ type, id }, server) => {
      if (type === PacketType.OPENDIR) return server.handle(id);
      if (type !== PacketType.READDIR) return server.status(id, 0);
      const count = u32(names.length);
      server.packet(PacketType.NAME, ...u32(id), ...count, ...entries);
    });
    const sftp = await startSftp(server.transport);
    await assertRejects(
      () => Array.fromAsync(sftp.readDir("d")),
      SftpError,
      "more than 1000 answers without a name",
    );
    await sftp.closed;
  });
}

Deno.test("Sftp.readDir() reads on where answers that name nothing are between others", async () => {
  const entry = [...string("f"), ...string(""), ...u32(0)];
  let answers = 0;
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPENDIR) return server.handle(id);
    if (type !== PacketType.READDIR) return server.status(id, 0);
    const names = answers++ % 600 === 0 ? 1 : 0;
    if (answers > 3_000) server.status(id, 1);
    else {
      const some = names === 1 ? entry : [];
      server.packet(PacketType.NAME, ...u32(id), ...u32(names), ...some);
    }
  });
  const sftp = await startSftp(server.transport);
  assertEquals((await Array.fromAsync(sftp.readDir("d"))).length, 5);
  sftp.close();
});

Deno.test("Sftp shows the beginning of what a server says, and does not decode the rest", async () => {
  const server = new FakeServer(({ id }, server) =>
    server.status(id, 4, "a".repeat(60_000))
  );
  const sftp = await startSftp(server.transport);
  const error = await assertRejects(() => sftp.stat("f"), SftpError);
  assert(error.message.length < 400, `${error.message.length}`);
  sftp.close();
});

Deno.test("Sftp ends the session when a handle is given out that is open for another file", async () => {
  let opens = 0;
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPEN) {
      opens++;
      return server.handle(id, "the same");
    }
    server.status(id, 0);
  });
  const sftp = await startSftp(server.transport);
  // The same file twice, or one after the other, is no fault.
  const [a, again] = await Promise.all([sftp.open("a"), sftp.open("a")]);
  await Promise.all([a.close(), again.close()]);
  await (await sftp.open("b")).close();
  await sftp.open("a");
  const error = await assertRejects(
    () => sftp.open("b"),
    SftpError,
    "a handle that is open for another file",
  );
  assertEquals([error.code, opens], ["SSH_SFTP_PROTOCOL", 5]);
  assertEquals(sftp.isClosed, true);
});

Deno.test("Sftp makes the links of a server that has the paths of SYMLINK in the order of the draft", async () => {
  const links = new Map<string, string>();
  let isOther = false;
  const text = (body: PacketReader) => decodeFileName(body.bytes());
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.SYMLINK) {
      const [first, second] = [text(body), text(body)];
      if (isOther) links.set(second, first);
      else links.set(first, second);
      return server.status(id, 0);
    }
    const path = text(body);
    if (type === PacketType.REMOVE) {
      return server.status(id, links.delete(path) ? 0 : 2);
    }
    const target = links.get(path);
    if (target === undefined) return server.status(id, 2);
    const entry = [...string(target), ...string(""), ...u32(0)];
    server.packet(PacketType.NAME, ...u32(id), ...u32(1), ...entry);
  });
  for (const order of [false, true]) {
    isOther = order;
    links.clear();
    const sftp = await startSftp(server.transport);
    await sftp.symlink("target", "folder/one");
    await sftp.symlink("target", "folder/two");
    assertEquals([...links], [
      ["folder/one", "target"],
      ["folder/two", "target"],
    ]);
    sftp.close();
  }
});

/** A server that answers OPEN, and of the rest what the test says. */
function serveOpen(
  answer: (request: Request, server: FakeServer) => void,
): FakeServer {
  return new FakeServer((request, server) => {
    if (request.type === PacketType.OPEN) server.handle(request.id);
    else answer(request, server);
  });
}

const count = (server: FakeServer, wanted: number) =>
  server.requests.filter(({ type }) => type === wanted).length;

Deno.test("SftpFile.readRange() sends no more when its reader leaves, and forgets what is in flight", async () => {
  let room = () => {};
  const server = serveOpen(({ type, id, body }, server) => {
    if (type !== PacketType.READ) return server.status(id, 0);
    body.bytes();
    body.u64();
    server.data(id, new Uint8Array(body.u32()));
  });
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f");
  server.room = new Promise((resolve) => room = resolve);
  const pieces = file.readRange({ end: 50_000_000 });
  await pieces.next();
  const sent = count(server, PacketType.READ);
  // Until one is asked for, and not sent yet: how many there are is up to the
  // round trip.
  while (sftp.requestsInFlight === 0) await pieces.next();
  await pieces.return!();
  server.room = undefined;
  room();
  for (let i = 0; i < 5; i++) await later();
  assertEquals(count(server, PacketType.READ), sent);
  assertEquals(sftp.requestsInFlight, 0);
  sftp.close();
});

Deno.test("SftpFile.writeFrom() has at most 128 writes in flight, however small", async () => {
  const server = serveOpen(() => {});
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f", { write: true });
  const stop = new AbortController();
  const writing = file.writeFrom(
    (async function* () {
      for (let i = 0; i < 300; i++) yield new Uint8Array(10);
    })(),
    0,
    { signal: stop.signal },
  );
  for (let i = 0; i < 20; i++) await later();
  assertEquals(count(server, PacketType.WRITE), 128);
  stop.abort(new Error("enough"));
  await assertRejects(() => writing, Error, "enough");
  sftp.close();
});

Deno.test("SftpFile.readable closes the file when a READ is refused", async () => {
  const server = serveOpen(({ type, id }, server) =>
    server.status(id, type === PacketType.READ ? 4 : 0)
  );
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f");
  await assertRejects(() => Array.fromAsync(file.readable), SftpError);
  assertEquals(count(server, PacketType.CLOSE), 1);
  sftp.close();
});

Deno.test("SftpFile.writable rejects when the CLOSE is refused: the file may not be saved", async () => {
  const server = serveOpen(({ type, id }, server) =>
    server.status(id, type === PacketType.CLOSE ? 4 : 0, "quota")
  );
  const sftp = await startSftp(server.transport);
  const file = await sftp.open("f", { write: true });
  const writer = file.writable.getWriter();
  await writer.write(new Uint8Array(10));
  await assertRejects(() => writer.close(), SftpError, "quota");
  sftp.close();
});

Deno.test("Sftp says that a request which was never sent has not run", async () => {
  const server = new FakeServer();
  const sftp = await startSftp(server.transport);
  server.room = new Promise(() => {});
  const first = sftp.mkdir("sent").catch((error) => error);
  await later();
  const second = sftp.mkdir("waits").catch((error) => error);
  await later();
  server.end(new Error("cut"));
  assertEquals([(await first).mayHaveRun, (await second).mayHaveRun], [
    true,
    false,
  ]);
});

Deno.test("Sftp lets the process end while it waits for no answer", async () => {
  const calls: string[] = [];
  const server = new FakeServer(({ id }, server) =>
    queueMicrotask(() => server.status(id, 0))
  );
  const sftp = await startSftp({
    ...server.transport,
    ref: () => void calls.push("ref"),
    unref: () => void calls.push("unref"),
  });
  assertEquals(calls, ["unref"]);
  await sftp.mkdir("a");
  assertEquals(calls, ["unref", "ref", "unref"]);
  await Promise.all([sftp.mkdir("a"), sftp.mkdir("b")]);
  assertEquals(calls.slice(3), ["ref", "unref"]);
  sftp.close();
});
