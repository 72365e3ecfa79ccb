/** A program that connects and is killed, or ends by itself: for `life_test.ts`. */

import { OpenSshConnector } from "../../../transport/openssh/mod.ts";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const [mode, folder, host] = Deno.args as [string, string, string];
const connector = new OpenSshConnector({
  configFile: false,
  folder,
  persistMs: 2000,
});
const say = (text: string) =>
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));

if (mode === "dial") {
  connector.connect(JSON.parse(host), { timeoutMs: 5000 }).catch(() => {});
  const isUnderWay = () =>
    readdirSync(folder).some((it) =>
      readdirSync(join(folder, it)).includes("s")
    );
  while (!isUnderWay()) await new Promise((done) => setTimeout(done, 10));
  // By now it runs, or is about to.
  await new Promise((done) => setTimeout(done, 300));
  say("dialling");
} else {
  const connection = await connector.connect(JSON.parse(host));
  await connection.exec("true");
  if (mode === "hold") {
    await connection.exec("echo; exec sleep 60", {
      onStdout: () => void say("connected"),
    });
  }
  say("connected");
  if (mode === "stay") setInterval(() => {}, 1000);
}
