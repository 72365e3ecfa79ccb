/** The matrix over the machine's own `ssh`: see `_matrix.ts`. */

import { noSsh } from "../../kit/ssh.ts";
import { commandVerbs } from "./_commands.ts";
import { fileVerbs } from "./_files.ts";
import { forwardVerbs } from "./_forwards.ts";
import { cutsTest } from "./_matrix.ts";
import { transferVerbs } from "./_transfers.ts";

const OVER = "openssh" as const;
const LOST = ["connection, may have run", "connection, has not run"];

if (!noSsh) {
  cutsTest("commands over ssh that are cut are whole or lost", commandVerbs, [
    "connection, may have run",
  ], OVER);
  cutsTest("tunnels over ssh that are cut are whole or lost", forwardVerbs, [
    "connection, has not run",
  ], OVER);
  cutsTest(
    "file operations over ssh that are cut are whole or lost",
    fileVerbs,
    LOST,
    OVER,
  );
  cutsTest(
    "transfers over ssh that are cut are whole or lost",
    transferVerbs,
    LOST,
    OVER,
  );
}
