// What one transfer asks for all of its session: the permissions that new files
// do not get.

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import { PacketType } from "../../../../transport/sftp/packets.ts";
import { RemoteTarget } from "../../../../transport/sftp/transfer/_remote.ts";
import type { Sftp } from "../../../../transport/sftp/sftp.ts";
import {
  FileError,
  MemoryConnector,
  MemoryFiles,
} from "../../../../transport/testing/mod.ts";
import { FakeServer, u32 } from "../_fake_server.ts";

/** A session, and what its server was asked: it answers `fstat` when told to. */
async function withSession(
  answer: Promise<"ok" | FileError>,
  run: (sftp: Sftp, asked: string[], isAsked: Promise<void>) => Promise<void>,
): Promise<void> {
  const asked: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const connector = new MemoryConnector({
    files: new MemoryFiles({ "/d/old": "" }),
    onSftpRequest: async ({ operation }) => {
      asked.push(operation);
      if (operation !== "fstat") return;
      resolve();
      const outcome = await answer;
      if (outcome !== "ok") throw outcome;
    },
  });
  await using connection = await connector.connect({
    hostname: "db1",
    port: 22,
    user: "ops",
  });
  await using sftp = await connection.sftp();
  await sftp.realPath("."); // what it asks for its limits is over
  asked.length = 0;
  await run(sftp, asked, promise);
}

const waiting = () => Promise.withResolvers<"ok" | FileError>();
const REASON = new Error("enough");
/** To remove is to look first. */
const ASKED = ["open", "fstat", "lstat", "close", "remove"];

Deno.test("RemoteTarget.umask() goes on for the others when one is aborted that waits for it, whichever", async () => {
  for (const aborted of [0, 1]) {
    const { promise, resolve } = waiting();
    await withSession(promise, async (sftp, asked, isAsked) => {
      const stop = new AbortController();
      const umasks = [0, 1].map((nth) => {
        const signal = nth === aborted ? stop.signal : undefined;
        return new RemoteTarget(sftp, signal).umask("/d/", signal);
      });
      await isAsked;
      stop.abort(REASON);
      // At once, whatever the server does.
      const error = await assertRejects(() => umasks[aborted]!);
      assertStrictEquals(error, REASON);
      resolve("ok");
      assertEquals(await umasks[1 - aborted], 0o022);
      assertEquals(asked, ASKED);
      await new RemoteTarget(sftp, undefined).umask("/d/", undefined);
      assertEquals(asked, ASKED);
    });
  }
});

Deno.test("RemoteTarget.umask() leaves no file when all have given it up, and asks again for the next", async () => {
  const { promise, resolve } = waiting();
  await withSession(promise, async (sftp, asked, isAsked) => {
    const stop = new AbortController();
    const target = new RemoteTarget(sftp, stop.signal);
    const umask = target.umask("/d/", stop.signal);
    await isAsked;
    stop.abort(REASON);
    assertStrictEquals(await assertRejects(() => umask), REASON);
    resolve("ok");
    const next = new RemoteTarget(sftp, undefined).umask("/d/", undefined);
    await target.settled();
    assertEquals(await next, 0o022);
    const count = (operation: string) =>
      asked.filter((it) => it === operation).length;
    assertEquals(["open", "close", "remove"].map(count), [2, 2, 2]);
    assertEquals(await Array.fromAsync(sftp.readDir("/d"), nameOf), ["old"]);
  });
});

const nameOf = ({ name }: { name: string }) => name;

Deno.test("RemoteTarget.umask() removes its file when all have given it up, also where the server does not tell", async () => {
  const { promise: isAsked, resolve } = Promise.withResolvers<void>();
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.FSTAT) return resolve();
    if (type === PacketType.OPEN) return server.handle(id);
    if (type !== PacketType.LSTAT) return server.status(id, 0);
    server.packet(PacketType.ATTRS, ...u32(id), ...u32(4), ...u32(0o100755));
  });
  const sftp = await startSftp(server.transport);
  const stop = new AbortController();
  const target = new RemoteTarget(sftp, stop.signal);
  const umask = target.umask("/d/", stop.signal);
  await isAsked;
  stop.abort(REASON);
  assertStrictEquals(await assertRejects(() => umask), REASON);
  await target.settled();
  const types = server.requests.map(({ type }) => type);
  for (const wanted of [PacketType.CLOSE, PacketType.REMOVE]) {
    assertEquals(types.filter((type) => type === wanted).length, 1);
  }
  sftp.close();
});

Deno.test("RemoteTarget.umask() takes the usual one where the server refuses to tell, and leaves no file open", async () => {
  const refusal = new FileError("EACCES", "no");
  await withSession(Promise.resolve(refusal), async (sftp, asked) => {
    const target = new RemoteTarget(sftp, undefined);
    assertEquals(await target.umask("/d/", undefined), 0o022);
    assertEquals(asked, ASKED);
  });
});
