/**
 * A real SSH server in the same process: dial, warm commands and a burst,
 * without an sshd to install. Client and server share one thread, so that each
 * figure holds the server's work too, for the rival as for the pool.
 *
 * @module
 */

import { EmbeddedServer } from "../transport/testing/mod.ts";
import { scenariosOver } from "./kit/over_ssh.ts";
import { claim, ratio, reportOf } from "./report/report.ts";
import { size } from "./kit/scenario.ts";

reportOf(import.meta, "an SSH server in the same process");

let started: Promise<EmbeddedServer> | undefined;
const server = () => started ??= EmbeddedServer.start({ maxSessions: 10 });

const names = scenariosOver({
  label: "embedded",
  hint: "",
  host: async () => (await server()).host(),
  accepted: async () => (await server()).accepted,
}, {
  dials: size(100, 3),
  bareDials: size(20, 2),
  execs: size(500, 10),
  bareExecs: size(50, 5),
  bursts: size(20, 1),
});

claim({
  text: "warm exec, the time of ssh2 with noDelay over sshpool's",
  actual: (rows) => ratio(rows, names.warmTuned, names.warm),
  atLeast: 1,
});
