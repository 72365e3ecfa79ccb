/** Commands and tunnels over connections that are cut: see `_matrix.ts`. */

import { commandVerbs } from "./_commands.ts";
import { forwardVerbs } from "./_forwards.ts";
import { cutsTest } from "./_matrix.ts";

cutsTest("commands that are cut are whole or lost", commandVerbs, [
  "connection, may have run",
]);

cutsTest(
  "tunnels that are cut are whole or lost",
  forwardVerbs,
  ["connection, has not run"],
  "ssh2",
  15,
);
