// What is copied, what is left out and what is removed; and what a copy says of
// entries that it could not copy.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { createHash } from "node:crypto";
import { appendFileSync } from "node:fs";
import { SftpError } from "../../../../transport/sftp/errors.ts";
import { downloadWith } from "../../../../transport/sftp/transfer/download.ts";
import { uploadWith } from "../../../../transport/sftp/transfer/upload.ts";
import { isRoot } from "../_server.ts";
import {
  content,
  modeOf,
  names,
  testCopies,
  testCopy,
  umask,
  write,
} from "./_copies.ts";

/** Whether the next large piece on its way is changed. */
let isDamaging = false;

const messages = (notices: readonly { message: string }[]) =>
  notices.map(({ message }) => message).join("\n");

testCopies(
  "with changedOnly copies what differs in size or time, and with checksum in content",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "one", b: "two", "d/c": "three" });
    for (const path of ["a", "b", "d/c"]) {
      await Deno.utime(`${source}/${path}`, 100, 100);
    }
    const sync = async (options = {}) => {
      const { copied, same } = await copy(server.sftp, source, target, {
        changedOnly: true,
        ...options,
      });
      return [copied, same];
    };
    assertEquals(await sync(), [3, 0]);
    assertEquals(await sync(), [0, 3]);
    await Deno.writeTextFile(`${source}/a`, "longer");
    await Deno.writeTextFile(`${source}/b`, "TWO");
    await Deno.utime(`${source}/b`, 100, 100);
    assertEquals(await sync(), [1, 2]);
    assertEquals(await Deno.readTextFile(`${target}/a`), "longer");
    assertEquals(await Deno.readTextFile(`${target}/b`), "two");
    // The same size at another time.
    await Deno.utime(`${target}/d/c`, 5, 5);
    assertEquals(await sync(), [1, 2]);
    // Its content alone tells that it differs, and of another that it does not.
    await Deno.utime(`${target}/d/c`, 5, 5);
    assertEquals(await sync({ checksum: true }), [1, 2]);
    assertEquals(await Deno.readTextFile(`${target}/b`), "TWO");
  },
);

testCopies(
  "with delete removes what the source has not, and with dryRun says so first",
  async ({ copy, server, dir, source, target }) => {
    await write(source, { keep: "1", "d/new": "2" });
    await write(target, {
      keep: "1",
      old: "x",
      "d/old": "x",
      "tree/a/b": "x",
      "log/kept": "x",
    });
    await write(`${dir}/outside`, { f: "x" });
    await Deno.symlink("../outside", `${target}/link`);
    const options = {
      delete: true,
      filter: (path: string) => path !== "log/",
    } as const;
    const all = async () =>
      (await Array.fromAsync(walk(target))).toSorted().map((path) =>
        path.slice(target.length)
      );
    const before = await all();
    const { changes, ...nothing } = await copy(server.sftp, source, target, {
      ...options,
      dryRun: true,
    });
    assertEquals(await all(), before);
    assertEquals([nothing.copied, nothing.deleted], [0, 0]);
    assertEquals(
      changes.map(({ kind, path }) => `${kind} ${path.slice(target.length)}`)
        .toSorted(),
      [
        "copy /d/new",
        "copy /keep",
        "delete /d/old",
        "delete /link",
        "delete /old",
        "delete /tree",
      ],
    );
    const { deleted, copied } = await copy(
      server.sftp,
      source,
      target,
      options,
    );
    assertEquals([copied, deleted], [2, 4]);
    assertEquals(await all(), ["/d", "/d/new", "/keep", "/log", "/log/kept"]);
    assertEquals(await names(`${dir}/outside`), ["f"]);
  },
);

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    yield `${folder}/${name}`;
    if (isDirectory) yield* walk(`${folder}/${name}`);
  }
}

