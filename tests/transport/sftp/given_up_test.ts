// What is refused, given up or lost leaves nothing behind: no handle, listener
// or request, and no doubt about what has run.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { getEventListeners } from "node:events";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { protocolOf } from "../../../transport/sftp/_protocol.ts";
import { startSftp } from "../../../transport/sftp/open_session.ts";
import { OpenFlag, PacketType } from "../../../transport/sftp/packets.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";
import { FakeServer, type Request, string, u32 } from "./_fake_server.ts";

const later = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A server that answers OPEN and OPENDIR, and of the rest what the test says. */
async function serve(
  answer: (request: Request, server: FakeServer) => void = () => {},
): Promise<{ server: FakeServer; sftp: Sftp }> {
  const server = new FakeServer((request, server) => {
    const { type, id } = request;
    const isOpen = type === PacketType.OPEN || type === PacketType.OPENDIR;
    if (isOpen) server.handle(id);
    else answer(request, server);
  });
  return { server, sftp: await startSftp(server.transport) };
}

const count = (server: FakeServer, wanted: number) =>
  server.requests.filter(({ type }) => type === wanted).length;

/** Refuses one type of request, and answers the others. */
const refusing =
  (refused: number) => ({ type, id }: Request, server: FakeServer) =>
    server.status(id, type === refused ? 4 : 0, "no");

const attributes = (server: FakeServer, id: number, ...content: number[]) =>
  server.packet(PacketType.ATTRS, ...u32(id), ...content);

const REASON = new Error("enough");

Deno.test("startSftp() leaves nothing on its signal, which ends the session no more", async () => {
  const server = new FakeServer();
  const stop = new AbortController();
  const sftp = await startSftp(server.transport, { signal: stop.signal });
  assertEquals(getEventListeners(stop.signal, "abort"), []);
  stop.abort(REASON);
  assertEquals([sftp.isClosed, server.closes], [false, 0]);
  sftp.close();
});

Deno.test("Sftp ends the session after an answer to a request that it has not sent yet", async () => {
  const { server, sftp } = await serve();
  server.room = new Promise(() => {});
  const calls: Promise<SftpError>[] = [];
  for (const path of ["sent", "waits"]) {
    calls.push(assertRejects(() => sftp.mkdir(path), SftpError));
    await later();
  }
  assertEquals(server.requests.map(({ id }) => id), [1]);
  server.status(2, 0);
  assertEquals(
    (await Promise.all(calls)).map(({ code }) => code),
    ["SSH_SFTP_PROTOCOL", "SSH_SFTP_PROTOCOL"],
  );
});

Deno.test("Sftp leaves nothing on a signal when its session is lost under a call", async () => {
  const { server, sftp } = await serve();
  const { signal } = new AbortController();
  const call = sftp.stat("f", { signal }).catch(() => {});
  await later();
  server.end(new Error("cut"));
  await call;
  assertEquals(getEventListeners(signal, "abort"), []);
});

Deno.test("Sftp.mkdir() that is lost before its last request says that it has made the folders above", async () => {
  const { sftp } = await serve(({ id, body }, server) => {
    if (text(body.bytes()) === "a/b") return server.status(id, 2);
    server.status(id, 0);
    server.end(new Error("cut"));
  });
  const error = await sftp.mkdir("a/b", { recursive: true })
    .catch((error) => error);
  assertEquals(error.mayHaveRun, true);
});

Deno.test("Sftp.writeFile() sends no more once a WRITE was refused", async () => {
  const { server, sftp } = await serve(refusing(PacketType.WRITE));
  const data = new Uint8Array(8_000_000);
  await assertRejects(() => sftp.writeFile("f", data), SftpError);
  const sent = count(server, PacketType.WRITE);
  // Those that were in flight, which depends on how long answers take.
  assert(sent < 245, `${sent} of 245`);
  sftp.close();
});

Deno.test("SftpFile.writeFrom() that fails waits for the end of its source", async () => {
  const { promise: refused, resolve: refuse } = Promise.withResolvers<void>();
  const { sftp } = await serve(({ type, id }, server) => {
    server.status(id, type === PacketType.WRITE ? 4 : 0, "no");
    refuse();
  });
  const file = await sftp.open("f", { write: true });
  let isOver = false;
  async function* source() {
    try {
      yield new Uint8Array(9);
      await refused;
      yield new Uint8Array(9);
    } finally {
      // No timer: on a busy machine it could be late for what is waited.
      for (let turn = 0; turn < 100; turn++) await null;
      isOver = true;
    }
  }
  await assertRejects(() => file.writeFrom(source(), 0), SftpError);
  assertEquals(isOver, true);
  await file.close();
  sftp.close();
});

