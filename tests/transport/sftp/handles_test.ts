// Each handle that a server gives out is closed once, however a verb ends: a
// server has few of them.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { OpenHandles } from "../../../transport/sftp/_protocol.ts";
import { protocolOf } from "../../../transport/sftp/_protocol.ts";
import { Requests } from "../../../transport/sftp/_requests.ts";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { startSftp } from "../../../transport/sftp/open_session.ts";
import { PacketType, Status } from "../../../transport/sftp/packets.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";
import { download } from "../../../transport/sftp/transfer/download.ts";
import { upload } from "../../../transport/sftp/transfer/upload.ts";
import {
  MemoryConnector,
  MemoryFiles,
} from "../../../transport/testing/mod.ts";
import { FakeServer, type Request, string, u32 } from "./_fake_server.ts";
import { until } from "../../kit/until.ts";

const VERBS: Record<string, (sftp: Sftp) => Promise<unknown>> = {
  "readFile()": (sftp) => sftp.readFile("/f"),
  "writeFile()": (sftp) => sftp.writeFile("/f", new Uint8Array(9)),
  "writeFile() with append": (sftp) =>
    sftp.writeFile("/f", new Uint8Array(9), { append: true }),
  "writeFile() with atomic": (sftp) =>
    sftp.writeFile("/f", new Uint8Array(9), { atomic: true }),
  "readDir()": (sftp) => Array.fromAsync(sftp.readDir("/d")),
  "readDir() that is left": async (sftp) => {
    for await (const _ of sftp.readDir("/d")) break;
  },
  "readable of open()": async (sftp) => {
    const file = await sftp.open("/f");
    await Array.fromAsync(file.readable);
  },
  "readable of open() that is cancelled": async (sftp) => {
    const file = await sftp.open("/f");
    await file.readable.cancel();
  },
  "writable of open()": async (sftp) => {
    const file = await sftp.open("/f", { write: true });
    await ReadableStream.from([new Uint8Array(9)]).pipeTo(file.writable);
  },
  "writable of open() that is aborted": async (sftp) => {
    const file = await sftp.open("/f", { write: true });
    await file.writable.abort();
  },
};

const WORK: Record<string, number> = {
  nothing: -1,
  READ: PacketType.READ,
  READDIR: PacketType.READDIR,
  WRITE: PacketType.WRITE,
  FSTAT: PacketType.FSTAT,
  FSETSTAT: PacketType.FSETSTAT,
  CLOSE: PacketType.CLOSE,
};

/** Files of one byte and folders of one entry; one type of request is refused. */
function refusing(refused: number): FakeServer {
  const once = new Set<number>();
  return new FakeServer(({ type, id }, server) => {
    if (type === refused) return server.status(id, Status.FAILURE, "no");
    switch (type) {
      case PacketType.OPEN:
      case PacketType.OPENDIR:
        return server.handle(id);
      case PacketType.STAT:
      case PacketType.LSTAT:
      case PacketType.FSTAT:
        return server.packet(
          PacketType.ATTRS,
          ...u32(id),
          ...[...u32(4), ...u32(0o100644)],
        );
      case PacketType.READ:
      case PacketType.READDIR: {
        if (once.has(type)) return server.status(id, Status.EOF);
        once.add(type);
        if (type === PacketType.READ) {
          return server.data(id, new Uint8Array([1]));
        }
        return server.packet(
          PacketType.NAME,
          ...[...u32(id), ...u32(1), ...string("a"), ...string("a"), ...u32(0)],
        );
      }
    }
    server.status(id, Status.OK);
  });
}

/** The handles that were given out, and those that were closed, in order. */
function handlesOf({ requests }: FakeServer) {
  const of = (...types: number[]) =>
    requests.filter(({ type }: Request) => types.includes(type));
  const opened = of(PacketType.OPEN, PacketType.OPENDIR)
    .map((_, n) => `h${n + 1}`);
  const closed = of(PacketType.CLOSE)
    .map(({ body }) => new TextDecoder().decode(body.bytes()));
  return { opened, closed: closed.toSorted() };
}

for (const [verb, run] of Object.entries(VERBS)) {
  Deno.test(`Sftp.${verb} closes each handle once, whatever is refused`, async () => {
    for (const [name, refused] of Object.entries(WORK)) {
      const server = refusing(refused);
      const sftp = await startSftp(server.transport);
      await run(sftp).catch(() => {});
      await until(() => sftp.requestsInFlight === 0);
      const { opened, closed } = handlesOf(server);
      assert(opened.length > 0);
      assertEquals(closed, opened, `with ${name} refused`);
      sftp.close();
    }
  });
}

const WRITES = Object.entries(VERBS).filter(([verb]) =>
  verb.startsWith("writeFile()") || verb === "writable of open()"
);

for (const [verb, run] of WRITES) {
  Deno.test(`Sftp.${verb} fails when the CLOSE is refused: what was written may not be saved`, async () => {
    const server = refusing(PacketType.CLOSE);
    const sftp = await startSftp(server.transport);
    await assertRejects(() => run(sftp), SftpError, "no");
    // Nothing takes the place of the old file.
    const renames = server.requests.filter(({ type }) =>
      type === PacketType.RENAME || type === PacketType.EXTENDED
    );
    assertEquals(renames, []);
    sftp.close();
  });
}

