/** A file whose name is not UTF-8 is the same one for SFTP, commands and `stdin`. */

import { assertEquals } from "@std/assert";
import { commandLine, ConnectionPool, type SshHost } from "../../mod.ts";
import { onShells, SHELLS } from "../kit/shells.ts";
import { noSsh } from "../kit/ssh.ts";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";

/** In Latin-1, and with the first bytes of characters of UTF-8, next to quotes. */
const NAME = "gr\udcfc\udcdf'\udcc3!\udcf0\\e \udcff";

/** A folder with a file, both of that name, for commands that read it. */
async function withFile(
  transport: "ssh2" | "openssh",
  use: (
    site: { pool: ConnectionPool; host: SshHost; folder: string },
  ) => Promise<void>,
): Promise<void> {
  await using sshd = await startSshd();
  const host = sshd.host({ transport });
  await using pool = new ConnectionPool({ config: false });
  const { stdout } = await pool.exec(host, "mktemp -d");
  const folder = `${stdout.trim()}/${NAME}`;
  await using sftp = await pool.sftp(host);
  await sftp.mkdir(folder);
  await sftp.writeTextFile(`${folder}/${NAME}`, "its content");
  await use({ pool, host, folder });
  await pool.exec(host, ["rm", "-r", folder], { check: true });
  // It was that one, so the folder above is empty now.
  await sftp.remove(stdout.trim());
}

for (const transport of ["ssh2", "openssh"] as const) {
  const isMissing = noSshd || (transport === "openssh" && noSsh);
  Deno.test({
    name: "a file name that is not UTF-8 means the same in a command, over " +
      transport + (isMissing ? ` (${sshdHint})` : ""),
    ignore: isMissing,
    fn: () =>
      withFile(transport, async ({ pool, host, folder }) => {
        const inside = { cwd: folder, env: { LC_NAME: NAME } };
        const { stdout } = await pool.exec(host, 'cat "$LC_NAME"', inside);
        assertEquals(stdout, "its content");
        const list = `${folder}/${NAME}\0`;
        for (const stdin of [list, ReadableStream.from([list, list])]) {
          const { stdout } = await pool.exec(host, "xargs -0 cat", { stdin });
          const count = typeof stdin === "string" ? 1 : 2;
          assertEquals(stdout, "its content".repeat(count));
        }
      }),
  });
}

if (!noSshd) {
  onShells(
    SHELLS,
    "a file name that is not UTF-8 is quoted right",
    ({ path }) =>
      withFile("ssh2", async ({ pool, host, folder }) => {
        const cat = commandLine(["cat", `${folder}/${NAME}`]);
        const { stdout } = await pool.exec(host, [path, "-c", cat]);
        assertEquals(stdout, "its content");
        const list = `${folder}/${NAME}\0`;
        for (const stdin of [list, ReadableStream.from([list, list])]) {
          const { stdout } = await pool.exec(host, "xargs -0 cat", { stdin });
          const count = typeof stdin === "string" ? 1 : 2;
          assertEquals(stdout, "its content".repeat(count));
        }
      }),
  );
}