testCopies(
  "with verify and resume has large files hashed on the host, and reads back what that cannot tell",
  async ({ verb, server, source, target }) => {
    const copyWith = verb === "upload" ? uploadWith : downloadWith;
    const bytes = content(5_000_000);
    await Deno.writeFile(source, bytes);
    const sha256 = async (path: string, size: number) => {
      const all = await Deno.readFile(path);
      return createHash("sha256").update(all.subarray(0, size)).digest("hex");
    };
    const hashes = {
      right: sha256,
      wrong: () => Promise.resolve("0".repeat(64)),
      none: () => Promise.resolve(undefined),
    };
    for (const [name, hash] of Object.entries(hashes)) {
      const asked: string[] = [];
      const copied = await copyWith(
        server.sftp,
        source,
        target,
        { verify: true, resume: true },
        async (path, size) => {
          asked.push(path);
          return await hash(path, size);
        },
      );
      assertEquals([copied.copied, copied.same], [1, 0], name);
      assertEquals(asked.length, 1, name);
      const again = await copyWith(
        server.sftp,
        source,
        target,
        { resume: true },
        hash,
      );
      assertEquals([again.copied, again.same], [0, 1], name);
      assertEquals(await Deno.readFile(target), bytes);
      await Deno.remove(target);
    }
    // A hash that only the host calls right is no proof of the wrong content.
    await Deno.writeFile(target, content(5_000_000, 3));
    const { mtime } = await Deno.stat(source);
    await Deno.utime(target, mtime!, mtime!);
    const other = await copyWith(
      server.sftp,
      source,
      target,
      { resume: true },
      sha256,
    );
    assertEquals(other.copied, 1);
  },
);

testCopies(
  "says that a file that is replaced in a tree had other names",
  async ({ copy, server, source, target }) => {
    await write(source, { f: "new", g: "new" });
    await write(target, { f: "old", g: "old" });
    await Deno.link(`${target}/f`, `${target}/other`);
    const { notices } = await copy(server.sftp, source, target);
    assertStringIncludes(messages(notices), "hard links");
    assertEquals(notices.map(({ path }) => path), [`${source}/f`]);
    assertEquals(await Deno.readTextFile(`${target}/other`), "old");
    await Deno.remove(`${target}/other`);
    const again = await copy(server.sftp, source, target);
    assertEquals(again.notices, []);
  },
);

testCopies(
  "with onError continues past folders and links that cannot be made",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "1", "d/b": "2", "d/e/c": "3", "ok/f": "4" });
    await Deno.symlink("a", `${source}/link`);
    await Deno.symlink("a", `${source}/taken`);
    await write(target, { d: "a file", "taken/x": "in the way" });
    const options = { onError: "continue" } as const;
    const { failures, files } = await copy(
      server.sftp,
      source,
      target,
      options,
    );
    assertEquals(
      failures.map(({ path }) => path).toSorted(),
      [`${source}/d`, `${source}/taken`],
    );
    assertEquals(files, 2);
    assertEquals(await Deno.readLink(`${target}/link`), "a");
    assertEquals(await Deno.readTextFile(`${target}/ok/f`), "4");
    assertEquals(await names(target), ["a", "d", "link", "ok", "taken"]);
    await assertRejects(() => copy(server.sftp, source, target));
  },
);

testCopies(
  "does not delete for an empty source, unless told to",
  async ({ copy, server, source, target }) => {
    await Deno.mkdir(source);
    await write(target, { f: "x" });
    await assertRejects(
      () => copy(server.sftp, source, target, { delete: true }),
      SftpError,
      "even-if-empty",
    );
    assertEquals(await names(target), ["f"]);
    await copy(server.sftp, source, target, { delete: "even-if-empty" });
    assertEquals(await names(target), []);
  },
);

testCopies(
  "leaves out what filter says, and all of a folder that it leaves out",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "", "b.log": "", "d/c": "", "node/x/y": "" });
    const asked: string[] = [];
    await copy(server.sftp, source, target, {
      filter: (path) => {
        asked.push(path);
        return !path.endsWith(".log") && path !== "node/";
      },
    });
    assertEquals(await names(target), ["a", "d"]);
    assertEquals(asked.toSorted(), ["a", "b.log", "d/", "d/c", "node/"]);
  },
);

testCopies(
  "copies a file of a tree that grows as far as it went, and says so",
  async ({ copy, server, source, target }) => {
    await write(source, { other: "x" });
    await Deno.writeFile(`${source}/log`, content(5_000_000));
    let isGrown = false;
    const { files, notices } = await copy(server.sftp, source, target, {
      onProgress: ({ path }) => {
        if (isGrown || !path.endsWith("log")) return;
        isGrown = true;
        appendFileSync(`${source}/log`, "more");
      },
    });
    assertEquals(files, 2);
    assert(messages(notices).includes("grew"), messages(notices));
    assertEquals(await Deno.readFile(`${target}/log`), content(5_000_000));
  },
);

