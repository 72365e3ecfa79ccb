import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { findPeers, type Peer } from "../../bench/peers/find.ts";
import { hostOf, runPeers, SHORT } from "../../bench/peers/run.ts";
import { formatFindings } from "../../bench/report/report.ts";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";

/** A peer that does half of what it is asked, and says so. */
const half: Peer = {
  name: "half",
  command: [
    Deno.execPath(),
    "eval",
    `const { name } = JSON.parse(Deno.args[0]);
     if (name === "dial") throw new Error("not this one");
     console.log(JSON.stringify(
       { samples: [1, 3], seconds: 2, failed: 2, why: "too many" },
     ));`,
  ],
  isTuned: false,
};

Deno.test({
  name: "the run of the peers has a row for each task, and counts what failed" +
    (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  fn: async () => {
    await using sshd = await startSshd({ listen: "0.0.0.0" });
    const folder = await Deno.makeTempDir({ prefix: "sshpool-peers-" });
    try {
      await Deno.chmod(folder, 0o777);
      const missing = () => Promise.reject(new Error("install it"));
      const found = await findPeers(join(folder, "programs"), { missing });
      const [ours] = found.peers;
      const runs: string[] = [];
      const { findings, file } = await runPeers(
        { ...found, peers: [ours!, half] },
        {
          sizes: SHORT,
          host: await hostOf(sshd, folder),
          folder,
          onRun: (text) => runs.push(text),
        },
      );
      assertEquals(file, "peers.ts");
      const { rows = [], ignored = [] } = findings ?? {};
      const of = (name: string) => rows.filter((row) => row.name === name);
      const mine = of("sshpool in Deno");
      assertEquals(mine.length, 7, ignored.join("\n"));
      assert(mine.every((row) => row.baseline && row.p50 > 0));
      assertEquals(
        mine.map(({ failed }) => failed),
        [undefined, undefined, 0, 0, undefined, undefined, undefined],
      );
      const [, burst] = of("half");
      assertEquals([burst?.failed, burst?.rate, burst?.p50], [2, 1, 2]);
      assertStringIncludes(burst?.group ?? "", "50 callers");
      const told = ignored.join("\n");
      assertStringIncludes(told, "missing: Error: install it");
      assertStringIncludes(told, "dial: half: ");
      assertStringIncludes(told, "callers: half: the first failure: too many");
      // It copied nothing, and that was seen.
      assertStringIncludes(told, "upload of 0.1 MB: half: ");
      assertEquals(runs.length, 14);
      assertStringIncludes(formatFindings(findings!), "| failed |");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
