/** The treaty over the `ssh` of OpenSSH 10, to its own sshd. */

import { join } from "node:path";
import { openssh10, openssh10Hint } from "../../kit/sshd.ts";
import { openSshConnectorOf, over, prove, sshdSite } from "./_contract.ts";

prove(
  "openssh 10 over its own sshd",
  over(
    () => openSshConnectorOf(join(openssh10!, "usr/bin/ssh")),
    () => sshdSite({ version: "10" }),
  ),
  openssh10 === undefined ? openssh10Hint : undefined,
);
