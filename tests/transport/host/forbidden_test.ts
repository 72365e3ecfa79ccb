import { assertEquals, assertStringIncludes } from "@std/assert";
import type { HostKey, ResolvedHost } from "../../../transport/host/host.ts";
import {
  fileError,
  unstoredError,
} from "../../../transport/host_key/_messages.ts";
import { unusable } from "../../../transport/openssh/_program.ts";

const REFUSALS = {
  Deno: Object.assign(new Error("denied"), { name: "NotCapable" }),
  Node: Object.assign(new Error("denied"), { code: "ERR_ACCESS_DENIED" }),
};

for (
  const [runtime, read, write, run] of [
    ["Deno", "--allow-read=/x", "--allow-write=/x", "--allow-run=ssh --allow"],
    ["Node", "--allow-fs-read=/x", "--allow-fs-write=/x", "--allow-child-pr"],
  ] as const
) {
  Deno.test(`A refusal by ${runtime} names the flags of ${runtime}`, () => {
    const cause = REFUSALS[runtime];
    const host = { hostname: "db1", user: "ops", port: 22 } as ResolvedHost;
    const key = { host: "db1", type: "ssh-ed25519" } as HostKey;
    const unread = { cause: new Error("denied", { cause }), global: false };
    for (
      const [error, flags] of [
        [fileError(host, "/x", unread), [read]],
        [unstoredError(key, "/x", cause), [read, write]],
        [unusable("ssh", cause), [run]],
      ] as const
    ) {
      assertStringIncludes(error.message, `run with ${flags.join(" ")}`);
    }
    assertEquals(unusable("ssh", cause).cause, cause);
  });
}
