// An upload of which the server refuses one step: a copy that is not known to be
// saved must not look like one, least of all at the end, where a full quota shows.

import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { SftpError } from "../../../../transport/sftp/errors.ts";
import { upload } from "../../../../transport/sftp/transfer/upload.ts";
import type { TransferOptions } from "../../../../transport/sftp/transfer/options.ts";
import {
  FileError,
  MemoryConnector,
  MemoryFiles,
} from "../../../../transport/testing/mod.ts";
import type { SftpOperation } from "../../../../transport/testing/sftp_server/request.ts";

const host = { hostname: "db1", port: 22, user: "ops" };

/** Uploads over a file that is there; gives what the folder has afterwards. */
async function uploadRefused(
  refused: SftpOperation,
  options: TransferOptions,
): Promise<Record<string, string>> {
  const files = new MemoryFiles({ "/d/f": "old" });
  let isUploading = false;
  const connector = new MemoryConnector({
    files,
    onSftpRequest: ({ operation }) =>
      isUploading && operation === refused
        ? new FileError("EDQUOT", "quota exceeded")
        : "ok",
  });
  const folder = await Deno.makeTempDir({ prefix: "sshpool-refused-" });
  try {
    const from = join(folder, "f");
    await Deno.writeTextFile(from, "new content");
    await using connection = await connector.connect(host);
    await using sftp = await connection.sftp();
    isUploading = true;
    await assertRejects(
      () => upload(sftp, from, "/d/f", options),
      SftpError,
      "quota exceeded",
    );
    isUploading = false;
    const names = (await Array.fromAsync(sftp.readDir("/d")))
      .map(({ name }) => name);
    return Object.fromEntries(
      names.map((name) => [name, files.readTextFile(`/d/${name}`)]),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const refused of ["open", "write", "close", "posix-rename"] as const) {
  Deno.test(`upload() fails where the server refuses to ${refused}, and leaves the old file alone`, async () => {
    assertEquals(await uploadRefused(refused, {}), { f: "old" });
  });
}

Deno.test("upload() that writes in place fails where the server refuses to close", async () => {
  const { f } = await uploadRefused("close", { write: "in-place" });
  assertEquals(f, "new content");
});

Deno.test("upload() with resume keeps what was written, and gives it no name, where the server refuses to close", async () => {
  const { f, ...others } = await uploadRefused("close", { resume: true });
  assertEquals([f, Object.values(others)], ["old", ["new content"]]);
});

Deno.test("upload() copies a tree with as many entries as maxEntries says, and refuses one more", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sshpool-refused-" });
  try {
    for (const name of ["a", "b", "c"]) {
      await Deno.writeTextFile(join(folder, name), name);
    }
    const connector = new MemoryConnector({ files: new MemoryFiles() });
    await using connection = await connector.connect(host);
    await using sftp = await connection.sftp();
    const { files } = await upload(sftp, folder, "/to", { maxEntries: 3 });
    assertEquals(files, 3);
    await assertRejects(
      () => upload(sftp, folder, "/to", { maxEntries: 2 }),
      SftpError,
      "it has more than 2 entries",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