Deno.test("Sftp waits for the end of its session while a call runs, and no longer", async () => {
  const { onEnd } = Requests.prototype;
  let waiting = 0;
  Requests.prototype.onEnd = function (callback) {
    waiting++;
    const forget = onEnd.call(this, callback);
    return () => {
      waiting--;
      forget();
    };
  };
  try {
    const sftp = await startSftp(refusing(WORK.nothing!).transport);
    const before = waiting;
    for (const [, run] of Object.entries(VERBS)) await run(sftp);
    const source = ReadableStream.from([new Uint8Array(9)]);
    await sftp.writeFile("/f", source);
    assertEquals(waiting, before);
    sftp.close();
  } finally {
    Requests.prototype.onEnd = onEnd;
  }
});

Deno.test("OpenHandles lends as many as are allowed, and the next when one is given back", async () => {
  const handles = new OpenHandles();
  handles.allow(2);
  const never = new AbortController();
  await handles.borrow(never.signal);
  await handles.borrow(never.signal);
  const lent: string[] = [];
  const third = handles.borrow(never.signal).then(() => lent.push("third"));
  const left = new AbortController();
  const fourth = handles.borrow(left.signal);
  left.abort(new Error("left"));
  await assertRejects(() => fourth, Error, "left");
  assertEquals(lent, []);
  handles.giveBack();
  await third;
  assertEquals(lent, ["third"]);
});

Deno.test("OpenHandles lends one at least, also where all that may be open is a folder", async () => {
  const handles = new OpenHandles();
  handles.allow(0);
  await handles.borrow(new AbortController().signal);
  assertEquals(handles.allowFewer(), false);
});

Deno.test("upload() and download() that compare close each file that they have opened", async () => {
  const files = new MemoryFiles();
  let [opened, closed] = [0, 0];
  const connector = new MemoryConnector({
    files,
    onSftpRequest: ({ operation }) => {
      if (operation === "open" || operation === "opendir") opened++;
      if (operation === "close") closed++;
      return "ok";
    },
  });
  const folder = await Deno.makeTempDir({ prefix: "sshpool-handles-" });
  try {
    const path = `${folder}/f`;
    await Deno.writeTextFile(path, "content");
    await using connection = await connector.connect({
      hostname: "db1",
      port: 22,
      user: "ops",
    });
    await using sftp = await connection.sftp();
    await upload(sftp, path, "/f", { verify: true });
    await upload(sftp, path, "/f", { resume: true });
    await upload(sftp, path, "/f", { changedOnly: true, checksum: true });
    await download(sftp, "/f", path, { verify: true });
    await download(sftp, "/f", path, { resume: true });
    await until(() => sftp.requestsInFlight === 0);
    assertEquals([opened, closed], [8, 8]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("upload() closes the device that it has written to", async () => {
  const device = 0o020666;
  const server = new FakeServer(({ type, id }, server) => {
    if (type === PacketType.OPEN) return server.handle(id);
    if (type !== PacketType.LSTAT) return server.status(id, Status.OK);
    server.packet(PacketType.ATTRS, ...u32(id), ...u32(4), ...u32(device));
  });
  const sftp = await startSftp(server.transport);
  const file = await Deno.makeTempFile({ prefix: "sshpool-handles-" });
  await Deno.writeTextFile(file, "content");
  await upload(sftp, file, "/dev/null");
  await Deno.remove(file);
  const { opened, closed } = handlesOf(server);
  assertEquals([opened.at(-1), closed], ["h2", ["h1", "h2"]]);
  sftp.close();
});

Deno.test("upload() has no more files open than the server allows, and copies them all", async () => {
  const files = new MemoryFiles();
  let open = 0;
  let most = 0;
  const connector = new MemoryConnector({
    files,
    onSftpRequest: ({ operation, path = "" }) => {
      if (!path.includes(".sshpool-")) return "ok";
      if (operation === "open") most = Math.max(most, ++open);
      if (operation === "close") open--;
      return "ok";
    },
  });
  const folder = await Deno.makeTempDir({ prefix: "sshpool-handles-" });
  try {
    const names = ["a", "b", "c", "d", "e", "f"];
    for (const name of names) {
      await Deno.writeTextFile(`${folder}/${name}`, name);
    }
    await using connection = await connector.connect({
      hostname: "db1",
      port: 22,
      user: "ops",
    });
    await using sftp = await connection.sftp();
    await sftp.realPath("."); // what the server says of its limits is here
    protocolOf(sftp)!.handles.allow(2);
    // Without a file that is made to see the umask.
    await upload(sftp, folder, "/to", { concurrency: 6, preserve: true });
    assertEquals(
      names.map((name) => files.readTextFile(`/to/${name}`)),
      names,
    );
    // Whether two are open at once is up to the machine.
    assert(most <= 2, `${most} open at once`);
    assertEquals(open, 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
