// upload() and download() against OpenSSH's sftp-server, both on this machine.

import { appendFileSync, truncateSync, utimesSync } from "node:fs";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  SftpError,
  type SftpErrorCode,
} from "../../../../transport/sftp/errors.ts";
import { decodeFileName } from "../../../../transport/sftp/names.ts";
import { download } from "../../../../transport/sftp/transfer/download.ts";
import type {
  TransferProgress,
  TransferResult,
} from "../../../../transport/sftp/transfer/options.ts";
import { upload } from "../../../../transport/sftp/transfer/upload.ts";
import type { Sftp } from "../../../../transport/sftp/sftp.ts";
import { isRoot, noServer, startServer, type TestServer } from "../_server.ts";

/** Either direction: between `dir`/source and `dir`/target. */
const COPIES = {
  upload,
  download: (
    sftp: Sftp,
    from: string,
    to: string,
    options?: Parameters<typeof upload>[3],
  ) => download(sftp, from, to, options),
};

function test(
  name: string,
  fn: (
    copy: typeof upload,
    server: TestServer,
    source: string,
    target: string,
  ) => Promise<void>,
): void {
  for (const [verb, copy] of Object.entries(COPIES)) {
    Deno.test({
      name: `${verb}() ${name}`,
      ignore: noServer,
      async fn() {
        await using server = await startServer();
        await fn(copy, server, `${server.dir}/source`, `${server.dir}/target`);
      },
    });
  }
}

const content = (length: number, seed = 1) =>
  new Uint8Array(length).map((_, index) => index * 31 * seed + (index >> 8));

async function list(dir: string): Promise<string[]> {
  const output = await new Deno.Command("find", {
    // The size of a folder is that of the names which were ever in it.
    args: [
      ...[".", "-type", "d", "-printf", "%P %y %m %T@\\n", "-o"],
      ...["-printf", "%P %y %m %s %T@ %l\\n"],
    ],
    cwd: dir,
  }).output();
  return new TextDecoder().decode(output.stdout).replaceAll(/\.0+(?= )/g, "")
    .split("\n").toSorted();
}

async function names(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name)
    .toSorted();
}

/** What a transfer says that did nothing. */
const NOTHING: TransferResult = {
  files: 0,
  bytes: 0,
  copied: 0,
  same: 0,
  deleted: 0,
  skipped: [],
  notices: [],
  failures: [],
  changes: [],
};

async function assertCode(
  run: Promise<unknown>,
  code: SftpErrorCode,
): Promise<void> {
  const error = await assertRejects(() => run, SftpError);
  assertEquals(error.code, code, error.message);
}

async function makeTree(root: string): Promise<void> {
  await Deno.mkdir(`${root}/a/b/c`, { recursive: true });
  await Deno.mkdir(`${root}/empty folder`);
  await Deno.writeFile(`${root}/a/large`, content(3_000_000));
  await Deno.writeFile(`${root}/a/b/empty`, new Uint8Array());
  for (let index = 0; index < 120; index++) {
    await Deno.writeTextFile(`${root}/a/b/c/${index} ü`, `file ${index}`);
  }
  await Deno.chmod(`${root}/a/b/c/7 ü`, 0o755);
  await Deno.chmod(`${root}/a/b/c`, 0o555);
  await Deno.symlink("/etc/passwd", `${root}/outside`);
  await Deno.symlink("a/b", `${root}/inside`);
  for (const path of ["a/large", "a/b/c/7 ü", "a/b", "a"]) {
    await Deno.utime(`${root}/${path}`, 1_000_000_000, 1_100_000_000);
  }
  // Whole seconds, which is what SFTP can carry; links have times of their own.
  await new Deno.Command("find", {
    args: [
      root,
      "-newermt",
      "2010-01-01",
      "!",
      "-type",
      "l",
      "-exec",
      "touch",
      "-d",
      "@1200000000",
      "{}",
      "+",
    ],
  }).output();
  await new Deno.Command("touch", {
    args: ["-h", "-d", "@1300000000", `${root}/outside`, `${root}/inside`],
  }).output();
}

