// The Sftp session against OpenSSH's sftp-server.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { userInfo } from "node:os";
import { SftpError } from "../../../transport/sftp/errors.ts";
import type { SftpErrorCode } from "../../../transport/sftp/errors.ts";
import { ConnectionLostError, SshError } from "../../../transport/errors.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";
import { isRoot, noServer, startServer, type TestServer } from "./_server.ts";

const ignore = noServer;

async function list(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name)
    .toSorted();
}

async function assertCode(
  run: () => Promise<unknown>,
  code: SftpErrorCode,
  path?: string,
): Promise<SftpError> {
  const error = await assertRejects(run, SftpError);
  assertEquals(error.code, code, error.message);
  if (path !== undefined) assertEquals(error.path, path);
  return error;
}

function test(name: string, fn: (server: TestServer) => Promise<void>): void {
  Deno.test({
    name,
    ignore,
    async fn() {
      await using server = await startServer();
      await fn(server);
    },
  });
}

test("Sftp.writeFile() and readFile() carry content of every size", async ({ sftp, dir }) => {
  for (const size of [0, 1, 32768, 261120, 261121, 3_000_000]) {
    const data = new Uint8Array(size).map((_, index) => index * 7);
    await sftp.writeFile(`${dir}/f`, data);
    assertEquals(await Deno.readFile(`${dir}/f`), data);
    assertEquals(await sftp.readFile(`${dir}/f`), data);
  }
});

test("Sftp.readFile() reads files of /proc, which have size 0", async ({ sftp }) => {
  assertEquals((await sftp.stat("/proc/cpuinfo")).size, 0);
  const text = await sftp.readTextFile("/proc/cpuinfo");
  assertEquals(
    text.split("\n")[0],
    (await Deno.readTextFile("/proc/cpuinfo")).split("\n")[0],
  );
  assert(text.endsWith("\n"));
});

test("Sftp.writeFile() leaves a file as it is if the data cannot be written", async ({ sftp, dir }) => {
  const path = `${dir}/f`;
  await sftp.writeTextFile(path, "old");
  const locked = new ReadableStream();
  locked.getReader();
  for (const data of ["text", new ArrayBuffer(3), null, locked]) {
    for (const atomic of [false, true]) {
      const error = await assertRejects(
        () => sftp.writeFile(path, data as unknown as Uint8Array, { atomic }),
        TypeError,
      );
      assertMatch(error.message, /must be a Uint8Array or a ReadableStream/);
    }
  }
  assertEquals(await Deno.readTextFile(path), "old");
  const strings = new Blob(["x"]).stream().pipeThrough(new TextDecoderStream());
  const error = await assertRejects(
    () =>
      sftp.writeFile(path, strings as unknown as ReadableStream, {
        atomic: true,
      }),
    TypeError,
  );
  assertMatch(error.message, /the data is a string/);
  assertEquals(await Deno.readTextFile(path), "old");
});

test("Sftp refuses numbers that the protocol cannot carry, and changes nothing", async ({ sftp, dir }) => {
  const path = `${dir}/f`;
  await sftp.writeTextFile(path, "old", { mode: 0o640 });
  await using file = await sftp.open(path, { write: true });
  for (
    const run of [
      () => sftp.chmod(path, NaN),
      () => sftp.chmod(path, -1),
      () => sftp.chown(path, NaN, 0),
      () => sftp.truncate(path, -1),
      () => sftp.truncate(path, 1.5),
      () => sftp.mkdir(`${dir}/d`, { mode: NaN }),
      () => sftp.writeTextFile(`${dir}/g`, "", { mode: 2 ** 16 }),
      () => file.chmod(NaN),
      () => file.truncate(-1),
    ]
  ) await assertRejects(run, RangeError, "must be a whole number from 0 to");
  const { mode, size } = await Deno.stat(path);
  assertEquals([mode! & 0o777, size], [0o640, 3]);
  const entries = await Array.fromAsync(Deno.readDir(dir));
  assertEquals(entries.map(({ name }) => name), ["f"]);
  // The kind of a file may come along.
  await sftp.chmod(path, (await sftp.stat(path)).mode!);
});

