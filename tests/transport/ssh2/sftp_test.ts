import { Buffer } from "node:buffer";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { download } from "../../../transport/sftp/transfer/download.ts";
import { upload } from "../../../transport/sftp/transfer/upload.ts";
import type { Connection } from "../../../transport/connector.ts";
import { EmbeddedServer } from "../../../transport/testing/mod.ts";
import { FaultProxy } from "../../kit/fault_proxy.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { until } from "../../kit/until.ts";
import { connect, embeddedTest, rejection, sshdTest } from "./_kit.ts";
import { connectWithin, scriptedTest } from "./_scripted_server.ts";

const content = (length: number) =>
  new Uint8Array(length).map((_, index) => index * 31 + (index >> 8));

/** A folder of the user on the server, and one of ours. */
async function folders(connection: Connection) {
  const { stdout } = await connection.exec("mktemp -d");
  const local = await Deno.makeTempDir({ prefix: "sshpool-sftp-" });
  return {
    remote: stdout.trim(),
    local,
    async [Symbol.asyncDispose]() {
      await Deno.remove(local, { recursive: true });
      await Deno.remove(stdout.trim(), { recursive: true });
    },
  };
}

sshdTest(
  "Connection.sftp() carries files, and its channel counts until it is closed",
  async (connection) => {
    const sftp = await connection.sftp!();
    assertEquals(connection.openChannels, 1);
    await using dir = await folders(connection);
    await sftp.writeFile(`${dir.remote}/f`, content(3_000_000), {
      atomic: true,
    });
    assertEquals(await sftp.readFile(`${dir.remote}/f`), content(3_000_000));
    const stat = await rejection(sftp.stat(`${dir.remote}/none`));
    assertInstanceOf(stat, SftpError);
    assertEquals([stat.code, stat.host], [
      "SSH_SFTP_NOT_FOUND",
      `${connection.host.user}@127.0.0.1:${connection.host.port}`,
    ]);
    assertEquals(await sftp.readTextFile("/proc/sys/kernel/ostype"), "Linux\n");
    sftp.close();
    await until(() => connection.openChannels === 0);
    assertInstanceOf(await rejection(sftp.stat("/")), SftpError);
    assertEquals((await connection.exec("true")).code, 0);
  },
);

sshdTest(
  "upload() and download() over a connection give the same bytes back",
  async (connection) => {
    await using dir = await folders(connection);
    await using sftp = await connection.sftp!();
    await Deno.writeFile(`${dir.local}/a`, content(20_000_000));
    await upload(sftp, `${dir.local}/a`, `${dir.remote}/a`);
    await download(sftp, `${dir.remote}/a`, `${dir.local}/b`);
    assertEquals(await Deno.readFile(`${dir.local}/b`), content(20_000_000));
  },
);

Deno.test("Connection.sftp() has a deadline for its first word alone, however long it is used", async () => {
  await using server = await EmbeddedServer.start();
  await using connection = await connectWithin(server.host(), {
    answerMs: 1000,
  });
  await using sftp = await connection.sftp();
  await new Promise((resolve) => setTimeout(resolve, 1300));
  assertEquals((await sftp.stat("/")).isDirectory, true);
  assertEquals(connection.isFailing, false);
});

sshdTest(
  "Connection.sftp() is given up by its signal, at whatever point, and gives the slot back",
  async (connection) => {
    assertEquals(
      await rejection(connection.sftp!({ signal: AbortSignal.abort("early") })),
      "early",
    );
    assertEquals(connection.openChannels, 0);
    for (let turns = 0; turns < 40; turns++) {
      const abort = new AbortController();
      const starting = connection.sftp!({ signal: abort.signal });
      starting.catch(() => {});
      for (let turn = 0; turn < turns; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      abort.abort("late");
      const result = await starting.catch((error) => error);
      if (result !== "late") result.close();
      await until(() => connection.openChannels === 0);
    }
    await using sftp = await connection.sftp!();
    assertEquals((await sftp.stat("/")).isDirectory, true);
  },
);

embeddedTest(
  "Connection.sftp() rejects with a ChannelOpenError when the server has no SFTP, and frees the channel",
  { files: false },
  async (connection) => {
    const error = await rejection(connection.sftp!());
    assertInstanceOf(error, ChannelOpenError);
    assertEquals(error.reason, 0);
    assert(
      error.message.includes('refused the subsystem "sftp"'),
      error.message,
    );
    await until(() => connection.openChannels === 0);
    assertEquals((await connection.exec("echo hello")).stdout, "hello\n");
  },
);

embeddedTest(
  "Connection.sftp() rejects when the connection is lost before the channel opens, and after it was closed",
  { neverOpen: true },
  async (connection, server) => {
    const starting = rejection(connection.sftp!());
    await until(() => connection.openChannels === 1);
    server.dropAll();
    assertInstanceOf(await starting, ConnectionLostError);
    assertEquals(connection.openChannels, 0);
    assertInstanceOf(await rejection(connection.sftp!()), ConnectionLostError);
  },
);

sshdTest(
  "Connection.close() ends an SFTP session, and what runs on it rejects with a ConnectionLostError",
  async (connection) => {
    const sftp = await connection.sftp!();
    const stat = rejection(sftp.stat("/"));
    await connection.close();
    const error = await stat;
    assertInstanceOf(error, ConnectionLostError);
    assert(/closed on this side$/.test(error.message), error.message);
    await sftp.closed;
    assertEquals(sftp.isClosed, true);
  },
);

Deno.test({
  name:
    "upload() and download() over a link that is cut reject with a ConnectionLostError, and resume over the next",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    await using direct = await connect(sshd.host());
    await using dir = await folders(direct);
    await Deno.writeFile(`${dir.local}/a`, content(30_000_000));
    for (const copy of [upload, download]) {
      const isUpload = copy === upload;
      const [from, to] = isUpload
        ? [`${dir.local}/a`, `${dir.remote}/a`]
        : [`${dir.remote}/a`, `${dir.local}/b`];
      const target = isUpload ? dir.remote : dir.local;
      const proxy = await FaultProxy.start(sshd.port);
      try {
        const connection = await connect(sshd.host({ port: proxy.port }));
        const sftp = await connection.sftp!();
        const error = await rejection(copy(sftp, from, to, {
          resume: true,
          onProgress: ({ bytes }) => {
            if (bytes > 12_000_000) proxy.reset();
          },
        }));
        assertInstanceOf(error, ConnectionLostError);
        await connection.close();
      } finally {
        await proxy[Symbol.asyncDispose]();
      }
      const files = await Array.fromAsync(Deno.readDir(target));
      assertEquals(
        files.filter(({ name }) => name.endsWith(".part")).length,
        1,
      );
      await using sftp = await direct.sftp!();
      const first: number[] = [];
      await copy(sftp, from, to, {
        resume: true,
        onProgress: ({ bytes }) => void first.push(bytes),
      });
      assert(first[0]! > 1_000_000, `resumed at ${first[0]}`);
      assertEquals(await Deno.readFile(to), content(30_000_000));
    }
  },
});

