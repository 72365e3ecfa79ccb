// deno-lint-ignore-file no-console -- what the test is about

/** What `transfer_progress_test.ts` runs in a terminal. */

import { ConnectionPool } from "../../pool/mod.ts";
import { terminalProgress } from "../../pool/progress.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";

const [local = "", fails = ""] = Deno.args;
let isOver = false;
const consoleBefore = console.log;
const connector = new MemoryConnector({
  // The files wait for the display, and the last one may fail.
  onSftpRequest: ({ operation }) =>
    new Promise((resolve) => {
      const wait = setInterval(() => {
        if (console.log === consoleBefore && operation === "write") return;
        clearInterval(wait);
        const isLast = operation === "rename" || operation === "posix-rename";
        resolve(isLast && fails !== "" ? new Error("no luck") : "ok");
      }, 5);
    }),
});
await using pool = new ConnectionPool({ connector });
const show = terminalProgress({ label: "Deploy" });
try {
  await pool.upload("u@a", local, "/tmp/target", {
    concurrency: 1,
    onProgress(progress) {
      isOver ||= progress.ended;
      show(progress);
    },
  });
} catch {
  console.log("failed");
}
console.log("end", isOver);
