import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { startSftp } from "../../../../transport/sftp/open_session.ts";
import { SftpPipe } from "../../../../transport/testing/memory/_sftp_pipe.ts";
import { FileError } from "../../../../transport/testing/files/file_error.ts";
import {
  type MemoryEntry,
  MemoryFiles,
} from "../../../../transport/testing/files/memory_files.ts";
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
  const { mode, mtime, size } = files.stat("/srv/key");
  assertEquals([mode, mtime, size], [0o100600, new Date(5000), 1]);
  assertEquals(files.stat("/srv").uid, 1000);
});

Deno.test("MemoryFiles is changed by the test at once, and says what it cannot do", () => {
  const files = new MemoryFiles();
  files.writeFile("notes/a", "one");
  files.writeFile("/home/ops/notes/a", "two");
  assertEquals(files.readTextFile("notes/a"), "two");
  files.writeFile("notes/a", { mode: 0o400, mtime: new Date(9000) });
  assertEquals(files.readTextFile("notes/a"), "two");
  const { mode, mtime } = files.stat("notes/a");
  assertEquals([mode, mtime], [0o100400, new Date(9000)]);
  // The permissions of what is there stay.
  files.writeFile("notes/a", "three");
  assertEquals(files.stat("notes/a").mode, 0o100400);
  files.writeFile("notes/b", { link: "a" });
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

Deno.test("MemoryFiles refuses an entry with a field that there is none, and makes nothing", () => {
  const files = new MemoryFiles();
  const wrong: readonly [unknown, string][] = [
    [
      { content: "x", mod: 0o600 },
      'no field "entry.mod", did you mean "mode"?',
    ],
    [{ mode: -1 }, "entry.mode is -1, must be"],
    [{ content: [1] }, "entry.content is an array, must be a string or a"],
    [{ mtime: new Date(NaN) }, "entry.mtime is a Date, must be a Date with"],
    [5, "entry is a number, must be a string, a Uint8Array or an object"],
  ];
  for (const [given, why] of wrong) {
    const entry = given as MemoryEntry;
    const says = (work: () => unknown) => {
      const error = assertThrows(work, Error, why);
      assertMatch(error.message, /^Cannot write "\/srv\/k": /);
    };
    says(() => files.writeFile("/srv/k", entry));
    says(() => new MemoryFiles({ "/srv/k": entry }));
  }
  assertEquals(files.exists("/srv"), false);
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

Deno.test("MemoryFiles keeps a file that is open when its name is taken away", async () => {
  const files = new MemoryFiles({ "/a": "12345" });
  await using sftp = await open(files);
  const file = await sftp.open("/a");
  await sftp.remove("/a");
  assertEquals([files.exists("/a"), files.openFiles], [false, 1]);
  const buffer = new Uint8Array(5);
  assertEquals(await file.readAt(buffer, 0), 5);
  await file.close();
  assertEquals(files.openFiles, 0);
});

Deno.test("MemoryFiles keeps the owner and the mode that a client sets, and enforces neither", async () => {
  const files = new MemoryFiles({ "/a": "1" });
  await using sftp = await open(files);
  await sftp.chown("/a", 3, 4);
  await sftp.chmod("/a", 0);
  const { mode, uid, gid } = files.stat("/a");
  assertEquals([mode, uid, gid], [0o100000, 3, 4]);
  assertEquals(await sftp.readTextFile("/a"), "1");
});

Deno.test("MemoryFiles moves and removes a folder with all that is in it", async () => {
  const files = new MemoryFiles({ "/d/e/f": "1", "/d/g": "2", "/de": "3" });
  await using sftp = await open(files);
  await sftp.rename("/d", "/x");
  assertEquals(files.paths("/x"), ["/x/e/", "/x/e/f", "/x/g"]);
  assertEquals(files.readTextFile("/x/e/f"), "1");
  assertEquals([files.exists("/d"), files.exists("/de")], [false, true]);
  files.remove("/x");
  assertEquals(files.paths().filter((path) => path.startsWith("/x")), []);
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
});
