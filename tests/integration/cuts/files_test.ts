/** Files and transfers over connections that are cut: see `_matrix.ts`. */

import { fileVerbs } from "./_files.ts";
import { cutsTest } from "./_matrix.ts";
import { transferVerbs } from "./_transfers.ts";

const OUTCOMES = ["connection, may have run", "connection, has not run"];

cutsTest(
  "file operations that are cut are whole or lost",
  fileVerbs,
  OUTCOMES,
  "ssh2",
  35,
);

cutsTest(
  "transfers that are cut are whole or lost",
  transferVerbs,
  OUTCOMES,
  "ssh2",
  55,
);
