// Run by proxy_command_test.ts with an environment of its own: starts a proxy
// command, and answers the name and the message of the error it ends with.

import { openProxyCommand } from "../../../../transport/ssh2/dial/_proxy_command.ts";
import { answer } from "../../../kit/child.ts";
import { resolved } from "../auth/_login.ts";

await answer((command: string) => {
  const stream = openProxyCommand(command, resolved({ hostname: "db1" }));
  return new Promise((resolve) => {
    stream.on("error", ({ name, message }) => resolve({ name, message }));
    stream.on("end", () => resolve(null));
    stream.resume();
  });
});
