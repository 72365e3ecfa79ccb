/** The program `ssh`: when it is asked for its version. */

import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { Program, ProgramError } from "../../../transport/openssh/_program.ts";
import { program, socketFolder } from "./_kit.ts";

Deno.test("Program.version() asks once, and again after a failure: it may be installed by then", async () => {
  const folder = await socketFolder();
  const path = join(folder, "ssh");
  const log = join(folder, "log");
  const ssh = new Program(path);
  await assertRejects(() => ssh.version(), ProgramError, "no program");
  await program(path, `#!/bin/sh\necho x >> ${log}\necho OpenSSH_9.2p1 >&2\n`);
  const version = { major: 9, minor: 2 };
  for (let i = 0; i < 3; i++) assertEquals(await ssh.version(), version);
  assertEquals(await Deno.readTextFile(log), "x\n");
  await Deno.remove(folder, { recursive: true });
});