test(
  "copies a tree with permissions, times, links, empty files and folders",
  async (copy, { sftp }, source, target) => {
    await makeTree(source);
    const seen: TransferProgress[] = [];
    const result = await copy(sftp, source, target, {
      onProgress: (progress) => void seen.push(progress),
    });
    assertEquals(result.files, 122);
    assertEquals(result.skipped, []);
    await new Deno.Command("touch", {
      args: [
        "-h",
        "-d",
        "@1300000000",
        `${target}/outside`,
        `${target}/inside`,
      ],
    }).output();
    // Making links again has changed the folder they are in.
    await Deno.utime(target, 1_200_000_000, 1_200_000_000);
    assertEquals(await list(target), await list(source));
    const diff = await new Deno.Command("diff", {
      args: ["-r", "--no-dereference", source, target],
    }).output();
    assertEquals(diff.code, 0);
    const last = seen.at(-1)!;
    assertEquals([last.files, last.bytes], [122, result.bytes]);
    assertEquals([last.totalFiles, last.totalBytes], [122, result.bytes]);
  },
);

test(
  "leaves links out if asked to, and keeps neither permissions nor times without preserve",
  async (copy, { sftp }, source, target) => {
    await makeTree(source);
    const { skipped } = await copy(sftp, source, target, {
      symlinks: "skip",
      preserve: false,
    });
    assertEquals(skipped.toSorted(), [`${source}/inside`, `${source}/outside`]);
    assertEquals(await names(target), ["a", "empty folder"]);
    const { mode, mtime } = await Deno.stat(`${target}/a/b/c/7 ü`);
    assertEquals(mode! & 0o111, 0);
    assert(mtime!.getTime() > 1_300_000_000_000);
  },
);

test(
  "leaves out what is neither file, folder nor link",
  async (copy, { sftp }, source, target) => {
    await Deno.mkdir(source);
    await new Deno.Command("mkfifo", { args: [`${source}/pipe`] }).output();
    assertEquals(await copy(sftp, source, target), {
      ...NOTHING,
      skipped: [`${source}/pipe`],
    });
    assertEquals(await names(target), []);
  },
);

test(
  "refuses a path that is neither file nor folder, instead of copying nothing",
  async (copy, { sftp }, source, target) => {
    await new Deno.Command("mkfifo", { args: [source] }).output();
    for (const path of ["/dev/null", source]) {
      const error = await assertRejects(
        () => copy(sftp, path, target),
        SftpError,
      );
      assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
      assertEquals(error.path, path);
    }
  },
);

test(
  "copies a file into a folder that is there, and anything into a path that ends with a slash",
  async (copy, { sftp, dir }, source, target) => {
    await Deno.writeTextFile(source, "x");
    await Deno.mkdir(target);
    await copy(sftp, source, `${target}/`);
    assertEquals(await names(target), ["source"]);
    await Deno.remove(`${target}/source`);
    await copy(sftp, source, target);
    assertEquals(await names(target), ["source"]);
    await Deno.mkdir(`${dir}/tree`);
    await Deno.writeTextFile(`${dir}/tree/f`, "y");
    await copy(sftp, `${dir}/tree`, `${target}/`);
    await copy(sftp, `${dir}/tree`, `${target}/tree`);
    assertEquals(await names(target), ["source", "tree"]);
    assertEquals(await names(`${target}/tree`), ["f"]);
    assertEquals(await names(dir), ["source", "target", "tree"]);
    // A folder is no place for a file of its name.
    await Deno.mkdir(`${dir}/other/source`, { recursive: true });
    await assertRejects(() => copy(sftp, source, `${dir}/missing/`), Error);
    await copy(sftp, source, `${dir}/missing/a/`, { parents: true });
    assertEquals(await names(`${dir}/missing/a`), ["source"]);
  },
);

