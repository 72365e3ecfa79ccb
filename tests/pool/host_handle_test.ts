import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { CommandError, HostHandle } from "../../pool/mod.ts";
import { Kit } from "./_kit.ts";

Deno.test("ConnectionPool.host() binds the verbs to the host", async () => {
  await using kit = new Kit();
  const web = kit.pool.host("ops@web-1");
  assertInstanceOf(web, HostHandle);
  assertEquals(kit.connector.dials, 0, "a handle dials nothing");
  assertEquals((await web.exec(["echo", "a b"])).stdout, "a b\n");
  const bytes = await web.exec("echo x", { encoding: "bytes" });
  assertEquals(bytes.stdout, new Uint8Array([120, 10]));
  const process = await web.spawn("echo spawned");
  assertEquals(await process.text(), "spawned\n");
  const lease = await web.acquire();
  assertEquals(lease.connection.host.hostname, "web-1");
  lease.release();
  const connection = await web.getConnection();
  assertEquals(connection, await kit.pool.getConnection("ops@web-1"));
  assertEquals(kit.connector.dials, 1);
});

Deno.test("exec() has all of the output, and its type says so, if it is asked for it", async () => {
  await using kit = new Kit();
  const host = "ops@web-1";
  const { all } = await kit.pool.exec(host, "echo x", { all: true });
  const text: string = all;
  const bytes: Uint8Array = (await kit.pool.host(host).exec("echo x", {
    encoding: "bytes",
    all: true,
  })).all;
  assertEquals([text, bytes], ["x\n", new Uint8Array([120, 10])]);
  const without = await kit.pool.exec(host, "echo x");
  const maybe: string | undefined = without.all;
  // @ts-expect-error: it is not there unless it is asked for
  const never: string = without.all;
  assertEquals([maybe, never], [undefined, undefined as never]);
});

Deno.test("RemoteProcess.json() parses what the command prints", async () => {
  await using kit = new Kit({
    commands: {
      json: { stdout: '{"a": [1, 2]}\n' },
      fail: { code: 3, stdout: "{}" },
    },
  });
  const web = kit.pool.host("ops@web-1");
  const { a } = await (await web.spawn("json")).json<{ a: number[] }>();
  assertEquals(a, [1, 2]);
  const text = await web.spawn("echo x");
  await assertRejects(() => text.json(), SyntaxError);
  const failing = await web.spawn("fail", { check: true });
  await assertRejects(() => failing.json(), CommandError);
});

Deno.test("HostHandle.$ quotes its values and rejects on a non-zero exit", async () => {
  await using kit = new Kit({
    commands: { rm: {}, fail: { code: 3, stderr: "no space left\n" } },
  });
  const web = kit.pool.host("ops@web-1");
  await web.$`rm ${"a b"} ${["$(x)", 1]} ${[]}`;
  assertEquals(kit.connector.calls.at(-1)?.command, "rm 'a b' '$(x)' 1 ");
  const error = await assertRejects(() => web.$`fail`, CommandError);
  assertEquals(error.exitCode, 3);
  const secret = "hunter2";
  const other = await assertRejects(() => web.$`fail ${secret}`, CommandError);
  assertEquals(other.message.includes(secret), false);
  await assertRejects(() => web.$`rm ${undefined as never}`, TypeError);
});

Deno.test("the verbs of a HostHandle work without it", async () => {
  await using kit = new Kit();
  const handle = kit.pool.host("ops@web-1");
  const { $, exec, spawn, getConnection } = handle;
  assertEquals((await $`echo ${"a b"}`).stdout, "a b\n");
  assertEquals((await exec("echo x")).stdout, "x\n");
  assertEquals(await (await spawn("echo y")).text(), "y\n");
  assertEquals((await getConnection()).host.hostname, "web-1");
  assertEquals(kit.connector.dials, 1);
  const verbs = Object.getOwnPropertyNames(HostHandle.prototype)
    .filter((name) => name !== "constructor");
  for (const name of verbs as (keyof HostHandle)[]) {
    const verb = handle[name];
    assertEquals(verb.name, `bound ${name}`);
    assertEquals(handle[name] === verb, true, `${name} is the same each time`);
  }
  assertEquals(Object.getOwnPropertyNames(handle).sort(), verbs.sort());
  assertEquals(Object.keys(handle), [], "console.log() shows no verbs");
});

Deno.test("a verb of a HostHandle can be replaced, before and after its first use", async () => {
  await using kit = new Kit();
  const { pool } = kit;
  const [fresh, used] = [pool.host("ops@web-1"), pool.host("ops@web-1")];
  await used.exec("true");
  for (const handle of [fresh, used]) {
    handle.exec = () => Promise.reject(new Error("replaced"));
    await assertRejects(() => handle.exec("true"), Error, "replaced");
    await assertRejects(() => handle.$`true`, Error, "replaced");
    assertEquals(Object.keys(handle), []);
  }
  assertEquals((await pool.host("ops@web-1").exec("true")).code, 0);
});
