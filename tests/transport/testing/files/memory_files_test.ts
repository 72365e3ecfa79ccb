import { assertEquals, assertThrows } from "@std/assert";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import { SftpPipe } from "../../../../transport/testing/memory/_sftp_pipe.ts";
import { FileError } from "../../../../transport/testing/sftp_server/served_files.ts";
import { MemoryFiles } from "../../../../transport/testing/files/memory_files.ts";
import { rejection } from "../../ssh2/_kit.ts";

/** A session on files, by our own client. */
function open(files: MemoryFiles) {
  return startSftp(new SftpPipe({ files: files.served() }));
}

const bytes = (...values: number[]) => new Uint8Array(values);

Deno.test("MemoryFiles has what it was made of, with folders on the way", () => {
  const files = new MemoryFiles({
    "/etc/hostname": "db1\n",
    "/srv/raw": bytes(1, 255),
    "/srv/empty/": "",
    "/srv/now": { link: "releases/7" },
    "/srv/key": {
      content: "k",
      mode: 0o600,
      uid: 0,
      gid: 7,
      mtime: new Date(5000),
    },
  });
  assertEquals(files.paths(), [
    "/etc/",
    "/etc/hostname",
    "/home/",
    "/home/ops/",
    "/srv/",
    "/srv/empty/",
    "/srv/key",
    "/srv/now",
    "/srv/raw",
  ]);
  assertEquals(files.readTextFile("/etc/hostname"), "db1\n");
  assertEquals(files.readFile("/srv/raw"), bytes(1, 255));
  assertEquals(files.lstat("/srv/now").isSymlink, true);
  assertEquals(files.exists("/srv/now"), true);
  assertThrows(() => files.stat("/srv/now"), FileError);
  const { mode, uid, gid, mtime, size } = files.stat("/srv/key");
  assertEquals([mode, uid, gid, mtime, size], [
    0o100600,
    0,
    7,
    new Date(5000),
    1,
  ]);
  assertEquals(files.stat("/srv").uid, 1000);
});

Deno.test("MemoryFiles is changed by the test at once, and says what it cannot do", () => {
  const files = new MemoryFiles();
  files.writeFile("notes/a", "one");
  files.writeFile("/home/ops/notes/a", "two");
  assertEquals(files.readTextFile("notes/a"), "two");
  files.chmod("notes/a", 0o400);
  files.chown("notes/a", 3, 4);
  files.utime("notes/a", new Date(9000));
  const { mode, uid, gid, mtime } = files.stat("notes/a");
  assertEquals([mode, uid, gid, mtime], [0o100400, 3, 4, new Date(9000)]);
  // The owner and the permissions of what is there stay.
  files.writeFile("notes/a", "three");
  assertEquals(files.stat("notes/a").uid, 3);
  files.symlink("a", "notes/b");
  assertEquals(files.readTextFile("notes/b"), "three");
  files.remove("notes");
  assertEquals([files.exists("notes/b"), files.paths("/home/ops")], [
    false,
    [],
  ]);
  const missing = assertThrows(() => files.readFile("nope"), FileError);
  assertEquals(
    [missing.code, missing.message],
    ["ENOENT", 'Cannot read "nope": there is no such file'],
  );
  assertThrows(
    () => files.writeFile("/home", "x"),
    FileError,
    'Cannot write "/home": it is a folder',
  );
});

Deno.test("MemoryFiles gives the same times in every run, a second more with each change", () => {
  const run = () => {
    const files = new MemoryFiles({ "/a": "1" });
    files.writeFile("/b", "2");
    files.writeFile("/b", "3");
    return files.paths().map((path) => files.stat(path).mtime?.getTime());
  };
  assertEquals(run(), run());
  const files = new MemoryFiles({ "/a": "1" });
  const before = files.stat("/a").mtime!.getTime();
  files.writeFile("/a", "2");
  assertEquals(files.stat("/a").mtime!.getTime() > before, true);
  const fixed = new MemoryFiles({ "/a": "1" }, { now: () => 77.9 });
  assertEquals(fixed.stat("/a").mtime, new Date(77_000));
});