testCopy(
  "download",
  "with onError goes on after what it cannot read, and says what that was",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "1", b: "2", "d/c": "3", "e/f": "4" });
    await Deno.chmod(`${source}/b`, 0);
    await Deno.chmod(`${source}/d`, 0);
    await assertRejects(() => copy(server.sftp, source, target), SftpError);
    const { files, failures, deleted } = await copy(
      server.sftp,
      source,
      target,
      { onError: "continue", delete: true },
    );
    assertEquals([files, deleted], [2, 0]);
    assertEquals(failures.map(({ path }) => path).toSorted(), [
      `${source}/b`,
      `${source}/d`,
    ]);
    assertEquals(
      failures.map(({ error }) => (error as SftpError).code),
      ["SSH_SFTP_PERMISSION_DENIED", "SSH_SFTP_PERMISSION_DENIED"],
    );
    assertEquals(await names(target), ["a", "d", "e"]);
  },
  { asNobody: true, ignore: !isRoot },
);

testCopy(
  "upload",
  "copies the others of a tree before it says that a name is not UTF-8",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "1", b: "2" });
    await server.sftp.writeTextFile(`${source}/caf\udce9`, "x");
    await assertRejects(
      () => copy(server.sftp, source, target),
      SftpError,
      "its name is not UTF-8",
    );
    assertEquals(await names(target), ["a", "b"]);
    const { failures } = await copy(server.sftp, source, target, {
      onError: "continue",
    });
    assertEquals(failures.length, 1);
  },
  { ignore: Deno.build.os !== "linux" },
);

testCopy(
  "upload",
  "tells a name that is not UTF-8 from one that looks like it",
  async ({ copy, server, source, target }) => {
    await write(source, { "caf\ufffd": "1" });
    await server.sftp.writeTextFile(`${source}/caf\udce9`, "x");
    const { files, failures } = await copy(server.sftp, source, target, {
      onError: "continue",
    });
    assertEquals([files, failures.length], [1, 1]);
    assertEquals(await names(target), ["caf\ufffd"]);
  },
  { ignore: Deno.build.os !== "linux" },
);

testCopy(
  "upload",
  "goes on past a link that this runtime cannot read",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "1" });
    await server.sftp.symlink("caf\udce9", `${source}/b`);
    await Deno.symlink("a", `${source}/c`);
    const { failures } = await copy(server.sftp, source, target, {
      onError: "continue",
    });
    assertEquals(
      messages(failures.map(({ error }) => error)),
      [
        `Cannot copy "${source}/b": it is a link to a name that is not UTF-8`,
      ].join(),
    );
    assertEquals(await names(target), ["a", "c"]);
  },
  { ignore: Deno.build.os !== "linux" },
);

testCopy(
  "download",
  "writes through no link to a name that is not UTF-8",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeTextFile(source, "new");
    await Deno.mkdir(target);
    for (const there of [true, false]) {
      if (there) await server.sftp.writeTextFile(`${target}/caf\udce9`, "old");
      else await server.sftp.remove(`${target}/caf\udce9`);
      await server.sftp.symlink("caf\udce9", `${target}/link-${there}`);
      await assertRejects(
        () => copy(server.sftp, source, `${target}/link-${there}`),
        SftpError,
        "it is a link to a name that is not UTF-8",
      );
    }
    assertEquals(await names(target), ["link-false", "link-true"]);
    assertEquals(await names(dir), ["source", "target"]);
  },
  { ignore: Deno.build.os !== "linux" },
);

testCopy(
  "download",
  "with delete says what it cannot delete, since its name is not UTF-8",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "1" });
    await write(target, { b: "2", "caf\ufffd": "3" });
    await server.sftp.writeTextFile(`${target}/caf\udce9`, "x");
    const { deleted, failures } = await copy(server.sftp, source, target, {
      delete: true,
      onError: "continue",
    });
    assertEquals(deleted, 2);
    assertEquals(failures.map(({ path }) => path), [`${target}/caf\ufffd`]);
    await assertRejects(
      () => copy(server.sftp, source, target, { delete: true }),
      SftpError,
      "its name is not UTF-8",
    );
    assertEquals(await names(target), ["a", "caf\ufffd"]);
  },
  { ignore: Deno.build.os !== "linux" },
);

