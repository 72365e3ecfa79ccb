/** Two servers of `./testing`, for a program in another process. */

import process from "node:process";
import { EmbeddedServer } from "@sshpool/sshpool/testing";

const hop = await EmbeddedServer.start();
const target = await EmbeddedServer.start({
  commands: {
    // What the servers have seen by now.
    counts: () => ({
      stdout: JSON.stringify({
        logins: target.accepted,
        hops: hop.accepted,
        forwards: hop.forwards,
      }),
    }),
  },
});
const hosts = { target: target.host(), hop: hop.host() };
process.stdout.write(JSON.stringify(hosts) + "\n");
