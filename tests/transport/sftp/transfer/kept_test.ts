// What a copy leaves as it was: modes and owners, devices, links, and what
// others have put where it writes.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { SftpError } from "../../../../transport/sftp/errors.ts";
import { downloadWith } from "../../../../transport/sftp/transfer/download.ts";
import {
  upload,
  uploadWith,
} from "../../../../transport/sftp/transfer/upload.ts";
import { isRoot, noServer, startServer } from "../_server.ts";
import {
  content,
  modeOf,
  names,
  testCopies,
  testCopy,
  umask,
  write,
} from "./_copies.ts";

/** The part of the name of an unfinished file that tells what it will be. */
const tagOf = (name: string) =>
  createHash("sha256").update(name).digest("hex").slice(0, 16);
const messages = (notices: readonly { message: string }[]) =>
  notices.map(({ message }) => message).join("\n");
const run = (command: string, ...args: string[]) =>
  new Deno.Command(command, { args }).output();

testCopies(
  "keeps the permissions and the owner of a file that it replaces",
  async ({ copy, server, source, target }) => {
    await Deno.writeTextFile(source, "new");
    await Deno.chmod(source, 0o644);
    await Deno.writeTextFile(target, "old");
    await Deno.chmod(target, 0o640);
    await Deno.chown(target, 65534, 4);
    const { notices } = await copy(server.sftp, source, target);
    assertEquals(notices, []);
    assertEquals(await Deno.readTextFile(target), "new");
    const { uid, gid } = await Deno.stat(target);
    assertEquals([await modeOf(target), uid, gid], [0o640, 65534, 4]);
    await copy(server.sftp, source, target, { preserve: true });
    assertEquals(await modeOf(target), 0o644);
  },
  { ignore: !isRoot },
);

testCopies(
  "gives new files the permissions that the umask allows, and all with preserve",
  async ({ copy, server, source, target }) => {
    await write(source, { f: "x", "d/g": "y" });
    await Deno.chmod(`${source}/f`, 0o666);
    await Deno.chmod(`${source}/d`, 0o777);
    await copy(server.sftp, source, target);
    assertEquals(await modeOf(`${target}/f`), 0o666 & ~umask());
    assertEquals(await modeOf(`${target}/d`), 0o777 & ~umask());
    await copy(server.sftp, `${source}/f`, `${target}/single`);
    assertEquals(await modeOf(`${target}/single`), 0o666 & ~umask());
    await copy(server.sftp, source, `${target}/2`, { preserve: true });
    assertEquals(await modeOf(`${target}/2/f`), 0o666);
    assertEquals(await modeOf(`${target}/2/d`), 0o777);
    await copy(server.sftp, source, `${target}/3`, { preserve: false });
    assertEquals(await modeOf(`${target}/3/f`), 0o666 & ~umask());
  },
);

testCopies(
  "gives a file neither set-user-id nor a time before 1970",
  async ({ copy, verb, server, source, target }) => {
    await Deno.writeTextFile(source, "x");
    await Deno.chmod(source, 0o4755);
    await Deno.utime(source, -5, -5);
    await copy(server.sftp, source, target, { preserve: true });
    assertEquals(await modeOf(target), 0o755);
    if (verb === "upload") {
      assertEquals((await Deno.stat(target)).mtime!.getTime(), 0);
    }
  },
);

testCopies(
  "changes neither mode nor time of a folder that was there, whatever is asked for",
  async ({ copy, server, source, target }) => {
    for (const preserve of [undefined, true, false]) {
      await write(source, { "d/f": "x" });
      await Deno.chmod(source, 0o755);
      await Deno.utime(source, 5, 5);
      await write(target, { "d/f": "y" });
      await Deno.chmod(target, 0o1777);
      await Deno.chmod(`${target}/d`, 0o2700);
      const options = preserve === undefined ? {} : { preserve };
      await copy(server.sftp, source, target, options);
      assertEquals(await modeOf(target), 0o1777);
      assertEquals(await modeOf(`${target}/d`), 0o2700);
      assert((await Deno.stat(target)).mtime!.getTime() > 1_000_000);
    }
  },
);