test("Sftp.readTextFile() keeps a byte order mark, as Deno does", async ({ sftp, dir }) => {
  await sftp.writeTextFile(`${dir}/f`, "\ufeffx");
  assertEquals(await sftp.readTextFile(`${dir}/f`), "\ufeffx");
});

test("Sftp.writeFile() with atomic makes the file that a link names, and errors name the caller's path", async ({ sftp, dir }) => {
  await sftp.symlink("new", `${dir}/link`);
  await sftp.writeTextFile(`${dir}/link`, "x", { atomic: true });
  assertEquals(await Deno.readTextFile(`${dir}/new`), "x");
  await assertCode(
    () => sftp.writeTextFile(`${dir}/none/f`, "x", { atomic: true }),
    "SSH_SFTP_NOT_FOUND",
    `${dir}/none/f`,
  );
});

test("Sftp.writeFile() appends, replaces, and makes no file that must not be made", async ({ sftp, dir }) => {
  const path = `${dir}/f`;
  await assertCode(
    () => sftp.writeTextFile(path, "x", { create: false }),
    "SSH_SFTP_NOT_FOUND",
    path,
  );
  await sftp.writeTextFile(path, "one", { createNew: true, mode: 0o600 });
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  await sftp.writeTextFile(path, " two", { append: true });
  assertEquals(await Deno.readTextFile(path), "one two");
  await sftp.writeTextFile(path, "3", { mode: 0o640 });
  assertEquals(await Deno.readTextFile(path), "3");
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o640);
  await assertCode(
    () => sftp.writeTextFile(path, "x", { createNew: true }),
    "SSH_SFTP_ALREADY_EXISTS",
    path,
  );
  assertEquals(await Deno.readTextFile(path), "3");
});

test("Sftp.writeFile() with atomic replaces a file in one step and keeps its permissions", async ({ sftp, dir }) => {
  const path = `${dir}/f`;
  await Deno.writeTextFile(path, "old");
  await Deno.chmod(path, 0o604);
  const before = await Deno.open(path);
  await sftp.writeTextFile(path, "new", { atomic: true });
  const kept = new Uint8Array(9);
  assertEquals(await before.read(kept), 3);
  before.close();
  assertEquals(new TextDecoder().decode(kept.subarray(0, 3)), "old");
  assertEquals(await Deno.readTextFile(path), "new");
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o604);
  assertEquals(await list(dir), ["f"]);
});

test("Sftp.writeFile() with atomic follows a link, and replaces nothing with createNew", async ({ sftp, dir }) => {
  await Deno.writeTextFile(`${dir}/real`, "old");
  await Deno.symlink("real", `${dir}/link`);
  await sftp.writeTextFile(`${dir}/link`, "new", { atomic: true });
  assertEquals(await Deno.readTextFile(`${dir}/real`), "new");
  assert((await Deno.lstat(`${dir}/link`)).isSymlink);
  await assertCode(
    () =>
      sftp.writeTextFile(`${dir}/real`, "x", { atomic: true, createNew: true }),
    "SSH_SFTP_ALREADY_EXISTS",
  );
  await sftp.writeTextFile(`${dir}/third`, "3", {
    atomic: true,
    createNew: true,
  });
  assertEquals(await Deno.readTextFile(`${dir}/third`), "3");
  assertEquals((await list(dir)).length, 3);
});

test("Sftp.writeFile() with atomic leaves the old file and no other when its source fails", async ({ sftp, dir }) => {
  const path = `${dir}/f`;
  await Deno.writeTextFile(path, "old");
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new Uint8Array(100_000));
      controller.error(new Error("no more"));
    },
  });
  await assertRejects(
    () => sftp.writeFile(path, source, { atomic: true }),
    Error,
    "no more",
  );
  assertEquals(await Deno.readTextFile(path), "old");
  assertEquals(await list(dir), ["f"]);
});

