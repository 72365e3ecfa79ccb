// What upload() says of a session that is lost half-way.

import { assertEquals, assertInstanceOf } from "@std/assert";
import { join } from "node:path";
import { ConnectionLostError } from "../../../../transport/errors.ts";
import { PacketType } from "../../../../transport/sftp/packets.ts";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import { upload } from "../../../../transport/sftp/transfer/upload.ts";
import { FakeServer, u32 } from "../_fake_server.ts";

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
        onName(++names, () => server.end(new Error("cut")), answer);
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
  server.end(new Error("cut"));
  const file = await Deno.makeTempFile();
  const error = await upload(sftp, file, "to").catch((error) => error);
  await Deno.remove(file);
  assertInstanceOf(error, ConnectionLostError, `${error}`);
  assertEquals(error.mayHaveRun, false);
});