testCopies(
  "has unfinished files that nobody else may read, whatever they will be",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeFile(source, content(3_000_000));
    await Deno.chmod(source, 0o644);
    for (const preserve of [undefined, true, false]) {
      const modes = new Set<number>();
      await copy(server.sftp, source, target, {
        ...(preserve === undefined ? {} : { preserve }),
        onProgress: () => {
          for (const { name } of Deno.readDirSync(dir)) {
            // Not the empty file that asks for the umask.
            if (!name.startsWith(`.sshpool-${tagOf("target")}`)) continue;
            modes.add(Deno.lstatSync(`${dir}/${name}`).mode! & 0o777);
          }
        },
      });
      assertEquals([...modes], [0o600]);
      await Deno.remove(target);
    }
  },
);

testCopies(
  "writes into a device, and refuses a pipe as target",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeTextFile(source, "x");
    await run("mknod", target, "c", "1", "3");
    const { notices } = await copy(server.sftp, source, target);
    assert(messages(notices).includes("it is a device"), messages(notices));
    assert((await Deno.stat(target)).isCharDevice);
    await run("mkfifo", `${dir}/pipe`);
    const error = await assertRejects(
      () => copy(server.sftp, source, `${dir}/pipe`),
      SftpError,
      "is no regular file",
    );
    assertEquals(error.code, "SSH_SFTP_TRANSFER_REFUSED");
    assert((await Deno.stat(`${dir}/pipe`)).isFifo);
    assertEquals(await names(dir), ["pipe", "source", "target"]);
  },
  { ignore: !isRoot },
);

Deno.test({
  name:
    "Sftp.writeFile() with atomic keeps the owner, and refuses what is no regular file",
  ignore: noServer || !isRoot,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    await Deno.writeTextFile(`${dir}/f`, "old");
    await Deno.chmod(`${dir}/f`, 0o640);
    await Deno.chown(`${dir}/f`, 65534, 4);
    await sftp.writeTextFile(`${dir}/f`, "new", { atomic: true });
    const { uid, gid } = await Deno.stat(`${dir}/f`);
    assertEquals([await modeOf(`${dir}/f`), uid, gid], [0o640, 65534, 4]);
    await run("mknod", `${dir}/null`, "c", "1", "3");
    await assertRejects(
      () => sftp.writeTextFile(`${dir}/null`, "x", { atomic: true }),
      SftpError,
      "it is no regular file",
    );
    assert((await Deno.stat(`${dir}/null`)).isCharDevice);
    assertEquals(await names(dir), ["f", "null"]);
  },
});

testCopies(
  "with resume never takes another version of the same name, size and time for the same file",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeFile(source, content(12_000_000));
    await Deno.utime(source, 7, 7);
    const stop = new AbortController();
    await assertRejects(() =>
      copy(server.sftp, source, target, {
        resume: true,
        signal: stop.signal,
        onProgress: ({ bytes }) => bytes > 9_000_000 && stop.abort(),
      })
    );
    await server.sftp.stat(dir);
    assertEquals((await names(dir)).length, 2);
    // Only the first byte differs, far before what was copied last.
    const second = content(12_000_000);
    second[0] = 99;
    await Deno.writeFile(source, second);
    await Deno.utime(source, 7, 7);
    await copy(server.sftp, source, target, { resume: true });
    assertEquals((await Deno.readFile(target))[0], 99);
    assertEquals(await names(dir), ["source", "target"]);
    // Nor the whole file: one of the same size and another time, or content.
    await Deno.writeFile(source, content(12_000_000));
    await Deno.utime(source, 7, 7);
    await copy(server.sftp, source, target, { resume: true });
    assertEquals(await Deno.readFile(target), content(12_000_000));
    await Deno.writeFile(source, second);
    await Deno.utime(source, 8, 8);
    const { copied } = await copy(server.sftp, source, target, {
      resume: true,
    });
    assertEquals([copied, (await Deno.readFile(target))[0]], [1, 99]);
  },
);

const planted = (name: string, random = "0".repeat(24)) =>
  `.sshpool-${tagOf(name)}-${random}.part`;

