/** The treaty over the fake, and over ssh2 to the server in the process. */

import {
  embeddedSite,
  memoryRig,
  over,
  prove,
  ssh2Connector,
} from "./_contract.ts";

prove("memory", memoryRig);
prove("ssh2 over EmbeddedServer", over(ssh2Connector, embeddedSite));