Deno.test({
  name: "upload() refuses a file whose name is not UTF-8",
  ignore: noServer || Deno.build.os !== "linux",
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    await Deno.mkdir(`${dir}/tree`);
    const name = decodeFileName(Uint8Array.of(0x61, 0xff));
    await sftp.writeTextFile(`${dir}/tree/${name}`, "x");
    const error = await assertRejects(
      () => upload(sftp, `${dir}/tree`, `${dir}/copy`),
      SftpError,
      "its name is not UTF-8",
    );
    assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
    assertEquals(await names(dir), ["tree"]);
  },
});

Deno.test({
  name: "upload() names the path of the caller in its errors",
  ignore: noServer,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    await Deno.writeTextFile(`${dir}/source`, "x");
    await Deno.mkdir(`${dir}/folder/folder/source`, { recursive: true });
    await Deno.mkdir(`${dir}/tree`);
    await Deno.writeTextFile(`${dir}/tree/folder`, "x");
    const inTree = await assertRejects(
      () => upload(sftp, `${dir}/tree`, `${dir}/folder`),
      SftpError,
    );
    assertEquals(inTree.code, "SSH_SFTP_IS_A_DIRECTORY");
    assertEquals(inTree.path, `${dir}/folder/folder`);
    await Deno.remove(`${dir}/tree`, { recursive: true });
    for (
      const [to, code] of [
        ["none/file", "SSH_SFTP_NOT_FOUND"],
      ]
    ) {
      const error = await assertRejects(
        () => upload(sftp, `${dir}/source`, `${dir}/${to}`),
        SftpError,
      );
      assertEquals([error.code, error.path], [code, `${dir}/${to}`]);
      assert(error.message.startsWith(`Cannot write "${dir}/${to}"`));
    }
    assertEquals(await names(dir), ["folder", "source"]);
  },
});

Deno.test({
  name: "download() refuses a link to a name that is not UTF-8",
  ignore: noServer,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    await Deno.mkdir(`${dir}/tree`);
    await sftp.symlink(decodeFileName(Uint8Array.of(0xff)), `${dir}/tree/link`);
    const error = await assertRejects(
      () => download(sftp, `${dir}/tree`, `${dir}/copy`),
      SftpError,
    );
    assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
    assertEquals(await names(`${dir}/copy`), []);
  },
});

test(
  "replaces what a link leads to, as sftp does, and with replaceLinks the link",
  async (copy, { sftp, dir }, source, target) => {
    await Deno.writeTextFile(source, "new");
    await Deno.writeTextFile(`${dir}/other`, "other");
    await Deno.symlink("other", target);
    await copy(sftp, source, target);
    assertEquals(await Deno.readTextFile(`${dir}/other`), "new");
    assertEquals(await Deno.readLink(target), "other");
    await Deno.writeTextFile(`${dir}/other`, "other");
    await copy(sftp, source, target, { replaceLinks: true });
    assert((await Deno.lstat(target)).isFile);
    assertEquals(await Deno.readTextFile(target), "new");
    assertEquals(await Deno.readTextFile(`${dir}/other`), "other");
    // A link to what is not there yet.
    await Deno.remove(target);
    await Deno.remove(`${dir}/other`);
    await Deno.symlink("other", target);
    await copy(sftp, source, target);
    assertEquals(await Deno.readTextFile(`${dir}/other`), "new");
    assertEquals(await names(dir), ["other", "source", "target"]);
  },
);

test("copies files of /proc", async (copy, { sftp }, _source, target) => {
  const { bytes } = await copy(sftp, "/proc/filesystems", target, {
    preserve: false,
  });
  assertEquals(
    await Deno.readTextFile(target),
    await Deno.readTextFile("/proc/filesystems"),
  );
  assert(bytes > 0);
});

test("names what is missing", async (copy, { sftp, dir }, source, target) => {
  const error = await assertRejects(() => copy(sftp, source, target), Error);
  assert(/no such file/i.test(error.message), error.message);
  await Deno.writeTextFile(source, "new");
  await assertRejects(
    () => copy(sftp, source, `${dir}/none/target`),
    Error,
    "",
  );
  await Deno.mkdir(`${target}/source`, { recursive: true });
  await Deno.writeTextFile(`${target}/source/kept`, "");
  await Deno.mkdir(`${dir}/tree`);
  await Deno.writeTextFile(`${dir}/tree/source`, "");
  await assertRejects(() => copy(sftp, `${dir}/tree`, target), Error);
  assertEquals(await names(dir), ["source", "target", "tree"]);
  assertEquals(await names(`${target}/source`), ["kept"]);
});