testCopies(
  "with resume writes nothing through a link, or into a file, that another has put there",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeFile(source, content(100_000));
    await Deno.writeFile(`${dir}/victim`, content(50_000, 3));
    const name = planted("target");
    await Deno.symlink("victim", `${dir}/${name}`);
    await copy(server.sftp, source, target, { resume: true });
    assertEquals(await Deno.readFile(`${dir}/victim`), content(50_000, 3));
    await Deno.remove(target);
    // Also if there is what the source begins with.
    await Deno.writeFile(`${dir}/victim`, content(50_000));
    await Deno.symlink("victim", `${dir}/${name}`);
    await copy(server.sftp, source, target, { resume: true });
    assertEquals(await Deno.readFile(`${dir}/victim`), content(50_000));
    assertEquals(await Deno.readFile(target), content(100_000));
    await Deno.writeFile(`${dir}/victim`, content(50_000, 3));
    await Deno.remove(target);
    // Another name of the same file.
    await Deno.link(
      `${dir}/victim`,
      `${dir}/${planted("target", "1".repeat(24))}`,
    );
    await copy(server.sftp, source, target, { resume: true });
    assertEquals(await Deno.readFile(`${dir}/victim`), content(50_000, 3));
    assertEquals(await Deno.readFile(target), content(100_000));
  },
);

/** What makes a file one that somebody else can read on, or write to. */
const FOREIGN: Record<string, (path: string) => Promise<void>> = {
  "that others may write to": (path) => Deno.chmod(path, 0o622),
  "that has another name": (path) => Deno.link(path, `${path}-too`),
};
if (Deno.build.os !== "windows" && Deno.uid() === 0) {
  FOREIGN["of another user"] = (path) => Deno.chown(path, 1, 1);
}
for (const [what, make] of Object.entries(FOREIGN)) {
  testCopies(
    `with resume writes nothing into a file ${what}, though it begins as the source`,
    async ({ copy, server, dir, source, target }) => {
      await Deno.writeFile(source, content(100_000), { mode: 0o600 });
      const name = `${dir}/${planted("target")}`;
      await Deno.writeFile(name, content(50_000), { mode: 0o600 });
      await make(name);
      using watched = await Deno.open(name);
      await copy(server.sftp, source, target, { resume: true });
      assertEquals((await watched.stat()).size, 50_000);
      assertEquals(await Deno.readFile(target), content(100_000));
      assertEquals(
        (await Deno.stat(target)).uid,
        (await Deno.stat(source)).uid,
      );
    },
  );
}

testCopies(
  "with resume goes on with a file whose comparison was aborted",
  async ({ copy, verb, server, dir, source, target }) => {
    const bytes = content(6_000_000);
    await Deno.writeFile(source, bytes);
    const name = planted("target");
    await Deno.writeFile(`${dir}/${name}`, bytes.subarray(0, 5_000_000));
    const stop = new AbortController();
    const copyWith = verb === "upload" ? uploadWith : downloadWith;
    const options = { resume: true, signal: stop.signal };
    await assertRejects(
      () =>
        copyWith(
          server.sftp,
          source,
          target,
          options,
          (_path, _bytes, signal) => {
            stop.abort(new Error("enough"));
            return Promise.reject(signal.reason);
          },
        ),
      Error,
      "enough",
    );
    assertEquals(await names(dir), [name, "source"]);
    const seen: number[] = [];
    await copy(server.sftp, source, target, {
      resume: true,
      onProgress: ({ bytes }) => void seen.push(bytes),
    });
    assertEquals(seen[0], 5_000_000);
    assertEquals(await Deno.readFile(target), bytes);
    assertEquals(await names(dir), ["source", "target"]);
  },
);

testCopies(
  "with resume says that another copy to the same target is under way",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeFile(source, content(9_000_000));
    let second: Promise<unknown> | undefined;
    await copy(server.sftp, source, target, {
      resume: true,
      onProgress: ({ bytes }) => {
        if (bytes < 1_000_000) return;
        second ??= copy(server.sftp, source, target, { resume: true })
          .catch((error) => error);
      },
    });
    const error = await second;
    if (error instanceof SftpError) {
      assert(error.message.includes("is under way"), error.message);
    }
    assertEquals(await Deno.readFile(target), content(9_000_000));
    assertEquals(await names(dir), ["source", "target"]);
  },
);