testCopy(
  "download",
  "with delete asks filter for a name that is not UTF-8, and with dryRun promises nothing of it",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "1" });
    await write(target, { b: "2" });
    await server.sftp.writeTextFile(`${target}/caf\udce9.log`, "x");
    const kept = await copy(server.sftp, source, target, {
      delete: true,
      dryRun: true,
      filter: (path) => !path.endsWith(".log"),
    });
    const all = await copy(server.sftp, source, target, {
      delete: true,
      dryRun: true,
      onError: "continue",
    });
    for (const { changes } of [kept, all]) {
      const paths = changes.map(({ path }) => path).toSorted();
      assertEquals(paths, [`${target}/a`, `${target}/b`]);
    }
    assertEquals(
      all.failures.map(({ path }) => path),
      [`${target}/caf\ufffd.log`],
    );
  },
  { ignore: Deno.build.os !== "linux" },
);

testCopy(
  "upload",
  "writes a file in place where its folder may not be written, and says so",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeTextFile(source, "new");
    await Deno.mkdir(target);
    await Deno.writeTextFile(`${target}/f`, "older");
    await Deno.chown(`${target}/f`, 65534, 65534);
    const { notices } = await copy(server.sftp, source, `${target}/f`);
    assert(messages(notices).includes("in place"), messages(notices));
    assertEquals(await Deno.readTextFile(`${target}/f`), "new");
    assertEquals(await names(target), ["f"]);
    const error = await assertRejects(
      () => copy(server.sftp, source, `${target}/none`),
      SftpError,
    );
    assertEquals(error.code, "SSH_SFTP_PERMISSION_DENIED");
    assertEquals(await names(dir), ["source", "target"]);
  },
  { asNobody: true, ignore: !isRoot },
);

testCopies(
  'writes into the file itself with write: "in-place"',
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeTextFile(source, "new");
    await Deno.writeTextFile(target, "older");
    await Deno.link(target, `${dir}/same`);
    const inPlace = { write: "in-place" } as const;
    const { notices } = await copy(server.sftp, source, target, inPlace);
    assertEquals(notices, []);
    assertEquals(await Deno.readTextFile(`${dir}/same`), "new");
    await copy(server.sftp, source, `${dir}/made`, inPlace);
    assertEquals(await Deno.readTextFile(`${dir}/made`), "new");
  },
);

testCopy(
  "upload",
  "replaces a file where the server cannot do it in one step, and says so",
  async ({ copy, server, source, target }) => {
    await Deno.writeTextFile(source, "1");
    await copy(server.sftp, source, target);
    await Deno.writeTextFile(source, "2");
    const { notices } = await copy(server.sftp, source, target);
    assert(messages(notices).includes("removed first"), messages(notices));
    assertEquals(await Deno.readTextFile(target), "2");
  },
  { args: ["-P", "posix-rename"] },
);

testCopy(
  "upload",
  "succeeds where no attributes may be set, with the permissions that the server gives",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "1", b: "2" });
    await Deno.chmod(`${source}/a`, 0o755);
    const { notices, files } = await copy(server.sftp, source, target);
    assertEquals(files, 2);
    assert(messages(notices).includes("refuses"), messages(notices));
    assertEquals(await modeOf(`${target}/a`), 0o755 & ~umask());
    assertEquals(await names(target), ["a", "b"]);
  },
  { args: ["-P", "setstat,fsetstat"] },
);

testCopy(
  "upload",
  "gives a file its permissions where those of another are refused while it is written",
  async ({ copy, server, source, target }) => {
    await write(source, { b: "2" });
    await Deno.writeFile(`${source}/a`, content(20_000_000), { mode: 0o755 });
    await copy(server.sftp, source, target);
    assertEquals(await modeOf(`${target}/a`), 0o755 & ~umask());
    assertEquals(await modeOf(`${target}/b`), 0o666 & ~umask());
  },
  { args: ["-P", "setstat,fsetstat"] },
);

for (const args of [[], ["-P", "limits"]]) {
  const how = args.length === 0 ? "says" : "does not say";
  testCopies(
    `keeps to the few files that a server may have open, also if it ${how} how many`,
    async ({ copy, server, source, target }) => {
      const all = Array.from({ length: 150 }, (_, i) => [`${i}`, `${i}`]);
      await write(source, Object.fromEntries(all));
      const two = ["1", "2"].map((name) =>
        copy(server.sftp, source, `${target}${name}`)
      );
      for (const { files } of await Promise.all(two)) assertEquals(files, 150);
    },
    { args, maxFiles: 16 },
  );
}

