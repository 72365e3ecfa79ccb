/** The treaty over the machine's `ssh`, to both servers. */

import { noSsh, sshHint } from "../../kit/ssh.ts";
import { noSshd, sshdHint } from "../../kit/sshd.ts";
import {
  embeddedSite,
  openSshConnector,
  over,
  prove,
  sshdSite,
} from "./_contract.ts";

const hint = noSsh ? sshHint : undefined;
prove(
  "openssh over EmbeddedServer",
  over(openSshConnector, embeddedSite),
  hint,
);
prove(
  "openssh over sshd",
  over(openSshConnector, sshdSite),
  hint ?? (noSshd ? sshdHint : undefined),
);