test("Sftp.writeFile() with atomic removes its file when it is aborted, and cancels the source", async ({ sftp, dir }) => {
  const abort = new AbortController();
  let cancelled: unknown;
  const source = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(1000)),
    pull: () => abort.abort(new Error("enough")),
    cancel: (reason) => void (cancelled = reason),
  }, { highWaterMark: 0 });
  await assertRejects(
    () =>
      sftp.writeFile(`${dir}/f`, source, {
        atomic: true,
        signal: abort.signal,
      }),
    Error,
    "enough",
  );
  assertEquals((cancelled as Error).message, "enough");
  assertEquals(await list(dir), []);
});

test("Sftp.stat() follows links and lstat() does not", async ({ sftp, dir }) => {
  await Deno.writeTextFile(`${dir}/f`, "12345");
  await sftp.symlink("f", `${dir}/link`);
  assertEquals(await Deno.readLink(`${dir}/link`), "f");
  assertEquals(await sftp.readLink(`${dir}/link`), "f");
  const [info, link] = [
    await sftp.stat(`${dir}/link`),
    await sftp.lstat(`${dir}/link`),
  ];
  const real = await Deno.stat(`${dir}/f`);
  assertEquals([info.isFile, info.isSymlink, info.size], [true, false, 5]);
  assertEquals([info.mode, info.uid, info.gid], [
    real.mode,
    real.uid,
    real.gid,
  ]);
  assertEquals(
    info.mtime!.getTime(),
    Math.floor(real.mtime!.getTime() / 1000) * 1000,
  );
  assertEquals([link.isFile, link.isSymlink], [false, true]);
  assertEquals((await sftp.stat(dir)).isDirectory, true);
  assertEquals(
    await sftp.realPath(`${dir}/link`),
    await Deno.realPath(`${dir}/f`),
  );
  await assertCode(
    () => sftp.symlink("g", `${dir}/link`),
    "SSH_SFTP_ALREADY_EXISTS",
    `${dir}/link`,
  );
  await assertCode(
    () => sftp.stat(`${dir}/none`),
    "SSH_SFTP_NOT_FOUND",
    `${dir}/none`,
  );
});

test("Sftp.chmod(), utime(), truncate() and chown() change what they say", async ({ sftp, dir }) => {
  const path = `${dir}/f`;
  await Deno.writeTextFile(path, "12345");
  await sftp.chmod(path, 0o751);
  await sftp.utime(path, 1_000_000_000, new Date(3_000_000_000_000));
  await sftp.truncate(path, 3);
  assertEquals(await Deno.readTextFile(path), "123");
  await sftp.utime(path, 1_000_000_000, new Date(3_000_000_000_000));
  const info = await Deno.stat(path);
  assertEquals(info.mode! & 0o777, 0o751);
  const stat = await sftp.stat(path);
  assertEquals(stat.atime, new Date(1_000_000_000_000));
  assertEquals(stat.mtime, new Date(3_000_000_000_000));
  if (isRoot) {
    await sftp.chown(path, 12, null);
    await sftp.chown(path, null, 34);
    const { uid, gid } = await Deno.stat(path);
    assertEquals([uid, gid], [12, 34]);
  }
  await assertRejects(() => sftp.utime(path, -1, 0), RangeError, "atime");
  assert((await sftp.statFileSystem(path)).totalBytes > 0);
});

test("Sftp.readDir() gives every entry of a large folder once", async ({ sftp, dir }) => {
  const names = Array.from({ length: 1200 }, (_, index) => `file ${index}`);
  await Promise.all(
    names.map((name) => Deno.writeTextFile(`${dir}/${name}`, "")),
  );
  await Deno.mkdir(`${dir}/folder`);
  const found: string[] = [];
  for await (const entry of sftp.readDir(dir)) {
    found.push(entry.name);
    assertEquals(entry.isDirectory, entry.name === "folder");
    assertEquals(entry.isFile, entry.name !== "folder");
  }
  assertEquals(found.toSorted(), [...names, "folder"].toSorted());
  for await (const _ of sftp.readDir(dir)) break;
  await assertCode(async () => {
    for await (const _ of sftp.readDir(`${dir}/file 1`)) break;
  }, "SSH_SFTP_NOT_A_DIRECTORY");
  await assertCode(async () => {
    for await (const _ of sftp.readDir(`${dir}/none`)) break;
  }, "SSH_SFTP_NOT_FOUND");
});

