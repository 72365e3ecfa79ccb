// The treaty over a real NATS server: each test with a server, a worker and a
// client of its own, over the fake and the embedded server.

import {
  connectorContract,
  type ContractRig,
} from "../../../transport/testing/mod.ts";
import {
  embeddedSite,
  memoryRig,
  over,
  ssh2Connector,
} from "../contract/_contract.ts";
import { overNats, testNats } from "./_kit.ts";

/** Hops are the worker's to dial. */
const NOT_OVER_THE_BUS = "dials through a tunnel, and ends with it";

function prove(
  name: string,
  start: () => ContractRig | Promise<ContractRig>,
): void {
  connectorContract({
    name: `nats, ${name}`,
    start: async () => await overNats(await start()),
  }, {
    test(name, fn) {
      if (!name.endsWith(NOT_OVER_THE_BUS)) testNats(name, fn);
    },
  });
}

prove("memory", memoryRig);
prove("ssh2, embedded", over(ssh2Connector, embeddedSite));
