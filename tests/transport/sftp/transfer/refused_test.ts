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
import { nameAside } from "../../../../transport/sftp/_unfinished.ts";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import { SftpPipe } from "../../../../transport/testing/memory/_sftp_pipe.ts";
import type {
  SftpOperation,
  SftpRequest,
} from "../../../../transport/testing/sftp_server/request.ts";

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

/**
 * Uploads a file and a link over two files, to a server without extensions;
 * gives what the folder has afterwards, by name.
 */
async function uploadOver(
  refuse: (request: SftpRequest, renames: number) => boolean,
): Promise<Record<string, string>> {
  const files = new MemoryFiles({ "/d/f": "old", "/d/link": "old" });
  let renames = 0;
  const pipe = new SftpPipe({
    files: files.served(),
    extensions: [],
    gate: (request) => {
      if (request.operation === "rename") renames++;
      if (refuse(request, renames)) throw new FileError("EIO", "refused");
      return undefined;
    },
  });
  const folder = await Deno.makeTempDir({ prefix: "sshpool-refused-" });
  try {
    await Deno.writeTextFile(join(folder, "f"), "new");
    await Deno.symlink("f", join(folder, "link"));
    const sftp = await startSftp(pipe);
    try {
      await upload(sftp, folder, "/d", { onError: "continue" }).catch(() => {});
      const entries = await Array.fromAsync(sftp.readDir("/d"));
      return Object.fromEntries(
        await Promise.all(entries.map(async ({ name, isSymlink }) => [
          name.replace(/^\.sshpool.*\./, "."),
          isSymlink
            ? `-> ${await sftp.readLink(`/d/${name}`)}`
            : files.readTextFile(`/d/${name}`),
        ])),
      );
    } finally {
      sftp.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("upload() replaces a file and a link where the server cannot do it in one step", async () => {
  assertEquals(await uploadOver(() => false), { f: "new", link: "-> f" });
});

for (
  const [what, refuse] of Object.entries<Parameters<typeof uploadOver>[0]>({
    "renames nothing": ({ operation }) => operation === "rename",
    "does not rename the new file": ({ operation }, renames) =>
      operation === "rename" && renames === 3,
    "makes no links": ({ operation }) => operation === "symlink",
  })
) {
  Deno.test(`upload() leaves the old file where a server that cannot replace one ${what}`, async () => {
    const { f, link, ...others } = await uploadOver(refuse);
    assertEquals([f, link, others], [
      what === "makes no links" ? "new" : "old",
      what === "makes no links" ? "old" : "-> f",
      {},
    ]);
  });
}

for (const resume of [false, true]) {
  Deno.test(`upload() ${resume ? "with resume " : ""}leaves what was moved aside and never got its name back`, async () => {
    const aside = nameAside("f");
    const files = new MemoryFiles({ [`/d/${aside}`]: "all there is" });
    const sftp = await startSftp(new SftpPipe({ files: files.served() }));
    const folder = await Deno.makeTempDir({ prefix: "sshpool-refused-" });
    try {
      await Deno.writeTextFile(join(folder, "f"), "all there is, and more");
      await upload(sftp, join(folder, "f"), "/d/f", { resume });
      await upload(sftp, folder, "/d", { resume });
    } finally {
      sftp.close();
      await Deno.remove(folder, { recursive: true });
    }
    assertEquals(files.readTextFile(`/d/${aside}`), "all there is");
    assertEquals(files.readTextFile("/d/f"), "all there is, and more");
  });
}

for (
  const [what, meddle, named] of [
    [
      "another has taken its name",
      (files: MemoryFiles) => files.writeFile("/d/f", "of another"),
      { f: "of another" },
    ],
    [
      "the new one is gone and its name is refused",
      (files: MemoryFiles, unfinished: string) => files.remove(unfinished),
      {},
    ],
  ] as const
) {
  Deno.test(`upload() keeps the old file where ${what} when it was moved aside`, async () => {
    const files = new MemoryFiles({ "/d/f": "old" });
    let renames = 0;
    const pipe = new SftpPipe({
      files: files.served(),
      extensions: [],
      gate: ({ operation, path }) => {
        if (operation !== "rename") return undefined;
        renames++;
        if (renames === 3) meddle(files, path!);
        if (renames >= 3) throw new FileError("EIO", "refused");
        return undefined;
      },
    });
    const sftp = await startSftp(pipe);
    const from = await Deno.makeTempFile({ prefix: "sshpool-refused-" });
    try {
      await Deno.writeTextFile(from, "new");
      await assertRejects(() => upload(sftp, from, "/d/f"), SftpError);
      const found: Record<string, string> = {};
      for await (const { name } of sftp.readDir("/d")) {
        const kind = name.replace(/^\.sshpool.*\./, ".");
        found[kind] = files.readTextFile(`/d/${name}`);
      }
      assertEquals(found, { ".old": "old", ...named });
    } finally {
      sftp.close();
      await Deno.remove(from);
    }
  });
}

Deno.test("upload() that is aborted while the new file gets its name leaves nothing beside it", async () => {
  const files = new MemoryFiles({ "/d/f": "old" });
  const stop = new AbortController();
  const reason = new Error("enough");
  let renames = 0;
  const pipe = new SftpPipe({
    files: files.served(),
    extensions: [],
    gate: ({ operation }) => {
      if (operation === "rename" && ++renames === 3) stop.abort(reason);
      return undefined;
    },
  });
  const sftp = await startSftp(pipe);
  const from = await Deno.makeTempFile({ prefix: "sshpool-refused-" });
  try {
    await Deno.writeTextFile(from, "new");
    const { signal } = stop;
    const error = await assertRejects(() =>
      upload(sftp, from, "/d/f", { signal })
    );
    assertEquals(error, reason);
    const names = (await Array.fromAsync(sftp.readDir("/d")))
      .map(({ name }) => name);
    assertEquals([names, files.readTextFile("/d/f")], [["f"], "new"]);
  } finally {
    sftp.close();
    await Deno.remove(from);
  }
});
