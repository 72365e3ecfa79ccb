import { assert, assertEquals, assertThrows } from "@std/assert";
import { NameResolver } from "../../../mod.ts";
import { hostLabel } from "../../../transport/host/host.ts";

const resolver = new NameResolver();

Deno.test("NameResolver takes names, and keeps them as they are", () => {
  const names = ["web-1", "ops@web-1", "ops@web-1:2222", "[::1]:22"];
  for (const name of names) {
    assertEquals(resolver.resolve(name).alias, name);
  }
  const { hostname, port, user } = resolver.resolve("ops@web-1:2222");
  assertEquals([hostname, port, user], ["web-1", 2222, "ops"]);
  assertEquals(hostLabel(resolver.resolve("web-1")), "web-1:22");
});

Deno.test("NameResolver names an object by its address and user", () => {
  const named = (host: Parameters<typeof resolver.resolve>[0]) =>
    resolver.resolve(host).alias;
  assertEquals(named({ hostname: "web-1" }), "web-1");
  assertEquals(named({ hostname: "web-1", port: 22 }), "web-1");
  assertEquals(named({ hostname: "web-1", port: 23 }), "web-1:23");
  assertEquals(named({ hostname: "web-1", user: "ops" }), "ops@web-1");
  assertEquals(named({ hostname: "::1", user: "ops" }), "ops@[::1]");
  assertEquals(named({ hostname: "10.0.0.1", alias: "web-1" }), "web-1");
  assertEquals(named(new URL("ssh://ops@web-1:23")), "ssh://ops@web-1:23");
});

Deno.test("NameResolver refuses a host that holds anything else, and shows no value of it", () => {
  const more = {
    password: "hunter2",
    privateKey: "hunter2",
    passphrase: "hunter2",
    agent: "hunter2",
    jump: "hunter2",
    proxyCommand: "hunter2",
    hostKey: "hunter2",
    env: { A: "hunter2" },
    transport: "hunter2",
  };
  for (const [name, value] of Object.entries(more)) {
    const error = assertThrows(
      () => resolver.resolve({ hostname: "web-1", [name]: value } as never),
      TypeError,
      `"${name}" belongs where the host is dialled`,
    );
    assert(!error.message.includes("hunter2"));
  }
  const absent = { hostname: "web-1", password: undefined };
  assertEquals(resolver.resolve(absent as never).alias, "web-1");
  for (const bad of ["", "a b", "ssh://user:hunter2@web-1", 5, null, {}]) {
    const error = assertThrows(() => resolver.resolve(bad as never), TypeError);
    assert(!error.message.includes("hunter2"));
  }
});