Deno.test("SftpFile.writable closes the file when it is aborted under a write without an answer, or refused one", async () => {
  for (const isRefused of [false, true]) {
    const { server, sftp } = await serve(({ type, id }, server) => {
      if (type === PacketType.CLOSE) server.status(id, 0);
      else if (isRefused) server.status(id, 4);
    });
    const file = await sftp.open("f", { write: true });
    const writer = file.writable.getWriter();
    writer.closed.catch(() => {});
    const written = assertRejects(() =>
      writer.write(new Uint8Array(8_000_000))
    );
    if (!isRefused) {
      await later();
      await writer.abort(REASON);
    }
    await written;
    assertEquals(count(server, PacketType.CLOSE), 1);
    sftp.close();
  }
});

Deno.test("SftpFile.readable closes the file when it is cancelled under a read without an answer", async () => {
  const { server, sftp } = await serve(({ type, id }, server) => {
    if (type === PacketType.CLOSE) server.status(id, 0);
  });
  const file = await sftp.open("f");
  const reader = file.readable.getReader();
  const read = reader.read();
  await later();
  await reader.cancel(REASON);
  assertEquals((await read).done, true);
  assertEquals(count(server, PacketType.CLOSE), 1);
  sftp.close();
});

Deno.test("SftpFile.writable of a file to append to begins at its end, also where the server heeds offsets", async () => {
  const offsets: bigint[] = [];
  const { sftp } = await serve(({ type, id, body }, server) => {
    if (type === PacketType.FSTAT) {
      return attributes(server, id, ...u32(1), ...u32(0), ...u32(100));
    }
    if (type === PacketType.WRITE) {
      body.bytes();
      offsets.push(body.u64());
    }
    server.status(id, 0);
  });
  const file = await sftp.open("f", { append: true });
  const pieces = ReadableStream.from([new Uint8Array(9), new Uint8Array(9)]);
  await pieces.pipeTo(file.writable);
  assertEquals(offsets, [100n, 109n]);
  sftp.close();
});

Deno.test("SftpFile.readRange() with reuse keeps no memory once it is over", async () => {
  const { sftp } = await serve(({ type, id }, server) =>
    type === PacketType.READ
      ? server.data(id, new Uint8Array(20_000))
      : server.status(id, 0)
  );
  const file = await sftp.open("f");
  const range = { end: 20_000, reuse: true };
  for await (const _ of file.readRange(range));
  const { buffers } = protocolOf(sftp)!.requests;
  const first = buffers.take(20_000);
  buffers.giveBack(first);
  assert(buffers.take(20_000).buffer !== first.buffer);
  await file.close();
  sftp.close();
});

/** The mode that an OPEN which makes a file asks for, and what is set later. */
async function modesOf(
  old: number,
  options: { readonly atomic?: boolean; readonly mode?: number },
): Promise<(number | string)[]> {
  const modes: (number | string)[] = [];
  const [withOwner, withMode] = [2, 4];
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.LSTAT) {
      const owner = [...u32(1000), ...u32(1000)];
      const flags = u32(withOwner | withMode);
      return attributes(server, id, ...flags, ...owner, ...u32(old));
    }
    if (type === PacketType.OPEN || type === PacketType.FSETSTAT) {
      body.bytes();
      if (type === PacketType.OPEN) assert(body.u32() & OpenFlag.CREATE);
      const flags = body.u32();
      modes.push(flags & withMode ? body.u32() : flags ? "owner" : "none");
    }
    if (type === PacketType.OPEN) return server.handle(id);
    server.status(id, 0);
  });
  const sftp = await startSftp(server.transport);
  await sftp.writeFile("f", new Uint8Array(9), options);
  sftp.close();
  return modes;
}

Deno.test("Sftp.writeFile() makes a file with its mode, so that none may read it meanwhile who may not afterwards", async () => {
  const mode = 0o600;
  assertEquals(await modesOf(0o100644, { mode }), [mode, mode]);
  const atomic = true;
  assertEquals(await modesOf(0o100644, { atomic, mode }), [
    mode,
    "owner",
    mode,
  ]);
  // To change the owner takes set-user-id away.
  assertEquals(await modesOf(0o104750, { atomic }), [
    0o4750,
    "owner",
    0o4750,
  ]);
});

Deno.test("Sftp.writeFile() cancels its source when the file cannot be opened", async () => {
  for (const options of [{}, { atomic: true }, { atomic: true, mode: 0o600 }]) {
    // With a mode it is the OPEN that is refused.
    const isOpened = "mode" in options;
    const server = new FakeServer(({ type, id }, server) =>
      server.status(id, type === PacketType.LSTAT && isOpened ? 2 : 3)
    );
    const sftp = await startSftp(server.transport);
    let reason: unknown;
    const source = new ReadableStream<Uint8Array>({
      cancel: (why) => void (reason = why),
    });
    const error = await assertRejects(
      () => sftp.writeFile("f", source, options),
      SftpError,
    );
    assert(reason instanceof SftpError, `${reason}`);
    assertEquals(reason.code, error.code);
    sftp.close();
  }
});

