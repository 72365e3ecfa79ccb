import { assertThrows } from "@std/assert";
import { SftpError } from "../../../../transport/sftp/errors.ts";
import type { SourceInfo } from "../../../../transport/sftp/transfer/_plan.ts";
import { checkUnchanged } from "../../../../transport/sftp/transfer/_strategy.ts";

const info = (size: number, mtime = 1): SourceInfo => ({
  size,
  mtime,
  atime: 1,
  mode: 0o644,
});

Deno.test("checkUnchanged() tells a source that changed from one whose size is not what can be read", () => {
  checkUnchanged("f", info(9), info(9), 9);
  // As files of /proc.
  checkUnchanged("f", info(0, 1), info(0, 2), 9);
  const changes = [[info(9), info(8), 9], [info(9, 1), info(9, 2), 9]] as const;
  for (const [before, after, copied] of changes) {
    assertThrows(
      () => checkUnchanged("f", before, after, copied),
      SftpError,
      "it changed while it was copied",
    );
  }
  assertThrows(
    () => checkUnchanged("f", info(4096), info(4096), 23),
    SftpError,
    "its size is 4096 bytes, but 23 were copied",
  );
});