Deno.test({
  name:
    "upload() removes what an upload has left whose connection was lost, and copies none of it along",
  ignore: noServer,
  async fn() {
    await using first = await startServer();
    await using second = await startServer();
    const { dir } = first;
    const files = Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [`${i}`, "x".repeat(200_000)]),
    );
    await write(`${dir}/source`, files);
    let isKilled = false;
    await assertRejects(() =>
      upload(first.sftp, `${dir}/source`, `${dir}/target`, {
        onProgress: () => {
          if (isKilled) return;
          isKilled = true;
          first.kill();
        },
      })
    );
    const left = (await names(`${dir}/target`))
      .filter((name) => name.startsWith(".sshpool-"));
    assert(left.length > 0);
    const { skipped } = await upload(
      second.sftp,
      `${dir}/target`,
      `${second.dir}/elsewhere`,
    );
    assertEquals(
      skipped.toSorted(),
      left.map((name) => `${dir}/target/${name}`),
    );
    await upload(second.sftp, `${dir}/source`, `${dir}/target`);
    assertEquals(
      await names(`${dir}/target`),
      Object.keys(files).toSorted(),
    );
  },
});

testCopies(
  "makes a link where nothing is, leaves one that is right, and replaces another",
  async ({ copy, server, source, target }) => {
    await write(source, { a: "content" });
    await Deno.symlink("a", `${source}/l`);
    await copy(server.sftp, source, target);
    const { ino } = await Deno.lstat(`${target}/l`);
    await copy(server.sftp, source, target);
    assertEquals(await Deno.readLink(`${target}/l`), "a");
    assertEquals(typeof ino, "number");
    await Deno.remove(`${target}/l`);
    await Deno.symlink("elsewhere", `${target}/l`);
    await copy(server.sftp, source, target);
    assertEquals(await Deno.readLink(`${target}/l`), "a");
    assertEquals(await Deno.readTextFile(`${target}/a`), "content");
    assertEquals(await names(target), ["a", "l"]);
    await copy(server.sftp, source, `${target}/f`, { symlinks: "follow" });
    assert((await Deno.lstat(`${target}/f/l`)).isFile);
    assertEquals(await Deno.readTextFile(`${target}/f/l`), "content");
  },
);

testCopy(
  "upload",
  "names the link and the way out where the server makes none",
  async ({ copy, server, source, target }) => {
    await write(source, { f: "x" });
    await Deno.symlink("f", `${source}/l`);
    const error = await assertRejects(
      () => copy(server.sftp, source, target),
      SftpError,
    );
    assertEquals(error.path, `${source}/l`);
    assert(error.hint?.includes('symlinks: "skip"'), error.hint);
    const { skipped } = await copy(server.sftp, source, target, {
      symlinks: "skip",
    });
    assertEquals(skipped, [`${source}/l`]);
  },
  { args: ["-P", "symlink"] },
);

testCopy(
  "download",
  "writes through no link in a tree, also in place",
  async ({ copy, server, dir, source, target }) => {
    await write(source, { f: "new" });
    await write(target, {});
    await Deno.writeTextFile(`${dir}/victim`, "old");
    for (const write of ["beside", "in-place"] as const) {
      await Deno.symlink("../victim", `${target}/f`);
      await copy(server.sftp, source, target, { write });
      assertEquals(await Deno.readTextFile(`${dir}/victim`), "old");
      assert((await Deno.lstat(`${target}/f`)).isFile);
      assertEquals(await Deno.readTextFile(`${target}/f`), "new");
      await Deno.remove(`${target}/f`);
    }
  },
);

testCopy(
  "download",
  "says that a file which it replaces had other names",
  async ({ copy, server, dir, source, target }) => {
    await Deno.writeTextFile(source, "new");
    await Deno.writeTextFile(target, "old");
    await Deno.link(target, `${dir}/other`);
    const { notices } = await copy(server.sftp, source, target);
    assert(messages(notices).includes("hard links"), messages(notices));
    assertEquals(await Deno.readTextFile(`${dir}/other`), "old");
  },
);
