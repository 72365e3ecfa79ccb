// Runs a command whose output goes to that of this program too.

import process from "node:process";
import { MemoryConnector } from "../../../transport/testing/mod.ts";

const connector = new MemoryConnector({
  commands: {
    build: async ({ write, writeError }) => {
      await write(new Uint8Array([0xc3]));
      await writeError("careful\n");
      await write(new Uint8Array([0xa9, 0x0a, 0xe2]));
    },
  },
});
const host = { hostname: "web-1", port: 22, user: "ops" };
await using connection = await connector.connect(host);
const pieces: string[] = [];
const { stdout } = await connection.exec("build", {
  stdout: "inherit",
  stderr: "inherit",
  onStdout: (chunk) => void pieces.push(chunk),
});
// A character that two pieces share comes as one.
if (stdout !== "é\n\ufffd" || pieces.join("|") !== "é\n|\ufffd") {
  process.exit(1);
}
