/**
 * Callers who come all at once to a host that nobody has dialled yet: how many
 * connections are worth opening? What the pool decides, against one connection
 * whatever comes. These figures are behind the rule in `pool/_spill_rule.ts`.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { dialsOf, poolOver, type Target } from "./_over_ssh.ts";
import { reportOf } from "./_report.ts";
import { scenario, size } from "./_scenario.ts";
import { noSshd, sharedSshd, sshdHint } from "./_sshd.ts";

reportOf(import.meta);

const target: Target = {
  label: "sshd",
  hint: sshdHint,
  host: async () => (await sharedSshd()).host(),
  accepted: async () => (await sharedSshd()).acceptedConnections(),
};

const BURSTS = [
  { callers: 30, command: "true" },
  { callers: 100, command: "true" },
  { callers: size(300, 100), command: "true" },
  { callers: size(1000, 100), command: "true" },
  { callers: 40, command: "sleep 0.3" },
];
const RULES = [
  { name: "as the pool decides", options: {} },
  { name: "one connection", options: { maxConnectionsPerHost: 1 } },
];

for (const [i, { callers, command }] of BURSTS.entries()) {
  for (const [j, { name, options }] of RULES.entries()) {
    scenario({
      name: `burst ${i}: ${callers} callers of ${command}, ${name}${sshdHint}`,
      group: `burst ${i}`,
      baseline: j === 0,
      ignore: noSshd,
      n: size(5, 1),
      warmup: 1,
      callers,
      fresh: true,
      open: async () => ({ ...await poolOver(target, options), failed: 0 }),
      async run(fixture) {
        const { pool, host } = fixture;
        const results = await Promise.all(
          Array.from({ length: callers }, () => pool.exec(host, command)),
        );
        fixture.failed = results.filter(({ success }) => !success).length;
      },
      check: ({ failed }) => assertEquals(failed, 0),
      dials: dialsOf,
    });
  }
}