test("Sftp keeps names that are not UTF-8", async ({ sftp, dir }) => {
  const name = "caf\udce9";
  await sftp.writeTextFile(`${dir}/${name}`, "latin");
  const listed = await new Deno.Command("ls", { args: ["-b", dir] }).output();
  assertEquals(new TextDecoder().decode(listed.stdout), "caf\\351\n");
  const [entry] = await Array.fromAsync(sftp.readDir(dir));
  assertEquals(entry?.name, name);
  assertEquals(await sftp.readTextFile(`${dir}/${entry?.name}`), "latin");
  const error = await assertCode(
    () => sftp.readFile(`${dir}/${name}2`),
    "SSH_SFTP_NOT_FOUND",
  );
  assert(error.message.includes("caf\\xe92"), error.message);
  await sftp.remove(`${dir}/${name}`);
  assertEquals(await Array.fromAsync(sftp.readDir(dir)), []);
});

test("Sftp.mkdir() says what is in the way", async ({ sftp, dir }) => {
  await sftp.mkdir(`${dir}/a`, { mode: 0o700 });
  assertEquals((await Deno.stat(`${dir}/a`)).mode! & 0o777, 0o700);
  await assertCode(
    () => sftp.mkdir(`${dir}/a`),
    "SSH_SFTP_ALREADY_EXISTS",
    `${dir}/a`,
  );
  await assertCode(() => sftp.mkdir(`${dir}/b/c`), "SSH_SFTP_NOT_FOUND");
  await sftp.mkdir(`${dir}/b/c/d/`, { recursive: true });
  await sftp.mkdir(`${dir}/b/c/d`, { recursive: true });
  assert((await Deno.stat(`${dir}/b/c/d`)).isDirectory);
  await sftp.writeTextFile(`${dir}/f`, "");
  await assertCode(
    () => sftp.mkdir(`${dir}/f`, { recursive: true }),
    "SSH_SFTP_NOT_A_DIRECTORY",
  );
  await assertCode(
    () => sftp.writeTextFile(`${dir}/a`, ""),
    "SSH_SFTP_IS_A_DIRECTORY",
  );
  await assertCode(() => sftp.readFile(`${dir}/a`), "SSH_SFTP_IS_A_DIRECTORY");
});

test("Sftp.remove() removes files, empty folders and, if asked to, trees, and follows no link", async ({ sftp, dir }) => {
  await Deno.mkdir(`${dir}/t/u/v`, { recursive: true });
  await Deno.mkdir(`${dir}/outside`);
  await Deno.writeTextFile(`${dir}/outside/kept`, "");
  await Deno.symlink("../outside", `${dir}/t/link`);
  for (let index = 0; index < 150; index++) {
    await Deno.writeTextFile(`${dir}/t/u/${index}`, "");
  }
  await assertCode(
    () => sftp.remove(`${dir}/t`),
    "SSH_SFTP_NOT_EMPTY",
    `${dir}/t`,
  );
  await sftp.remove(`${dir}/t/u/1`);
  await sftp.remove(`${dir}/t/u/v`);
  await sftp.remove(`${dir}/t`, { recursive: true });
  await assertCode(() => sftp.remove(`${dir}/t`), "SSH_SFTP_NOT_FOUND");
  assertEquals((await list(`${dir}/outside`)).length, 1);
});

test("Sftp.rename() replaces a file, and says what it cannot replace", async ({ sftp, dir }) => {
  await Deno.writeTextFile(`${dir}/a`, "a");
  await Deno.writeTextFile(`${dir}/b`, "b");
  await sftp.rename(`${dir}/a`, `${dir}/b`);
  assertEquals(await Deno.readTextFile(`${dir}/b`), "a");
  await Deno.mkdir(`${dir}/c/d`, { recursive: true });
  await Deno.mkdir(`${dir}/e`);
  await assertCode(
    () => sftp.rename(`${dir}/b`, `${dir}/c`),
    "SSH_SFTP_IS_A_DIRECTORY",
  );
  await assertCode(
    () => sftp.rename(`${dir}/e`, `${dir}/c`),
    "SSH_SFTP_NOT_EMPTY",
  );
  await assertCode(
    () => sftp.rename(`${dir}/a`, `${dir}/z`),
    "SSH_SFTP_NOT_FOUND",
  );
});