testCopies(
  "with verify sees a byte that was changed on its way",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeFile(source, content(3_000_000));
    await copy(server.sftp, source, target);
    await copy(server.sftp, source, target, { verify: true });
    await Deno.remove(target);
    isDamaging = true;
    const error = await assertRejects(
      () => copy(server.sftp, source, target, { verify: true }),
      SftpError,
    ).finally(() => isDamaging = false);
    assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
    assertEquals(await names(dir), ["source"]);
  },
  {
    through: (transport) => ({
      ...transport,
      write: (bytes) => {
        // A piece of the file itself, and not the packet around it.
        const isData = isDamaging && bytes.length > 100_000;
        if (!isData) return transport.write(bytes);
        isDamaging = false;
        const copy = bytes.slice();
        copy[500]! ^= 1;
        return transport.write(copy);
      },
      onData: (receive) =>
        transport.onData((bytes) => {
          const isData = isDamaging && bytes.length > 10_000;
          if (isData) {
            isDamaging = false;
            bytes[5000]! ^= 1;
          }
          receive(bytes);
        }),
    }),
  },
);

testCopy(
  "upload",
  "sets a time that SFTP cannot carry to the last that it can, and says so",
  async ({ copy, server, source, target }) => {
    await Deno.writeTextFile(source, "x");
    await Deno.utime(source, 5_000_000_000, 5_000_000_000);
    const { notices } = await copy(server.sftp, source, target);
    assert(messages(notices).includes("2106"), messages(notices));
    const { mtime } = await Deno.stat(target);
    assertEquals(mtime!.getTime(), 0xffffffff * 1000);
  },
);

testCopies(
  "refuses a tree of more entries than maxEntries, and bytes as a path",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "", b: "", c: "" });
    await assertRejects(
      () => copy(server.sftp, source, target, { maxEntries: 2 }),
      SftpError,
      "more than 2 entries",
    );
    await copy(server.sftp, source, target, { maxEntries: 3 });
    const bytes = new Uint8Array(3) as unknown as string;
    await assertRejects(
      () => copy(server.sftp, bytes, target),
      TypeError,
      "Sftp.writeFile()",
    );
  },
);

testCopies(
  "has at most concurrency files under way, and 32 MiB of them",
  async ({ copy, server, source, target }) => {
    const small = Array.from({ length: 40 }, (_, i) => [`${i}`, "x"]);
    await write(source, Object.fromEntries(small));
    let most = 0;
    const count = () => {
      const open = [...Deno.readDirSync(target)]
        // Not the empty file that asks for the umask.
        .filter(({ name }) => /^\.sshpool-(?!e3b0c44298fc1c14)/.test(name))
        .length;
      most = Math.max(most, open);
    };
    await copy(server.sftp, source, target, {
      concurrency: 3,
      onProgress: count,
    });
    assert(most <= 3, `${most} of 3`);
    await Deno.remove(source, { recursive: true });
    await Deno.remove(target, { recursive: true });
    await Deno.mkdir(source);
    for (let i = 0; i < 16; i++) {
      await Deno.writeFile(`${source}/${i}`, content(5_000_000));
    }
    most = 0;
    await copy(server.sftp, source, target, {
      concurrency: 16,
      onProgress: count,
    });
    assert(most <= 8, `${most} of 8`);
  },
);

testCopy(
  "upload",
  "with delete removes nothing behind a link of the target, but for the one that is named",
  async ({ copy, server, dir, source, target }) => {
    await write(source, { "a/in/new": "x", "b/new": "x" });
    await write(dir, {
      "real/b/old": "",
      "real/old": "",
      "other/in/old": "",
      "other/old": "",
    });
    await Deno.symlink("real", target);
    await Deno.symlink("../other", `${dir}/real/a`);
    const { deleted, notices } = await copy(server.sftp, source, target, {
      delete: true,
    });
    assertEquals(deleted, 2);
    assertEquals(await names(`${dir}/real`), ["a", "b"]);
    assertEquals(await names(`${dir}/real/b`), ["new"]);
    assertEquals(await names(`${dir}/other`), ["in", "old"]);
    assertEquals(await names(`${dir}/other/in`), ["new", "old"]);
    assertEquals(notices, [{
      path: `${target}/a`,
      message: "Nothing was deleted behind a link of the target",
    }]);
  },
);
