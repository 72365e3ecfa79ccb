// Run by listen_test.ts in a process of its own, whose limit it sets: listens on
// a unix socket where no more file can be open, and where just one can.

import { listenLocal } from "../../../transport/forward/listen.ts";
import { answer } from "../../kit/child.ts";

await answer(async (dir: string) => {
  const addresses = { listen: `${dir}/a.sock`, to: `${dir}/b.sock` };
  const open = () => Promise.reject(new Error("There is no client"));
  const names = async () =>
    (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name);
  // What is needed once is loaded while files can be open.
  await (await listenLocal(open, addresses)).close();
  await new Deno.Command("prlimit", {
    args: ["--pid", `${Deno.pid}`, "--nofile=200"],
  }).output();
  const files: Deno.FsFile[] = [];
  let isFull = false;
  while (!isFull) {
    try {
      files.push(await Deno.open("/dev/null"));
    } catch {
      isFull = true;
    }
  }
  const refused = await listenLocal(open, addresses)
    .catch(({ cause }) => cause.code);
  files.pop()?.close();
  const forward = await listenLocal(open, addresses)
    .finally(() => files.forEach((file) => file.close()));
  const listening = await names();
  await forward.close();
  return { refused, listening, closed: await names() };
});
