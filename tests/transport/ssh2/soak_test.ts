// 10 GiB of output through one connection, across key exchanges: a minute or
// more, so only when asked for with SSHPOOL_SOAK=1.

import { createCipheriv, createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";
import { ConnectionPool } from "../../../mod.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";

const GIB = 1024 ** 3;
const BYTES = 10 * GIB;
/** The garbage that V8 leaves lying is part of it. */
const MAX_GROWTH_BYTES = 128 * 1024 * 1024;

const isAsked = Deno.env.get("SSHPOOL_SOAK") === "1";
const hint = noSshd ? sshdHint : "set SSHPOOL_SOAK=1 to run this test";

/** Prints bytes that never repeat, and that this side can make as well. */
const KEY = "00112233445566778899aabbccddeeff";
const print = (bytes: number) =>
  `openssl enc -aes-128-ctr -K ${KEY} -iv ${"0".repeat(32)} ` +
  `-in /dev/zero 2>/dev/null | head -c ${bytes}`;

function hashOfPrinted(bytes: number): string {
  const cipher = createCipheriv(
    "aes-128-ctr",
    new Uint8Array(KEY.match(/../g)!.map((hex) => parseInt(hex, 16))),
    new Uint8Array(16),
  );
  const hash = createHash("sha256");
  const zeros = new Uint8Array(1024 * 1024);
  for (let left = bytes; left > 0; left -= zeros.length) {
    hash.update(cipher.update(zeros.subarray(0, Math.min(left, zeros.length))));
  }
  cipher.final();
  return hash.digest("hex");
}

Deno.test({
  name:
    "RemoteProcess carries 10 GiB over one connection and its key exchanges, in little memory" +
    (isAsked && !noSshd ? "" : ` (${hint})`),
  ignore: !isAsked || noSshd,
  async fn() {
    await using sshd = await startSshd({
      config: ["RekeyLimit 512M"],
      logLevel: "DEBUG1",
    });
    await using pool = new ConnectionPool({ config: false });
    const host = sshd.host();
    const carry = async (bytes: number) => {
      const process = await pool.spawn(host, print(bytes));
      process.stdin.close();
      const hash = createHash("sha256");
      let arrived = 0;
      const read = async () => {
        for await (const chunk of process.stdout) {
          hash.update(chunk);
          arrived += chunk.length;
        }
      };
      await Promise.all([read(), process.stderr.cancel()]);
      assertEquals((await process.status).code, 0);
      assertEquals(arrived, bytes);
      return hash.digest("hex");
    };
    // Brings in all code and buffers.
    await carry(256 * 1024 * 1024);
    const before = Deno.memoryUsage().rss;
    let peak = before;
    const look = setInterval(() => {
      peak = Math.max(peak, Deno.memoryUsage().rss);
    }, 50);
    const start = performance.now();
    const hash = await carry(BYTES);
    const seconds = (performance.now() - start) / 1000;
    clearInterval(look);
    assertEquals(hash, hashOfPrinted(BYTES));
    const text = await sshd.log();
    const exchanges = text.match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;
    // deno-lint-ignore no-console -- whoever asks for minutes wants figures
    console.log(
      `10 GiB in ${seconds.toFixed(0)} s, ` +
        `${(BYTES / 1e6 / seconds).toFixed(0)} MB/s; ${exchanges} key ` +
        `exchanges; memory grew by ${
          ((peak - before) / 2 ** 20).toFixed(0)
        } MiB`,
    );
    assert(exchanges >= 20, `${exchanges} key exchanges`);
    assertEquals(await sshd.acceptedConnections(), 1);
    assertEquals(pool.stats().counters.dials, 1);
    assert(peak - before <= MAX_GROWTH_BYTES, `${peak - before} bytes`);
  },
});
