import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { ConnectionPool } from "../../../pool/mod.ts";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import { SftpError } from "../../../transport/sftp/errors.ts";
import {
  FileError,
  MemoryConnector,
  type MemoryConnectorOptions,
  MemoryFiles,
} from "../../../transport/testing/mod.ts";

const host = { hostname: "db1", port: 22, user: "ops" };
const settle = () => new Promise((resolve) => setTimeout(resolve));

async function open(options: MemoryConnectorOptions = {}) {
  const connector = new MemoryConnector(options);
  const connection = await connector.connect(host);
  return { connector, connection };
}

Deno.test("MemoryConnection.sftp() works on files that each host and user has for itself", async () => {
  const { connector, connection } = await open();
  await using _ = connection;
  await using sftp = await connection.sftp();
  await sftp.writeTextFile("a.txt", "here");
  assertEquals(connector.files("ops@db1").readTextFile("a.txt"), "here");
  assertEquals(await sftp.realPath("."), "/home/ops");
  for (const other of ["ops@db2", "ops@db1:2222", "eve@db1"]) {
    assertEquals(connector.files(other).exists("a.txt"), false, other);
  }
  await using again = await connector.connect(host);
  await using second = await again.sftp();
  assertEquals(await second.readTextFile("a.txt"), "here");
  assertEquals(connector.calls.map(({ kind }) => kind), ["sftp", "sftp"]);
});

Deno.test("MemoryConnection.sftp() works on the files of the script", async () => {
  const files = new MemoryFiles({ "/etc/app.conf": "port = 80" });
  const { connection } = await open({ files });
  await using _ = connection;
  await using sftp = await connection.sftp();
  assertEquals(await sftp.readTextFile("/etc/app.conf"), "port = 80");
  await sftp.writeTextFile("/home/ops/a", "x");
  assertEquals(files.readTextFile("/home/ops/a"), "x");
});

Deno.test("MemoryConnection.sftp() is refused where files is false", async () => {
  const { connector, connection } = await open({
    files: ({ hostname }) => hostname === "db1" ? false : undefined,
  });
  await using _ = connection;
  const error = await assertRejects(() => connection.sftp(), ChannelOpenError);
  assertEquals([error.reason, connection.openChannels], [0, 0]);
  await using other = await connector.connect({ ...host, hostname: "db2" });
  (await other.sftp()).close();
});

Deno.test("MemoryConnection.sftp() takes a session, and gives it back", async () => {
  const { connection } = await open({ maxSessions: 1 });
  await using _ = connection;
  const sftp = await connection.sftp();
  assertEquals(connection.openChannels, 1);
  const error = await assertRejects(() => connection.sftp(), ChannelOpenError);
  assertEquals(error.reason, 2);
  sftp.close();
  await sftp.closed;
  assertEquals(connection.openChannels, 0);
  await connection.exec("true");
});

Deno.test("MemoryConnection.sftp() asks onSftpRequest, which can fail a request or hold it up", async () => {
  const gate = Promise.withResolvers<void>();
  const seen: string[] = [];
  const { connection } = await open({
    onSftpRequest: ({ operation }) => {
      seen.push(operation);
      if (operation === "mkdir") return new FileError("ENOSPC", "full");
      if (operation === "symlink") return new Error("no links here");
      return operation === "stat" ? gate.promise : "ok";
    },
  });
  await using _ = connection;
  await using sftp = await connection.sftp();
  await assertRejects(() => sftp.mkdir("x"), SftpError, "full");
  await assertRejects(() => sftp.symlink("a", "b"), SftpError);
  let done = false;
  const stat = sftp.stat(".").then(() => done = true);
  await settle();
  assertEquals(done, false);
  gate.resolve();
  await stat;
  const own = ["mkdir", "symlink", "stat"];
  assertEquals(own.filter((it) => !seen.includes(it)), []);
});

Deno.test("MemoryConnection.sftp() fails with its connection, and hangs while it is frozen", async () => {
  const { connection } = await open();
  const sftp = await connection.sftp();
  connection.freeze();
  const reading = sftp.stat(".").catch((error) => error);
  await settle();
  connection.drop("cable cut");
  const error = await reading;
  assertInstanceOf(error, ConnectionLostError);
  assertEquals(error.message.includes("cable cut"), true, error.message);
  await sftp.closed;
  assertEquals(connection.openChannels, 0);
  await assertRejects(() => connection.sftp(), ConnectionLostError);
});

Deno.test("MemoryConnection.sftp() can be aborted while it starts", async () => {
  const { connection } = await open({ onOpen: () => "never" });
  await using _ = connection;
  const controller = new AbortController();
  const starting = connection.sftp({ signal: controller.signal });
  await settle();
  assertEquals(connection.openChannels, 1);
  controller.abort(new Error("enough"));
  await assertRejects(() => starting, Error, "enough");
  assertEquals(connection.openChannels, 0);
});

Deno.test("MemoryConnector carries upload() and download() of a pool", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/a.txt`, "x".repeat(3_000_000));
    const connector = new MemoryConnector();
    await using pool = new ConnectionPool({ connector, config: false });
    await pool.upload("ops@web-1", `${dir}/a.txt`, "/tmp/a.txt");
    const files = connector.files("ops@web-1");
    assertEquals(files.stat("/tmp/a.txt").size, 3_000_000);
    await pool.download("ops@web-1", "/tmp/a.txt", `${dir}/b.txt`);
    assertEquals((await Deno.stat(`${dir}/b.txt`)).size, 3_000_000);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