test(
  "leaves no file behind when it is aborted, at whatever point",
  async (copy, { sftp, dir }, source, target) => {
    await Deno.writeFile(source, content(9_000_000));
    for (let steps = 0; steps < 12; steps++) {
      const abort = new AbortController();
      let pieces = 0;
      const copying = copy(sftp, source, target, {
        signal: abort.signal,
        onProgress: () => {
          if (++pieces === steps) abort.abort(new Error("stop"));
        },
      });
      if (steps === 0) abort.abort(new Error("stop"));
      const result = await copying.catch((error) => error.message);
      assert(result === "stop" || steps > 9, String(result));
      // What was complete before the abort stays.
      if ((await names(dir)).includes("target")) {
        assertEquals((await Deno.stat(target)).size, 9_000_000);
        assert(steps > 9);
        await Deno.remove(target);
      }
      assertEquals(await names(dir), ["source"]);
    }
  },
);

test(
  "gives an error of onProgress to the caller, and stops the other files",
  async (copy, { sftp }, source, target) => {
    await makeTree(source);
    await assertRejects(
      () =>
        copy(sftp, source, target, {
          concurrency: 2,
          onProgress: () => {
            throw new Error("observer");
          },
        }),
      Error,
      "observer",
    );
    assert((await names(`${target}/a/b/c`)).length < 10);
  },
);

test(
  "rejects when the session ends, and leaves no file under the final name",
  async (copy, { sftp, dir }, source, target) => {
    await Deno.writeFile(source, content(9_000_000));
    await assertRejects(
      () => copy(sftp, source, target, { onProgress: () => sftp.close() }),
      SftpError,
    );
    assertEquals((await names(dir)).includes("target"), false);
  },
);

test(
  "takes a source that changes for an error, and leaves nothing of it",
  async (copy, { sftp, dir }, source, target) => {
    for (
      const change of [
        () => appendFileSync(source, "more"),
        () => truncateSync(source, 5_000_000),
        () => utimesSync(source, 1, 1),
      ]
    ) {
      await Deno.writeFile(source, content(9_000_000));
      for (const resume of [false, true]) {
        // In the very turn: later the file may be copied already.
        let isChanged = false;
        const onProgress = () => {
          if (!isChanged) change();
          isChanged = true;
        };
        await assertCode(
          copy(sftp, source, target, { resume, onProgress }),
          "SSH_SFTP_SOURCE_CHANGED",
        );
        assertEquals(await names(dir), ["source"]);
        await Deno.writeFile(source, content(9_000_000));
      }
    }
  },
);

test(
  "goes on where it was aborted with resume, and copies no file twice",
  async (copy, { sftp, dir }, source, target) => {
    await Deno.writeFile(source, content(9_000_000));
    const abort = new AbortController();
    await assertRejects(
      () =>
        copy(sftp, source, target, {
          resume: true,
          signal: abort.signal,
          onProgress: ({ bytes }) =>
            bytes > 5_000_000 && abort.abort(new Error("stop")),
        }),
      Error,
      "stop",
    );
    const [partial = "", ...rest] = (await names(dir)).filter((name) =>
      name !== "source"
    );
    assertEquals(rest, []);
    assert(
      /^\.sshpool-[0-9a-f]{16}-[0-9a-f]{24}\.part$/.test(partial),
      partial,
    );
    // Writes may still have been on their way.
    await sftp.stat(dir);
    const { size } = await Deno.stat(`${dir}/${partial}`);
    assert(size > 0);
    const seen: number[] = [];
    await copy(sftp, source, target, {
      resume: true,
      onProgress: ({ bytes }) => void seen.push(bytes),
    });
    assertEquals(seen[0], size);
    assertEquals(seen.at(-1), 9_000_000);
    assertEquals(await Deno.readFile(target), content(9_000_000));
    assertEquals(await names(dir), ["source", "target"]);
    const { ino } = await Deno.stat(target);
    assertEquals(await copy(sftp, source, target, { resume: true }), {
      ...NOTHING,
      files: 1,
      same: 1,
      bytes: 9_000_000,
    });
    assertEquals((await Deno.stat(target)).ino, ino);
  },
);

