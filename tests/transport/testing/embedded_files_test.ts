/** The SFTP subsystem of EmbeddedServer, as the library's own client sees it. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import { ChannelOpenError } from "../../../transport/errors.ts";
import {
  SftpError,
  type SftpErrorCode,
} from "../../../transport/sftp/errors.ts";
import {
  EmbeddedServer,
  FileError,
  MemoryFiles,
} from "../../../transport/testing/mod.ts";
import { until } from "../../kit/until.ts";
import { connect, embeddedTest, rejection } from "../ssh2/_kit.ts";

const MIB = 1024 * 1024;

/** A pattern in which no block is like another. */
function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);
}

async function assertFails(
  promise: Promise<unknown>,
  code: SftpErrorCode,
): Promise<void> {
  const error = await rejection(promise);
  assertInstanceOf(error, SftpError);
  assertEquals(error.code, code);
}

embeddedTest(
  "EmbeddedServer serves files in memory, which its sessions share",
  {},
  async (connection, server) => {
    server.files.writeFile("/etc/app.conf", "port = 80\n");
    await using sftp = await connection.sftp!();
    assertEquals(await sftp.readTextFile("/etc/app.conf"), "port = 80\n");
    await sftp.writeTextFile("notes", "one");
    assertEquals(server.files.readTextFile("/home/ops/notes"), "one");
    await using second = await connect(server.host());
    await using other = await second.sftp!();
    assertEquals(await other.readTextFile("notes"), "one");
    await assertFails(other.readFile("nothing"), "SSH_SFTP_NOT_FOUND");
    assertEquals(server.sessions, 2);
  },
);

Deno.test("EmbeddedServer serves the MemoryFiles of its options, and fails as scripted", async () => {
  const files = new MemoryFiles({ "/etc/secret": "x", "/etc/motd": "hello" });
  await using server = await EmbeddedServer.start({
    files,
    onSftpRequest: ({ path }) =>
      path === "/etc/secret" ? new FileError("EACCES") : "ok",
  });
  await using connection = await connect(server.host());
  await using sftp = await connection.sftp!();
  assert(server.files === files);
  assertEquals(await sftp.readTextFile("/etc/motd"), "hello");
  const code = "SSH_SFTP_PERMISSION_DENIED";
  await assertFails(sftp.readFile("/etc/secret"), code);
});

embeddedTest(
  "EmbeddedServer carries 16 MiB each way over SFTP, and closes every handle",
  {},
  async (connection, server) => {
    const content = bytes(16 * MIB);
    await using sftp = await connection.sftp!();
    await sftp.writeFile("/home/ops/big", content);
    assertEquals(server.files.readFile("/home/ops/big"), content);
    assertEquals(await sftp.readFile("/home/ops/big"), content);
    // The client does not wait for this answer.
    await until(() => server.files.openFiles === 0);
  },
);

embeddedTest(
  "EmbeddedServer asks onSftpRequest before each request, and answers its error",
  {},
  async (connection, server) => {
    const asked: string[] = [];
    server.options.onSftpRequest = ({ operation, path }) => {
      asked.push(`${operation} ${path}`);
      if (operation === "write") return new FileError("EIO", "disk is gone");
    };
    await using sftp = await connection.sftp!();
    await assertRejects(
      () => sftp.writeTextFile("/home/ops/a", "text"),
      SftpError,
      "disk is gone",
    );
    assert(asked.includes("write /home/ops/a"), asked.join());
  },
);

embeddedTest(
  "EmbeddedServer holds a request up until its gate opens, and the others with it",
  {},
  async (connection, server) => {
    server.files.writeFile("/a", "text");
    const gate = Promise.withResolvers<void>();
    await using sftp = await connection.sftp!();
    server.options.onSftpRequest = ({ operation }) =>
      operation === "stat" ? gate.promise : "ok";
    let read = "";
    const stat = sftp.stat("/a");
    const reading = sftp.readTextFile("/a").then((text) => read = text);
    await connection.exec("true"); // a round trip later
    assertEquals(read, "");
    gate.resolve();
    assertEquals((await stat).size, 4);
    assertEquals(await reading, "text");
  },
);

embeddedTest(
  "EmbeddedServer refuses SFTP without files, and other subsystems always",
  { files: false },
  async (connection, server) => {
    assertInstanceOf(await rejection(connection.sftp!()), ChannelOpenError);
    await until(() => server.openSessions === 0);
    assertEquals((await connection.exec("true")).code, 0);
  },
);

embeddedTest(
  "EmbeddedServer counts an SFTP session, and frees it when it has closed",
  { maxSessions: 1 },
  async (connection, server) => {
    const sftp = await connection.sftp!();
    const error = await rejection(connection.exec("true"));
    assertInstanceOf(error, ChannelOpenError);
    assertEquals(error.reason, 2);
    await sftp.open("/home/ops/a", { write: true, create: true });
    assertEquals(server.files.openFiles, 1);
    await sftp[Symbol.asyncDispose]();
    await until(() => server.openSessions === 0);
    assertEquals(server.files.openFiles, 0);
    assertEquals((await connection.exec("true")).code, 0);
  },
);

Deno.test("EmbeddedServer.close() ends SFTP sessions with a request that hangs", async () => {
  const server = await EmbeddedServer.start({
    onSftpRequest: ({ operation }) => operation === "open" ? "never" : "ok",
  });
  await using connection = await connect(server.host());
  const sftp = await connection.sftp!();
  const reading = rejection(sftp.readFile("/a"));
  await connection.exec("true");
  await server.close();
  assertInstanceOf(await reading, Error);
  assertEquals(server.files.openFiles, 0);
});
