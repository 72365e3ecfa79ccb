// The worker that needs no code: its flags, its inventory, and its end.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { main } from "../../../pool/nats_worker.ts";
import { fleetPool } from "../../../pool/nats.ts";
import { DialError } from "../../../transport/errors.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { Ends, PING_MS, testNats } from "./_kit.ts";
import { WorkerProcess, writeInventory } from "../../kit/nats_workers.ts";

Deno.test("the worker says which flag is wrong, and shows no text of a file", async () => {
  const folder = await Deno.makeTempDir();
  const secret = `${folder}/secret.json`;
  await Deno.writeTextFile(secret, '{"teama": {"web-1": "hunter2"');
  const bad: [string[], string][] = [
    [[], "name the hosts"],
    [["--ssh-config", "x"], "--group and --allow"],
    [["--inventory", `${folder}/none`], "ENOENT"],
    [["--inventory", secret], "is no JSON"],
    [["--inventori", "x"], "inventori"],
    [["--ssh-config", "x", "--group", "a", "--allow", "*"], "--index"],
    [
      ["--ssh-config", "x", "--group", "a", "--allow", "*", "--index", "w-x"],
      '"w-x"',
    ],
    [
      [
        "--ssh-config",
        "x",
        "--group",
        "a",
        "--allow",
        "*",
        "--index",
        "0",
        "--of",
        "two",
      ],
      '--of is "two"',
    ],
    // Also those that count at the end alone.
    ...["drain-ms", "max-connections", "replicas", "shards"].map((
      name,
    ): [string[], string] => [
      [
        ...["--ssh-config", "x", "--group", "a", "--allow", "*"],
        ...["--index", "0", `--${name}`, "5s"],
      ],
      `--${name} is "5s"`,
    ]),
  ];
  for (const [args, text] of bad) {
    const error = await assertRejects(
      () => main({ args, env: {}, log: () => {} }),
      TypeError,
      text,
    );
    assert(!error.message.includes("hunter2"), error.message);
  }
  await Deno.remove(folder, { recursive: true });
});

testNats(
  "the worker serves an inventory over sshd, and ends in order at SIGTERM",
  async () => {
    if (noSshd) return;
    await using ends = new Ends();
    const server = ends.add(
      await NatsServer.start(),
      (it) => it[Symbol.asyncDispose](),
    );
    const sshd = ends.add(await startSshd(), (it) => it[Symbol.asyncDispose]());
    const folder = await Deno.makeTempDir();
    ends.add(folder, (it) => Deno.remove(it, { recursive: true }));
    const inventory = await writeInventory(folder, {
      teama: { "web-1": sshd.host() },
    });
    const worker = ends.add(
      await WorkerProcess.start([
        ...["--servers", `127.0.0.1:${server.port}`],
        ...["--inventory", inventory, "--shards", String(SHARDS)],
        ...["--index", "worker-0", "--of", "1"],
      ]),
      (it) => it[Symbol.asyncDispose](),
    );
    await using pool = fleetPool(await server.connect(), {
      group: "teama",
      pingMs: PING_MS,
    });
    assertEquals((await pool.exec("web-1", "echo up")).stdout, "up\n");
    await assertRejects(
      () => pool.exec("web-2", "true"),
      DialError,
      "no such host",
    );
    await using other = fleetPool(await server.connect(), { group: "teamb" });
    await assertRejects(
      () => other.exec("web-1", "true"),
      DialError,
      "no such host",
    );
    // What runs when it is told to end may end.
    const running = await pool.spawn("web-1", "cat");
    const code = worker.end("SIGTERM");
    const writer = running.stdin.getWriter();
    await writer.write(new TextEncoder().encode("last"));
    await writer.close();
    assertEquals(await running.text(), "last");
    assertEquals(await code, 0);
    assert(worker.log.includes('"ended"'), worker.log);
  },
);

testNats(
  "a worker that is told to end while the bus is away ends in order",
  async () => {
    await using server = await NatsServer.start();
    const folder = await Deno.makeTempDir();
    await using ends = new Ends();
    ends.add(folder, (it) => Deno.remove(it, { recursive: true }));
    const inventory = await writeInventory(folder, { teama: {} });
    await using worker = await WorkerProcess.start([
      ...["--servers", `127.0.0.1:${server.port}`, "--inventory", inventory],
      ...["--index", "0"],
    ]);
    await server.kill();
    assertEquals(await worker.end("SIGTERM"), 0);
    assert(worker.log.includes('"ended"'), worker.log);
  },
);
