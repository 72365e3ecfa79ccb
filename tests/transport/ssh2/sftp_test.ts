import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  ChannelOpenError,
  ConnectionLostError,
} from "../../../transport/errors.ts";
import { SftpError } from "../../../transport/sftp/errors.ts";
import { download } from "../../../transport/sftp/transfer/download.ts";
import { upload } from "../../../transport/sftp/transfer/upload.ts";
import type { Connection } from "../../../transport/connector.ts";
import { FaultProxy } from "../../kit/fault_proxy.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { connect, embeddedTest, rejection, sshdTest, until } from "./_kit.ts";

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
