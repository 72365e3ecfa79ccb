import { assertEquals } from "@std/assert";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { connect } from "./_kit.ts";

for (const cipher of ["chacha20-poly1305", "aes128-gcm"]) {
  const name =
    `Connection.exec() sends commands of any length that sshd takes, with ${cipher}`;
  Deno.test({
    name: noSshd ? `${name} (${sshdHint})` : name,
    ignore: noSshd,
    async fn() {
      await using sshd = await startSshd();
      await using connection = await connect(
        sshd.host({ algorithms: { cipher: `${cipher}@openssh.com` } }),
      );
      for (const kib of [1, 30, 34, 35, 36, 100, 127]) {
        const text = "x".repeat(kib * 1024);
        const { stdout, code } = await connection.exec(`echo ${text}|md5sum`);
        assertEquals([code, stdout.slice(0, 32)], [0, await md5(text)]);
      }
      // Linux runs no command of 128 KiB and more, but sshd reads it.
      const { code } = await connection.exec(`echo ${"x".repeat(250 * 1024)}`);
      assertEquals(code === 0, false);
      assertEquals((await connection.exec("echo on")).stdout, "on\n");
    },
  });
}

async function md5(text: string): Promise<string> {
  const process = new Deno.Command("md5sum", {
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = process.stdin.getWriter();
  await writer.write(new TextEncoder().encode(`${text}\n`));
  await writer.close();
  const { stdout } = await process.output();
  return new TextDecoder().decode(stdout).slice(0, 32);
}
