/**
 * The treaty of `transport/connector.ts`: SFTP sessions, over every adapter and
 * every server.
 *
 * @module
 */

import { ChannelOpenError, ConnectionLostError } from "../../errors.ts";
import { SftpError } from "../../sftp/errors.ts";
import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  type Contract,
} from "./_contract.ts";

/** Registers them. */
export function fileTests(contract: Contract): void {
  contract("writes and reads files", async (connection, { folder }) => {
    const sftp = await connection.sftp!();
    const dir = `${folder}/made`;
    await sftp.mkdir(dir);
    await sftp.writeTextFile(`${dir}/a.txt`, "first");
    await sftp.writeTextFile(`${dir}/a.txt`, "second", { atomic: true });
    assertEquals(await sftp.readTextFile(`${dir}/a.txt`), "second");
    assertEquals((await sftp.stat(`${dir}/a.txt`)).size, 6);
    await sftp.symlink("a.txt", `${dir}/link`);
    assertEquals(await sftp.readLink(`${dir}/link`), "a.txt");
    await sftp.rename(`${dir}/a.txt`, `${dir}/b.txt`);
    const names: string[] = [];
    for await (const { name } of sftp.readDir(dir)) names.push(name);
    assertEquals(names.sort(), ["b.txt", "link"]);
    await sftp.remove(dir, { recursive: true });
    const error = await assertRejects(() => sftp.stat(dir), SftpError);
    assertEquals(error.code, "SSH_SFTP_NOT_FOUND");
  }, "sftp");

  contract(
    "carries many bytes through a file, unchanged",
    async (connection, { folder }) => {
      const sftp = await connection.sftp!();
      const bytes = new Uint8Array(3_000_000);
      for (let i = 0; i < bytes.length; i++) bytes[i] = i * 7 + (i >> 8);
      await sftp.writeFile(`${folder}/big`, bytes);
      assertEquals(await sftp.readFile(`${folder}/big`), bytes);
    },
    "sftp",
  );

  contract(
    "counts an SFTP session as a channel, until it is closed",
    async (connection) => {
      const held = [await connection.sftp!(), await connection.sftp!()];
      assertEquals(connection.openChannels, 2);
      const error = await assertRejects(
        () => connection.sftp!(),
        ChannelOpenError,
      );
      assertEquals(error.reason, 2);
      for (const sftp of held) {
        sftp.close();
        await sftp.closed;
      }
      while (connection.openChannels > 0) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    "sftp",
  );

  contract(
    "fails an SFTP session when the connection is lost",
    async (connection, rig) => {
      const sftp = await connection.sftp!();
      await rig.lose();
      assertInstanceOf(
        await sftp.stat(".").catch((error) => error),
        ConnectionLostError,
      );
      await sftp.closed;
      assertEquals(sftp.isClosed, true);
      await assertRejects(() => connection.sftp!(), ConnectionLostError);
    },
    "sftp",
  );
}