Deno.test({
  name: "Sftp names permission denied, and the server's text with it",
  ignore: ignore || !isRoot,
  async fn() {
    await using server = await startServer({ asNobody: true });
    const { sftp, dir } = server;
    await Deno.writeTextFile(`${dir}/secret`, "");
    await Deno.chmod(`${dir}/secret`, 0o600);
    const error = await assertCode(
      () => sftp.readFile(`${dir}/secret`),
      "SSH_SFTP_PERMISSION_DENIED",
    );
    assertEquals(
      error.message,
      `Cannot read "${dir}/secret" on "me@test:22": permission denied (server says "Permission denied")`,
    );
    assertEquals([error.phase, error.host, error.status], [
      "sftp",
      "me@test:22",
      3,
    ]);
    await assertCode(() => sftp.mkdir("/etc/x"), "SSH_SFTP_PERMISSION_DENIED");
    await assertCode(
      () => sftp.writeTextFile("/etc/x", ""),
      "SSH_SFTP_PERMISSION_DENIED",
    );
    await assertCode(() => sftp.chown(dir, 0, 0), "SSH_SFTP_PERMISSION_DENIED");
    await sftp.mkdir(`${dir}/x/y`, { recursive: true });
  },
});

Deno.test({
  name:
    "Sftp.writeFile() names a full disk, and leaves no temporary file on it",
  ignore: ignore || !isRoot,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    const mount = await new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", "size=1m", "tmpfs", dir],
      stderr: "null",
    }).output();
    if (!mount.success) return; // a container that may not mount
    try {
      const data = new Uint8Array(3_000_000);
      await assertCode(
        () => sftp.writeFile(`${dir}/f`, data),
        "SSH_SFTP_NO_SPACE",
        `${dir}/f`,
      );
      await sftp.remove(`${dir}/f`);
      await sftp.writeTextFile(`${dir}/f`, "old");
      await assertCode(
        () => sftp.writeFile(`${dir}/f`, data, { atomic: true }),
        "SSH_SFTP_NO_SPACE",
      );
      assertEquals(await list(dir), ["f"]);
      const file = await sftp.open(`${dir}/g`, { write: true, create: true });
      const stream = new Blob([data]).stream().pipeTo(file.writable);
      await assertCode(() => stream, "SSH_SFTP_NO_SPACE");
    } finally {
      await new Deno.Command("umount", { args: ["-l", dir] }).output();
    }
  },
});

Deno.test({
  name:
    "Sftp says how full a file system is, and that one without room or read-only changes nothing",
  ignore: ignore || !isRoot,
  async fn() {
    await using server = await startServer();
    const { sftp, dir } = server;
    const mount = (options: string) =>
      new Deno.Command("mount", {
        args: ["-t", "tmpfs", "-o", options, "tmpfs", dir],
        stderr: "null",
      }).output();
    // A folder of its own, and room for two more.
    const isMounted = (await mount("size=64k,nr_inodes=3")).success;
    if (!isMounted) return; // a container that may not mount
    try {
      await sftp.mkdir(`${dir}/d`);
      await sftp.writeFile(`${dir}/a`, new Uint8Array(64 * 1024));
      const full = await sftp.statFileSystem(dir);
      assertEquals([full.totalFiles, full.freeFiles], [3, 0]);
      assertEquals([full.availableBytes, full.isReadOnly], [0, false]);
      await assertRejects(() => sftp.mkdir(`${dir}/e`), SftpError);
      await assertRejects(() => sftp.symlink("x", `${dir}/l`), SftpError);
      await assertRejects(() => sftp.writeTextFile(`${dir}/f`, ""), SftpError);
      // As long as it is open its room is not free.
      const file = await sftp.open(`${dir}/a`);
      await sftp.remove(`${dir}/a`);
      assertEquals((await sftp.statFileSystem(dir)).availableBytes, 0);
      assertEquals(await file.readAt(new Uint8Array(5), 0), 5);
      await file.close();
      assertEquals((await sftp.statFileSystem(dir)).availableBytes > 0, true);
      await sftp.writeTextFile(`${dir}/a`, "1");
      await mount("remount,ro");
      assertEquals((await sftp.statFileSystem(dir)).isReadOnly, true);
      const changes = [
        () => sftp.writeTextFile(`${dir}/a`, "2"),
        () => sftp.mkdir(`${dir}/b`),
        () => sftp.remove(`${dir}/a`),
        () => sftp.rename(`${dir}/a`, `${dir}/b`),
        () => sftp.symlink("a", `${dir}/b`),
        () => sftp.chmod(`${dir}/a`, 0),
        () => sftp.truncate(`${dir}/a`, 0),
      ];
      for (const change of changes) await assertRejects(change, SftpError);
      assertEquals(await sftp.readTextFile(`${dir}/a`), "1");
    } finally {
      await new Deno.Command("umount", { args: ["-l", dir] }).output();
    }
  },
});

