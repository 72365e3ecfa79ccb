// No copy leaves a file open, however it ends.

import { assert, assertEquals } from "@std/assert";
import { runInChild } from "../../../kit/child.ts";

Deno.test({
  name: "upload() and download() leave no file open on either side",
  // Elsewhere no process can list what it has open.
  ignore: Deno.build.os !== "linux",
  async fn() {
    const program = new URL("_open_files_program.ts", import.meta.url);
    const folder = await Deno.makeTempDir({ prefix: "sshpool-open-" });
    try {
      const left = await runInChild<Record<string, string[]>>(program, folder);
      const copies = Object.keys(left);
      for (const end of ["copied", "failed"]) {
        assert(copies.some((it) => it.endsWith(end)), end);
      }
      for (const copy of copies) assertEquals(left[copy], [], copy);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
