// What is left of passwords and keys in memory once they were used.

import { assertEquals } from "@std/assert";
import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { ParsedKey } from "ssh2";
import { Authenticator } from "../../../../transport/ssh2/auth/authenticator.ts";
import { KeyCache } from "../../../../transport/ssh2/auth/key_cache.ts";
import { EmbeddedServer } from "../../../../transport/testing/mod.ts";
import { resolved } from "./_login.ts";

const FIRST = "Trouble-hunter";

Deno.test("a connection keeps nothing of a function's password that it was opened with, by whichever method", async () => {
  await using byPassword = await EmbeddedServer.start({
    password: `${FIRST}-0`,
  });
  await using byQuestion = await EmbeddedServer.start({
    keyboardInteractive: {
      questions: [{ prompt: "Password: ", answer: `${FIRST}-1` }],
    },
  });
  const hosts = [byPassword, byQuestion].map((server) => {
    const { privateKey: _, ...host } = server.host({ agent: false });
    return host;
  });
  const script = new URL("./_forgotten_password.ts", import.meta.url);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--quiet", "--no-check", script.href],
      ...[JSON.stringify(hosts), FIRST],
    ],
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  assertEquals(JSON.parse(new TextDecoder().decode(stdout)), {
    open: 2,
    found: [false, false],
    foundKept: true,
  });
});

Deno.test("Authenticator wipes the password that it has given to ssh2 once it is sent", async () => {
  const auth = new Authenticator(
    resolved({ hostname: "h", password: FIRST, authMethods: ["password"] }),
  );
  await auth.prepare();
  const { promise, resolve } = Promise.withResolvers<[Buffer, string]>();
  auth.handler([], false, (method) => {
    const given = (method as unknown as { password: Buffer }).password;
    resolve([given, given.toString()]);
  });
  const [given, sent] = await promise;
  assertEquals(sent, FIRST);
  assertEquals(given.toString(), "\0".repeat(FIRST.length));
  auth.dispose();
});

Deno.test("KeyCache keeps the hundred keys that were opened last, and no others", async () => {
  const cache = new KeyCache();
  const opened: string[] = [];
  const open = (name: string) =>
    cache.get(name, undefined, () => {
      opened.push(name);
      return Promise.resolve({} as ParsedKey);
    });
  for (let n = 0; n < 101; n++) await open(`key ${n}`);
  opened.length = 0;
  await open("key 100");
  await open("key 1");
  assertEquals(opened, []);
  await open("key 0");
  assertEquals(opened, ["key 0"]);
});
