import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { noSshd, sshdHint } from "../kit/sshd.ts";
import { until } from "../kit/until.ts";

const bench = (name: string) =>
  new URL(`../../bench/${name}`, import.meta.url).href;

/** Whether something of that process id runs. */
async function runs(pid: number): Promise<boolean> {
  try {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    // A zombie waits for its new parent to look after it.
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !==
      "Z";
  } catch {
    return false;
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test({
    name: `run.ts ends its sshd and removes its folders on ${signal}` +
      (noSshd ? ` (${sshdHint})` : ""),
    ignore: noSshd || Deno.build.os !== "linux",
    async fn() {
      const dir = await Deno.makeTempDir({ prefix: "sshpool-interrupt-" });
      const [file, json] = [join(dir, "made_up_bench.ts"), join(dir, "json")];
      const ready = join(dir, "ready");
      await Deno.writeTextFile(
        file,
        `import { reportOf } from "${bench("report/report.ts")}";
         import { scenario } from "${bench("kit/scenario.ts")}";
         import { sharedSshd } from "${bench("kit/sshd.ts")}";
         import { workFolder } from "${bench("kit/work_folder.ts")}";
         reportOf(import.meta, "made up");
         scenario({
           name: "for ever", n: 1,
           open: async () => {
             const { dir, pid } = await sharedSshd();
             const made = [pid, dir, workFolder()].join("\\n");
             await Deno.writeTextFile("${ready}.new", made);
             await Deno.rename("${ready}.new", "${ready}");
           },
           run: () => new Promise((resolve) => setTimeout(resolve, 1e9)),
         });`,
      );
      const process = new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-all", bench("run.ts"), file],
        env: { SSHPOOL_BENCH_JSON: json },
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
      let hasEnded = false;
      process.status.then(() => hasEnded = true);
      await until(async () => hasEnded || await exists(ready));
      const [pid, ...folders] = (await Deno.readTextFile(ready)).split("\n");
      assertEquals(await runs(Number(pid)), true);
      for (const folder of folders) assertEquals(await exists(folder), true);
      // To run.ts alone, as `kill` and a supervisor do.
      process.kill(signal);
      assertEquals((await process.status).code, code);
      for (const folder of folders) assertEquals(await exists(folder), false);
      await until(async () => !await runs(Number(pid)));
      await Deno.remove(dir, { recursive: true });
    },
  });
}