test("Sftp names a name that is too long by its bytes", async ({ sftp, dir }) => {
  const long = "é".repeat(128);
  await assertCode(
    () => sftp.mkdir(`${dir}/${long}`),
    "SSH_SFTP_INVALID_ARGUMENT",
  );
  await sftp.mkdir(`${dir}/${long.slice(1)}a`);
});

test("SftpFile reads and writes at offsets and as streams", async ({ sftp, dir }) => {
  const data = new Uint8Array(5_000_000).map((_, index) =>
    index * 13 + (index >> 9)
  );
  const out = await sftp.open(`${dir}/f`, { write: true, createNew: true });
  await new Blob([data]).stream().pipeTo(out.writable);
  const file = await sftp.open(`${dir}/f`, { read: true, write: true });
  const part = new Uint8Array(1_000_000);
  assertEquals(await file.readAt(part, 1_234_567), 1_000_000);
  assertEquals(part, data.subarray(1_234_567, 2_234_567));
  assertEquals(await file.readAt(part, 4_999_990), 10);
  assertEquals(await file.readAt(part, 6_000_000), null);
  assertEquals(await file.readAt(new Uint8Array(0), 6_000_000), 0);
  await file.writeAt(new Uint8Array([1, 2, 3]), 10);
  data.set([1, 2, 3], 10);
  await file.truncate(4_000_000);
  assertEquals((await file.stat()).size, 4_000_000);
  assertEquals(await file.sync(), true);
  const read = new Uint8Array(
    await new Response(file.readable as ReadableStream<Uint8Array<ArrayBuffer>>)
      .arrayBuffer(),
  );
  assertEquals(read.length, 4_000_000);
  assertEquals(read, data.subarray(0, 4_000_000));
  await file.close();
  await assertRejects(() => file.stat(), SftpError);
});

test("SftpFile.readable stops and closes the file when it is cancelled", async ({ sftp, dir }) => {
  await Deno.writeFile(`${dir}/f`, new Uint8Array(3_000_000));
  const file = await sftp.open(`${dir}/f`);
  const reader = file.readable.getReader();
  await reader.read();
  await reader.cancel();
  await assertRejects(() => file.stat(), SftpError);
  assertEquals((await sftp.stat(`${dir}/f`)).size, 3_000_000);
});

test("Sftp.open() refuses options that exclude each other", async ({ sftp }) => {
  await assertRejects(() => sftp.open("f", { read: false }), TypeError, "read");
  await assertRejects(
    () => sftp.open("f", { create: true }),
    TypeError,
    "create",
  );
  await assertRejects(
    () => sftp.open("f", { append: true, truncate: true }),
    TypeError,
  );
  await assertRejects(
    () => sftp.writeFile("f", new Uint8Array(), { atomic: true, append: true }),
    TypeError,
  );
  await assertRejects(() => sftp.stat(""), TypeError);
  await assertRejects(() => sftp.stat("a\0b"), TypeError, '"a\\u0000b"');
});

