// What upload() says of a session that is lost half-way.

import { assertEquals, assertInstanceOf } from "@std/assert";
import { join } from "node:path";
import { ConnectionLostError } from "../../../../transport/errors.ts";
import { PacketType } from "../../../../transport/sftp/packets.ts";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import { upload } from "../../../../transport/sftp/transfer/upload.ts";
import { FakeServer, string, u32 } from "../_fake_server.ts";

const CUT = new Error("cut");
const attributes = (mode: number) => [...u32(4), ...u32(mode)];

/** Uploads two files and a link; `onName` is called when one gets its name. */
async function uploadTo(
  onName: (nth: number, lose: () => void, answer: () => void) => void,
): Promise<unknown> {
  const folder = await Deno.makeTempDir({ prefix: "sshpool-lost-" });
  try {
    for (const name of ["a", "b"]) {
      await Deno.writeTextFile(join(folder, name), "");
    }
    await Deno.symlink("a", join(folder, "link"));
    let names = 0;
    const server = new FakeServer(({ type, id }, server) => {
      const answer = () => server.status(id, 0);
      if (type === PacketType.OPEN) server.handle(id);
      else if (type === PacketType.LSTAT || type === PacketType.READLINK) {
        server.status(id, 2); // there is nothing yet
      } else if (type === PacketType.FSTAT) {
        const sizeOf0 = [...u32(1), ...u32(0), ...u32(0)];
        server.packet(PacketType.ATTRS, ...u32(id), ...sizeOf0);
      } else if (type === PacketType.RENAME || type === PacketType.SYMLINK) {
        onName(++names, () => server.end(CUT), answer);
      } else answer();
    });
    const sftp = await startSftp(server.transport);
    return await upload(sftp, folder, "to", { concurrency: 1 })
      .catch((error) => error);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("upload() says that something has changed if the session is lost between two files", async () => {
  const error = await uploadTo((_, lose, answer) => {
    answer();
    lose();
  });
  assertInstanceOf(error, ConnectionLostError, `${error}`);
  assertEquals(error.mayHaveRun, true);
});

Deno.test("upload() does not take a lost session for a link that is refused", async () => {
  const error = await uploadTo((nth, lose, answer) =>
    nth === 3 ? lose() : answer()
  );
  assertInstanceOf(error, ConnectionLostError, `${error}`);
  assertEquals(error.mayHaveRun, true);
});

Deno.test("upload() says that nothing has changed if the session was lost before", async () => {
  const server = new FakeServer();
  const sftp = await startSftp(server.transport);
  server.end(CUT);
  const file = await Deno.makeTempFile();
  const error = await upload(sftp, file, "to").catch((error) => error);
  await Deno.remove(file);
  assertInstanceOf(error, ConnectionLostError, `${error}`);
  assertEquals(error.mayHaveRun, false);
});

for (const isMade of [false, true]) {
  Deno.test(`upload() says that a file may be there if the session is lost ${isMade ? "before it is known what was there" : "as it is made"}`, async () => {
    const server = new FakeServer(({ type, id }, server) => {
      const isAsked = server.requests.some((it) => it.type === PacketType.OPEN);
      if (type === PacketType.OPEN && isMade) server.handle(id);
      if (type !== PacketType.LSTAT) return;
      if (isAsked) server.end(CUT);
      else server.status(id, 2);
    });
    const sftp = await startSftp(server.transport);
    const file = await Deno.makeTempFile();
    const error = await upload(sftp, file, "to").catch((error) => error);
    await Deno.remove(file);
    const types = server.requests.map(({ type }) => type);
    assertEquals(types.slice(-2), [PacketType.OPEN, PacketType.LSTAT]);
    assertInstanceOf(error, ConnectionLostError, `${error}`);
    assertEquals(error.mayHaveRun, true);
  });
}

Deno.test("upload() with delete says that something may be gone if the session is lost while others are looked at", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sshpool-lost-" });
  const server = new FakeServer(({ type, id, body }, server) => {
    if (type === PacketType.OPENDIR) return server.handle(id);
    if (type === PacketType.CLOSE) return server.status(id, 0);
    if (type === PacketType.READDIR) {
      const isFirst = server.requests.filter((it) => it.type === type)
        .length === 1;
      if (!isFirst) return server.status(id, 1);
      const names = ["a", "b"].flatMap((name) => [
        ...[...string(name), ...string(""), ...attributes(0o100644)],
      ]);
      return server.packet(PacketType.NAME, ...u32(id), ...u32(2), ...names);
    }
    const path = new TextDecoder().decode(body.bytes());
    if (type === PacketType.REMOVE && path === "to/b") server.end(CUT);
    // Of "a" it is not known yet what it is.
    else if (path !== "to/a") {
      const mode = path === "to" ? 0o40755 : 0o100644;
      server.packet(PacketType.ATTRS, ...u32(id), ...attributes(mode));
    }
  });
  const sftp = await startSftp(server.transport);
  const error = await upload(sftp, folder, "to", {
    delete: "even-if-empty",
    preserve: false,
  }).catch((error) => error);
  await Deno.remove(folder);
  assertInstanceOf(error, ConnectionLostError, `${error}`);
  assertEquals(error.mayHaveRun, true);
});

Deno.test("upload() with parents says that they may be there if the session is lost behind them", async () => {
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.MKDIR) server.status(id, 0);
    else server.end(CUT);
  });
  const sftp = await startSftp(server.transport);
  const file = await Deno.makeTempFile();
  const options = { parents: true, changedOnly: true };
  const error = await upload(sftp, file, "new/to", options)
    .catch((error) => error);
  await Deno.remove(file);
  const types = server.requests.map(({ type }) => type);
  assertEquals(types, [PacketType.MKDIR, PacketType.LSTAT]);
  assertInstanceOf(error, ConnectionLostError, `${error}`);
  assertEquals(error.mayHaveRun, true);
});
