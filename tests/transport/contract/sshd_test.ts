/** The treaty over ssh2 to a real sshd. */

import { noSshd, sshdHint } from "../../kit/sshd.ts";
import { over, prove, ssh2Connector, sshdSite } from "./_contract.ts";

prove(
  "ssh2 over sshd",
  over(ssh2Connector, sshdSite),
  noSshd ? sshdHint : undefined,
);