/** Starts SFTP on an sshd whose subsystem is this command of a shell. */
function subsystemTest(
  name: string,
  command: string,
  fn: (error: SftpError) => void,
): void {
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    async fn() {
      await using sshd = await startSshd({
        config: [`Subsystem sftp ${command}`],
      });
      await using connection = await connect(sshd.host());
      for (let time = 0; time < 3; time++) {
        const error = await rejection(connection.sftp!());
        assertInstanceOf(error, SftpError);
        fn(error);
      }
      assertEquals((await connection.exec("echo on")).stdout, "on\n");
    },
  });
}

subsystemTest(
  "Connection.sftp() says that a start-up file prints, where the SFTP server comes after a text",
  "echo Welcome to prod; exec /usr/lib/openssh/sftp-server",
  ({ code, message, hint }) => {
    assertEquals(code, "SSH_SFTP_PROTOCOL");
    assertMatch(
      message,
      /it sent text instead of a packet, then it began to speak SFTP: "Welcome to prod\\x0a"$/,
    );
    assertMatch(hint ?? "", /^a start-up file of the user's shell prints it/);
  },
);

subsystemTest(
  "Connection.sftp() does not blame a start-up file for what a program says before it ends",
  "echo This account is currently not available.; exit 1",
  ({ code, message, hint }) => {
    assertEquals(code, "SSH_SFTP_PROTOCOL");
    assertMatch(
      message,
      /it sent text instead of a packet, and ended: exit code 1: "This account is currently not available\.\\x0a"$/,
    );
    assertMatch(hint ?? "", /such as a ForceCommand of sshd/);
  },
);

subsystemTest(
  "Connection.sftp() says how the server's program ended, where it is missing",
  "/no/such/sftp-server",
  ({ code, message }) => {
    assertEquals(code, "SSH_SFTP_CLOSED");
    assertMatch(
      message,
      /^Cannot start the SFTP session on "[^"]+": the server closed it: exit code 127, not found$/,
    );
  },
);

let isGranted = false;
scriptedTest(
  "Connection.sftp() has in its error what the server's program writes to standard error",
  {
    onRequest(channel) {
      channel.succeed();
      isGranted = true;
    },
  },
  async (connection, server) => {
    const starting = rejection(connection.sftp());
    await until(() => isGranted);
    const protocol = server.protocol();
    const text = "WARNING\n\nPassword change required but no TTY available.\n";
    protocol.channelExtData(0, Buffer.from(text), 1);
    protocol.channelEOF(0);
    protocol.exitStatus(0, 1);
    protocol.channelClose(0);
    const error = await starting;
    assertInstanceOf(error, SftpError);
    assertEquals(error.code, "SSH_SFTP_CLOSED");
    assertMatch(
      error.message,
      /the server closed it: exit code 1: WARNING \| Password change required but no TTY available\.$/,
    );
  },
);

scriptedTest(
  "Connection.sftp() hears what comes in one piece with the grant",
  {
    onRequest(channel) {
      channel.succeed();
      channel.say("Password expired\n");
      channel.status(1);
      channel.eof();
      channel.close();
    },
  },
  async (connection) => {
    const error = await rejection(connection.sftp());
    assertInstanceOf(error, SftpError);
    assertMatch(error.message, /and ended: exit code 1: "Password expired/);
    assertEquals(connection.openChannels, 0);
  },
);

Deno.test({
  name:
    `upload() writes files that the server does not let it look at, as sftp does${
      noSshd ? ` (${sshdHint})` : ""
    }`,
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({
      config: ["Subsystem sftp internal-sftp -P fstat"],
    });
    await using connection = await connect(sshd.host());
    await using dir = await folders(connection);
    await using sftp = await connection.sftp!();
    await Deno.writeFile(`${dir.local}/a`, content(100_000));
    for (let time = 0; time < 2; time++) {
      await upload(sftp, `${dir.local}/a`, `${dir.remote}/a`);
    }
    assertEquals(await Deno.readFile(`${dir.remote}/a`), content(100_000));
  },
});