test(
  "does not go on with an unfinished file that differs from the source, or is of another version of it",
  async (copy, { sftp, dir }, source, target) => {
    await Deno.writeFile(source, content(9_000_000));
    const cut = async () => {
      const abort = new AbortController();
      await assertRejects(
        () =>
          copy(sftp, source, target, {
            resume: true,
            signal: abort.signal,
            onProgress: ({ bytes }) =>
              bytes > 5_000_000 && abort.abort(new Error("stop")),
          }),
        Error,
        "stop",
      );
      await sftp.stat(dir);
      return (await names(dir)).find((name) => name.endsWith(".part"))!;
    };
    const partial = `${dir}/${await cut()}`;
    await Deno.truncate(partial, 1_000_000);
    const damaged = await Deno.open(partial, { write: true });
    await damaged.seek(100, Deno.SeekMode.Start);
    await damaged.write(new Uint8Array(10).fill(1));
    damaged.close();
    await copy(sftp, source, target, { resume: true });
    assertEquals(await Deno.readFile(target), content(9_000_000));
    await Deno.remove(target);
    await cut();
    await Deno.writeFile(source, content(9_000_000, 2));
    await Deno.utime(source, 5, 5);
    await copy(sftp, source, target, { resume: true });
    assertEquals(await Deno.readFile(target), content(9_000_000, 2));
  },
);

Deno.test({
  name: "upload() and download() refuse a path that stands for another one",
  ignore: noServer,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    // What a runtime takes each of the two for.
    await Deno.writeTextFile(`${dir}/caf\ufffd`, "x");
    for (const half of ["\ud800", "\udce9"]) {
      const path = `${dir}/caf${half}`;
      const copies = [
        () => upload(sftp, path, `${dir}/copy`),
        () => download(sftp, `${dir}/caf\ufffd`, path),
      ];
      for (const copy of copies) {
        await assertRejects(
          copy,
          TypeError,
          `${JSON.stringify(path)}, must`,
        );
      }
    }
    assertEquals(await names(dir), ["caf\ufffd"]);
  },
});

test(
  "refuses options that make no sense",
  async (copy, { sftp }, source, target) => {
    await assertRejects(
      () => copy(sftp, source, target, { concurrency: 0 }),
      RangeError,
    );
    await assertRejects(
      () => copy(sftp, source, target, { symlinks: "keep" as "copy" }),
      TypeError,
    );
    const misspelt = { concurency: 4 } as Record<string, unknown>;
    await assertRejects(
      () => copy(sftp, source, target, misspelt),
      TypeError,
      'Cannot copy: there is no option "concurency", did you mean "concurrency"?',
    );
  },
);

Deno.test({
  name: "upload() names a full disk, and leaves nothing on it",
  ignore: noServer || !isRoot,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    await Deno.writeFile(`${dir}/source`, content(3_000_000));
    await Deno.mkdir(`${dir}/full`);
    const mount = await new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", "size=1m", "tmpfs", `${dir}/full`],
    }).output();
    if (!mount.success) return; // a container that may not mount
    try {
      await assertCode(
        upload(sftp, `${dir}/source`, `${dir}/full/f`),
        "SSH_SFTP_NO_SPACE",
      );
      assertEquals(await names(`${dir}/full`), []);
      const error = await assertRejects(
        () => download(sftp, `${dir}/source`, `${dir}/full/f`),
        Error,
      );
      assert(/ENOSPC|No space/.test(error.message), error.message);
      assertStringIncludes(error.message, `Cannot write "${dir}/full/f": `);
      assertStringIncludes(error.stack ?? "", error.message);
      assertEquals((error as NodeJS.ErrnoException).code, "ENOSPC");
      assertEquals((error as NodeJS.ErrnoException).path, `${dir}/full/f`);
      assertEquals(await names(`${dir}/full`), []);
    } finally {
      // Not at once: what another test starts has all files open for a moment.
      const args = ["-l", `${dir}/full`];
      await new Deno.Command("umount", { args }).output();
    }
  },
});