Deno.test("Sftp asks for the home folder again after a failure, leads both paths of a rename there, and waits no longer than its caller", async () => {
  const answers = ["none", "refuse", "tell"];
  const paths: string[] = [];
  const { sftp } = await serve(({ type, id, body }, server) => {
    if (type === PacketType.RENAME) {
      paths.push(text(body.bytes()), text(body.bytes()));
      return server.status(id, 0);
    }
    const answer = answers.shift();
    // The answer to the first comes when its caller has gone.
    if (answer === "none") {
      setTimeout(() => server.status(id, 4), 0);
      return stop.abort(REASON);
    }
    if (answer === "refuse") return server.status(id, 4);
    const name = [...string("/home/ops"), ...string(""), ...u32(0)];
    server.packet(PacketType.NAME, ...u32(id), ...u32(1), ...name);
  });
  const stop = new AbortController();
  const { signal } = stop;
  const aborted = await sftp.stat("~/f", { signal }).catch((error) => error);
  assertEquals(aborted, REASON);
  while (sftp.requestsInFlight > 0) await later();
  await assertRejects(() => sftp.rename("~/a", "~/b"), SftpError);
  await sftp.rename("~/a", "~/b");
  assertEquals(paths, ["/home/ops/a", "/home/ops/b"]);
  sftp.close();
});

/** A folder with so many files, of which each is removed by `remove`. */
function serveTree(
  entries: number,
  remove: (request: Request, server: FakeServer) => void,
) {
  let isListed = false;
  return serve((request, server) => {
    const { type, id } = request;
    if (type === PacketType.LSTAT) {
      return attributes(server, id, ...u32(4), ...u32(0o040755));
    }
    if (type === PacketType.REMOVE) return remove(request, server);
    if (type !== PacketType.READDIR) return server.status(id, 0);
    if (isListed) return server.status(id, 1);
    isListed = true;
    const names = Array.from({ length: entries }, (_, i) => [
      ...[...string(`${i}`), ...string("")],
      ...[...u32(4), ...u32(0o100644)],
    ]).flat();
    server.packet(PacketType.NAME, ...u32(id), ...u32(entries), ...names);
  });
}

Deno.test("Sftp.remove() of a tree removes 64 entries at a time", async () => {
  const held: (() => void)[] = [];
  const { server, sftp } = await serveTree(
    150,
    ({ id }, server) => void held.push(() => server.status(id, 0)),
  );
  const removing = sftp.remove("d", { recursive: true });
  for (const wanted of [64, 128, 150]) {
    while (count(server, PacketType.REMOVE) < wanted) await later();
    for (let turn = 0; turn < 5; turn++) await later();
    assertEquals(count(server, PacketType.REMOVE), wanted);
    for (const answer of held.splice(0)) answer();
  }
  await removing;
  sftp.close();
});

Deno.test("Sftp.remove() of a tree takes an entry that another has removed for removed", async () => {
  const { server, sftp } = await serveTree(
    3,
    ({ id }, server) => server.status(id, 2),
  );
  await sftp.remove("d", { recursive: true });
  assertEquals(count(server, PacketType.RMDIR), 1);
  sftp.close();
});

Deno.test("Sftp.remove() of a tree takes a folder that another has removed for removed, and goes on", async () => {
  let isListed = false;
  const removed: string[] = [];
  const { sftp } = await serve(({ type, id, body }, server) => {
    if (type === PacketType.LSTAT) {
      return attributes(server, id, ...u32(4), ...u32(0o040755));
    }
    if (type === PacketType.RMDIR) {
      const path = text(body.bytes());
      removed.push(path);
      return server.status(id, path === "d/1" ? 2 : 0);
    }
    if (type !== PacketType.READDIR) return server.status(id, 0);
    // The top has three folders, and they have nothing.
    if (isListed) return server.status(id, 1);
    isListed = true;
    const names = [0, 1, 2].flatMap((i) => [
      ...[...string(`${i}`), ...string("")],
      ...[...u32(4), ...u32(0o040755)],
    ]);
    server.packet(PacketType.NAME, ...u32(id), ...u32(3), ...names);
  });
  await sftp.remove("d", { recursive: true });
  assertEquals(removed, ["d/0", "d/1", "d/2", "d"]);
  sftp.close();
});

Deno.test("Sftp.walk() and glob() wait no longer than their signal for a server that does not answer", async () => {
  const runs: ((sftp: Sftp, signal: AbortSignal) => AsyncIterable<unknown>)[] =
    [
      (sftp, signal) => sftp.walk("d", { signal }),
      (sftp, signal) => sftp.walk("d", { signal, followSymlinks: true }),
      (sftp, signal) => sftp.glob("d/*", { signal }),
      (sftp, signal) => sftp.glob("d", { signal }),
    ];
  for (const run of runs) {
    const { server, sftp } = await serve();
    const stop = new AbortController();
    const found = Array.fromAsync(run(sftp, stop.signal)).catch((it) => it);
    // The libraries of patterns are loaded first.
    while (server.requests.length === 0) await later();
    await later();
    stop.abort(REASON);
    assertEquals(await found, REASON);
    sftp.close();
  }
});