test("Sftp gives every operation in flight a ConnectionLostError when the server dies", async ({ sftp, dir, kill }) => {
  const file = await sftp.open(`${dir}/f`, { write: true, create: true });
  const writing = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(200_000)),
  }).pipeTo(file.writable);
  const settled = Promise.allSettled([writing, sftp.closed]);
  while ((await sftp.stat(`${dir}/f`)).size < 1_000_000);
  kill();
  const [result] = await settled;
  assert(
    result.status === "rejected" &&
      result.reason instanceof ConnectionLostError,
  );
  assertEquals(result.reason.mayHaveRun, true);
  assertEquals(sftp.isClosed, true);
  const late = await assertRejects(() => sftp.stat("/"), ConnectionLostError);
  assertEquals(late.mayHaveRun, false);
});

test("Sftp.close() rejects what runs with SSH_SFTP_CLOSED", async ({ sftp }) => {
  const running = assertCode(() => sftp.stat("/"), "SSH_SFTP_CLOSED");
  sftp.close();
  sftp.close();
  await running;
  await assertCode(() => sftp.stat("/"), "SSH_SFTP_CLOSED");
  await sftp.closed;
});

Deno.test({
  name: "Sftp works with a server that has none of the extensions",
  ignore,
  async fn() {
    await using server = await startServer({
      args: ["-P", "posix-rename,fsync,hardlink,limits,statvfs,fstatvfs"],
    });
    const { sftp, dir } = server;
    const data = new Uint8Array(2_000_000).fill(7);
    await sftp.writeFile(`${dir}/f`, data);
    assertEquals(await sftp.readFile(`${dir}/f`), data);
  },
});

/** Gives one piece, and no more. */
function idleSource(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array(1000)),
  });
}

for (
  const [how, write] of Object.entries({
    "writeFile()": (sftp: Sftp, path: string) =>
      sftp.writeFile(path, idleSource()),
    "writeFile() with atomic": (sftp: Sftp, path: string) =>
      sftp.writeFile(path, idleSource(), { atomic: true }),
    "open() and pipeTo()": async (sftp: Sftp, path: string) => {
      await using file = await sftp.open(path, { write: true, create: true });
      // Of a pipe nobody waits for the source to end.
      const writing = idleSource().pipeTo(file.writable);
      writing.catch(() => {});
      await sftp.closed;
      await file.stat();
    },
  })
) {
  test(`Sftp.${how} fails when the session is lost while its source has nothing to give`, async (server) => {
    const writing = write(server.sftp, `${server.dir}/f`);
    writing.catch(() => {});
    while ((await list(server.dir)).length === 0) await server.sftp.stat("/");
    server.kill();
    await assertRejects(() => writing, SshError);
  });
}

test("SftpFile.writeFrom() fails at once when a write fails, the session is lost or its signal aborts, though its source is idle", async (server) => {
  const { sftp, dir } = server;
  await Deno.writeTextFile(`${dir}/f`, "");
  const readOnly = await sftp.open(`${dir}/f`);
  await assertRejects(() => readOnly.writeFrom(idleSource(), 0), SftpError);
  const file = await sftp.open(`${dir}/f`, { write: true });
  const reason = new Error("enough");
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = file.writeFrom(idleSource(), 0, { signal });
  controller.abort(reason);
  assertEquals(await aborted.catch((error) => error), reason);
  const lost = file.writeFrom(idleSource(), 0);
  server.kill();
  await assertRejects(() => lost, SshError);
});

Deno.test({
  name: "Sftp leads ~ and ~/x home, and takes a file called ~ by ./~",
  ignore: noServer,
  async fn() {
    const { username, homedir } = userInfo();
    await using server = await startServer();
    const { sftp, dir } = server;
    const home = await sftp.realPath(".");
    assertEquals(await sftp.realPath("~"), home);
    assertEquals(await sftp.realPath("~/no-such"), `${home}/no-such`);
    assertEquals(await sftp.realPath(`~${username}/x`), `${homedir}/x`);
    await assertCode(() => sftp.rename("~/no", "~/such"), "SSH_SFTP_NOT_FOUND");
    await sftp.writeTextFile(`${dir}/~`, "y");
    assertEquals(await sftp.readTextFile(`${dir}/~`), "y");
    assertEquals((await list(home)).includes("~"), false);
  },
});
