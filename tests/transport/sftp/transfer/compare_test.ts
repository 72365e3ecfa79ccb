// What two files are compared by: a command of the host, or their bytes.

import { assertEquals, assertRejects } from "@std/assert";
import { open } from "node:fs/promises";
import type { Connection } from "../../../../transport/connector.ts";
import type { SftpFile } from "../../../../transport/sftp/file.ts";
import type { Sftp } from "../../../../transport/sftp/sftp.ts";
import { isSameContent } from "../../../../transport/sftp/transfer/_compare.ts";
import { hashBy } from "../../../../transport/sftp/transfer/remote_hash.ts";

const HASH = "0123456789abcdef".repeat(4);

/** Hashes by a command that ends like this; gives the options that it had. */
async function hashWith(
  outcome: () => unknown,
  signal = new AbortController().signal,
) {
  let options: Record<string, unknown> = {};
  const connection = {
    exec: (_command: unknown, given: Record<string, unknown>) => {
      options = given;
      return Promise.resolve().then(outcome);
    },
  };
  const onOpen = () => {};
  const hash = await hashBy(
    connection as unknown as Pick<Connection, "exec">,
    ["/f", 20_000, signal],
    { sudo: true, onOpen },
  );
  assertEquals(
    [options.sudo, options.onOpen, options.signal, options.timeoutMs],
    [true, onOpen, signal, 30_002],
  );
  return hash;
}

Deno.test("hashBy() takes the hash behind whatever a login prints, and none of a command that failed", async () => {
  const stdout = `welcome\n${HASH}  -\n`;
  assertEquals(await hashWith(() => ({ code: 0, stdout })), HASH);
  assertEquals(await hashWith(() => ({ code: 1, stdout })), undefined);
  assertEquals(await hashWith(() => ({ code: 0, stdout: "?" })), undefined);
  assertEquals(await hashWith(() => Promise.reject(new Error())), undefined);
  const stop = new AbortController();
  stop.abort(new Error("mine"));
  const reject = () => Promise.reject(new Error("no"));
  await assertRejects(() => hashWith(reject, stop.signal), Error, "mine");
});

Deno.test("isSameContent() takes a file for another that is shorter than it says, and reads with the signal", async () => {
  const path = await Deno.makeTempFile({ prefix: "sshpool-compare-" });
  await Deno.writeTextFile(path, "the content");
  const local = await open(path, "r");
  const { signal } = new AbortController();
  try {
    for (const size of [11, 4]) {
      let given: AbortSignal | undefined;
      const remote = {
        async *readRange(range: { signal?: AbortSignal }) {
          given = range.signal;
          yield new TextEncoder().encode("the content").subarray(0, size);
        },
      };
      const files = {
        sftp: {} as Sftp,
        remote: remote as unknown as SftpFile,
        path,
        local,
        size: 11,
      };
      assertEquals(await isSameContent(files, { signal }), size === 11);
      assertEquals(given, signal);
    }
  } finally {
    await local.close();
    await Deno.remove(path);
  }
});