Deno.test({
  name:
    "download() refuses to make a folder where a link is, which could lead out of the tree",
  ignore: noServer,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    await Deno.mkdir(`${dir}/source/a`, { recursive: true });
    await Deno.writeTextFile(`${dir}/source/a/f`, "planted");
    await Deno.mkdir(`${dir}/target`);
    await Deno.mkdir(`${dir}/outside`);
    await Deno.symlink("../outside", `${dir}/target/a`);
    await assertCode(
      download(sftp, `${dir}/source`, `${dir}/target`),
      "SSH_SFTP_TRANSFER_REFUSED",
    );
    assertEquals(await names(`${dir}/outside`), []);
  },
});

Deno.test({
  name: "download() refuses a name that is not UTF-8, and makes nothing",
  ignore: noServer,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    await Deno.mkdir(`${dir}/source`);
    await sftp.writeTextFile(`${dir}/source/caf\udce9`, "");
    await assertCode(
      download(sftp, `${dir}/source`, `${dir}/target`),
      "SSH_SFTP_TRANSFER_REFUSED",
    );
    assertEquals(await names(dir), ["source"]);
    await Deno.mkdir(`${dir}/target`);
    for (const to of ["target", "target/"]) {
      await assertCode(
        download(sftp, `${dir}/source/caf\udce9`, `${dir}/${to}`),
        "SSH_SFTP_TRANSFER_REFUSED",
      );
    }
    assertEquals(await names(`${dir}/target`), []);
    await download(sftp, `${dir}/source/caf\udce9`, `${dir}/target/café`);
    assertEquals(await names(`${dir}/target`), ["café"]);
  },
});

test(
  "does not go on with what was copied of an older version, even if that ends alike",
  async (copy, { sftp, dir }, source, target) => {
    const data = content(16_000_000);
    await Deno.writeFile(source, data);
    await Deno.utime(source, 1000, 1000);
    const abort = new AbortController();
    await assertRejects(
      () =>
        copy(sftp, source, target, {
          resume: true,
          signal: abort.signal,
          onProgress: ({ bytes }) =>
            bytes > 13_000_000 && abort.abort(new Error("stop")),
        }),
      Error,
      "stop",
    );
    await sftp.stat(dir);
    data[0] = 99;
    await Deno.writeFile(source, data);
    await Deno.utime(source, 2000, 2000);
    await copy(sftp, source, target, { resume: true });
    assertEquals((await Deno.readFile(target))[0], 99);
  },
);

test(
  "stops files that are under way when another fails",
  async (copy, { sftp }, source, target) => {
    await Deno.mkdir(source);
    for (const name of ["a", "b"]) {
      await Deno.writeFile(
        `${source}/${name}`,
        content(40_000_000),
      );
    }
    let calls = 0;
    await assertRejects(
      () =>
        copy(sftp, source, target, {
          onProgress: () => {
            if (++calls === 1) throw new Error("observer");
          },
        }),
      Error,
      "observer",
    );
    assertEquals(await names(target), []);
  },
);

Deno.test({
  name:
    "download() names the file that it cannot make, and not the unfinished one",
  ignore: noServer,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    await Deno.writeTextFile(`${dir}/f`, "x");
    const path = `${dir}/none/f`;
    const error: NodeJS.ErrnoException = await assertRejects(
      () => download(sftp, `${dir}/f`, path),
      Error,
    );
    assertStringIncludes(error.message, `Cannot write "${path}": `);
    assert(!error.message.includes(".tmp"), error.message);
    assertEquals([error.code, error.path], ["ENOENT", path]);
  },
});
