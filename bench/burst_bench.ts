/**
 * Callers who come all at once to a host that nobody has dialled yet: how many
 * connections are worth opening? What the pool decides, against one connection
 * whatever comes. These figures are behind the rule in `pool/lane/scale_out.ts`.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { dialsOf, poolOver, type Target } from "./kit/over_ssh.ts";
import { reportOf } from "./report/report.ts";
import { scenario, size } from "./kit/scenario.ts";
import { noSshd, sharedSshd, sshdHint } from "./kit/sshd.ts";
import { formatCount } from "./report/table.ts";
import { together } from "./kit/timing.ts";

reportOf(import.meta, "how many connections a burst is worth");

const target: Target = {
  label: "sshd",
  hint: sshdHint,
  host: async () => (await sharedSshd()).host(),
  accepted: async () => (await sharedSshd()).acceptedConnections(),
};

const BURSTS = [
  { callers: 30, command: "true", n: size(5, 1) },
  { callers: 100, command: "true", n: size(5, 1) },
  { callers: size(300, 150), command: "true", n: size(5, 1) },
  { callers: size(1000, 200), command: "true", n: size(3, 1) },
  { callers: 40, command: "sleep 0.3", n: size(3, 1) },
];
const RULES = [
  { name: "as the pool decides", options: {} },
  { name: "one connection", options: { maxConnectionsPerHost: 1 } },
];

for (const { callers, command, n } of BURSTS) {
  for (const { name, options } of RULES) {
    scenario({
      name,
      group:
        `${formatCount(callers)} callers of "${command}" on a cold host, each` +
        sshdHint,
      baseline: name === RULES[0]!.name,
      ignore: noSshd,
      n,
      warmup: size(1, 0),
      fresh: true,
      open: async () => ({ ...await poolOver(target, options), failed: 0 }),
      run: (fixture) =>
        together(callers, async () => {
          const { success } = await fixture.pool.exec(fixture.host, command);
          if (!success) fixture.failed++;
        }),
      check: ({ failed }) => assertEquals(failed, 0),
      dials: dialsOf,
    });
  }
}