Deno.test("MemoryFiles is full at its capacity, and has room again for what was removed", async () => {
  const files = new MemoryFiles({ "/a": "12345" }, { capacityBytes: 8 });
  await using sftp = await open(files);
  await sftp.writeTextFile("/b", "678");
  assertEquals(files.usedBytes, 8);
  const full = await rejection(sftp.writeTextFile("/c", "9"));
  assertEquals((full as { code: string }).code, "SSH_SFTP_NO_SPACE");
  const grown = await rejection(sftp.truncate("/a", 6));
  assertEquals((grown as { code: string }).code, "SSH_SFTP_FAILURE");
  // As long as it is open its bytes are not free.
  const file = await sftp.open("/a");
  await sftp.remove("/a");
  assertEquals([files.usedBytes, files.openFiles], [8, 1]);
  const buffer = new Uint8Array(5);
  assertEquals(await file.readAt(buffer, 0), 5);
  await file.close();
  assertEquals([files.usedBytes, files.openFiles], [3, 0]);
  await sftp.writeTextFile("/c", "12345");
  files.capacityBytes = 20;
  await sftp.writeTextFile("/d", "123456789");
  assertEquals((await sftp.statFileSystem("/")).availableBytes, 0);
});

Deno.test("MemoryFiles has no more files than its capacity", async () => {
  const files = new MemoryFiles({}, { capacityFiles: 4 });
  await using sftp = await open(files);
  await sftp.mkdir("/d");
  await rejection(sftp.mkdir("/e"));
  const { totalFiles, freeFiles } = await sftp.statFileSystem("/");
  assertEquals([totalFiles, freeFiles], [4, 0]);
  await sftp.remove("/d");
  await sftp.symlink("x", "/l");
  await rejection(sftp.writeTextFile("/f", ""));
});

Deno.test("MemoryFiles that is read-only changes nothing, and says so", async () => {
  const files = new MemoryFiles({ "/a": "1" }, { isReadOnly: true });
  await using sftp = await open(files);
  assertEquals(await sftp.readTextFile("/a"), "1");
  const changes = [
    sftp.writeTextFile("/a", "2"),
    sftp.mkdir("/b"),
    sftp.remove("/a"),
    sftp.rename("/a", "/b"),
    sftp.symlink("a", "/b"),
    sftp.chmod("/a", 0),
    sftp.truncate("/a", 0),
  ];
  for (const change of changes) await rejection(change);
  assertEquals((await sftp.statFileSystem("/")).isReadOnly, true);
  assertEquals(files.readTextFile("/a"), "1");
  files.isReadOnly = false;
  await sftp.remove("/a");
});

Deno.test("MemoryFiles reads zeros where nothing was written, at any size", async () => {
  const files = new MemoryFiles();
  await using sftp = await open(files);
  await sftp.writeFile("f", new Uint8Array(200_000).fill(7));
  await sftp.truncate("f", 70_000);
  await sftp.truncate("f", 200_000);
  const data = files.readFile("f");
  assertEquals([data[69_999], data[70_000], data[199_999]], [7, 0, 0]);
  assertEquals(data.indexOf(0), 70_000);
  assertEquals(data.lastIndexOf(7), 69_999);
  // A terabyte of nothing takes no memory.
  const size = 2 ** 39;
  await sftp.truncate("g", size).catch(() => sftp.writeTextFile("g", ""));
  await sftp.truncate("g", size);
  await using file = await sftp.open("g", { read: true, write: true });
  await file.writeAt(bytes(1, 2, 3), size - 2);
  assertEquals((await file.stat()).size, size + 1);
  const end = new Uint8Array(6);
  assertEquals(await file.readAt(end, size - 4), 5);
  assertEquals(end, bytes(0, 0, 1, 2, 3, 0));
});

Deno.test("MemoryFiles keeps names that are any bytes", async () => {
  const files = new MemoryFiles({ "/d/n\udcff": "x" });
  await using sftp = await open(files);
  const names = (await Array.fromAsync(sftp.readDir("/d"))).map((e) => e.name);
  assertEquals(names, ["n\udcff"]);
  assertEquals(await sftp.readTextFile("/d/n\udcff"), "x");
  assertEquals(
    (await rejection(sftp.stat("/d/n\ufffd")) as Error).name,
    "SftpError",
  );
  const long = "é".repeat(128);
  assertEquals(
    (await rejection(sftp.mkdir(`/${long}`)) as { code: string }).code,
    "SSH_SFTP_INVALID_ARGUMENT",
  );
  await sftp.mkdir(`/${long.slice(1)}a`);
});
