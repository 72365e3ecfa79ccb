/** The matrix over the machine's own `ssh`: see `_matrix.ts`. */

import { noSsh } from "../../kit/ssh.ts";
import { commandVerbs } from "./_commands.ts";
import { fileVerbs } from "./_files.ts";
import { forwardVerbs } from "./_forwards.ts";
import { cutsTest } from "./_matrix.ts";
import { transferVerbs } from "./_transfers.ts";

const VERBS = [
  ...commandVerbs,
  ...forwardVerbs,
  ...fileVerbs,
  ...transferVerbs,
];

if (!noSsh) {
  cutsTest("what is cut over ssh is whole or lost", VERBS, [
    "connection, may have run",
    "connection, has not run",
  ], "openssh");
}
