import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import {
  ChannelOpenError,
  type ConnectionLostError,
  DialError,
} from "../../../transport/errors.ts";
import {
  type MemoryConnection,
  MemoryConnector,
  type Outcome,
} from "../../../transport/testing/mod.ts";

const host = { hostname: "db1", port: 22, user: "ops" };
const never = () => "never" as const;

/** Lets all that is due in the microtask queue happen. */
const settle = () => new Promise((resolve) => setTimeout(resolve));

Deno.test("MemoryConnector.connect() counts dials by host and in flight", async () => {
  const gate = Promise.withResolvers<void>();
  const connector = new MemoryConnector({ onDial: () => gate.promise });
  const both = [1, 2].map(() => connector.connect(host));
  assertEquals(connector.dialsInFlight, 2);
  gate.resolve();
  await Promise.all(both);
  assertEquals(connector.dials, 2);
  assertEquals(connector.dialsInFlight, 0);
  assertEquals(connector.maxDialsInFlight, 2);
  assertEquals([...connector.dialsByHost], [["ops@db1:22", 2]]);
  assertEquals([connector.opened, connector.live.size], [2, 2]);
});

Deno.test("MemoryConnector.connect() rejects with the signal's reason on abort", async () => {
  const connector = new MemoryConnector({ onDial: never });
  const controller = new AbortController();
  const { signal } = controller;
  const dial = connector.connect(host, { signal });
  const reason = new Error("enough");
  controller.abort(reason);
  assertStrictEquals(await dial.catch((error) => error), reason);
  assertEquals([connector.aborted, connector.failed], [1, 0]);
});

Deno.test("MemoryConnector.connect() rejects when its deadline is over", async () => {
  const connector = new MemoryConnector({ onDial: never });
  const error = await assertRejects(
    () => connector.connect(host, { timeoutMs: 5 }),
    DialError,
  );
  assertEquals(error.phase, "timeout");
});

Deno.test("MemoryConnector.connect() turns a scripted error into a DialError", async () => {
  const cause = new Error("no route");
  const own = new DialError("banner", "Dropped", { throttled: true });
  const errors = [cause, own];
  const connector = new MemoryConnector({
    onDial: (_host, attempt) => errors[attempt - 1],
  });
  const first = await assertRejects(() => connector.connect(host), DialError);
  assertStrictEquals(first.cause, cause);
  const second = await connector.connect(host).catch((error) => error);
  assertStrictEquals(second, own);
  assertEquals(connector.failed, 2);
});

Deno.test("MemoryConnection.exec() answers the built-in commands", async () => {
  await using connection = await new MemoryConnector().connect(host);
  const run = async (command: string | string[]) => {
    const { code, stdout } = await connection.exec(command);
    return [code, stdout];
  };
  assertEquals(await run("true"), [0, ""]);
  assertEquals(await run("false"), [1, ""]);
  assertEquals(await run("exit 7"), [7, ""]);
  assertEquals(await run(["echo", "it's"]), [0, "it's\n"]);
  assertEquals(await run("bulk 100000"), [0, "a".repeat(100_000)]);
  assertEquals(await run("nonsense"), [127, ""]);
});

Deno.test("MemoryConnection.exec() feeds stdin, sends env and gives bytes", async () => {
  await using connection = await new MemoryConnector().connect(host);
  assertEquals((await connection.exec("cat", { stdin: "abc" })).stdout, "abc");
  const env = { LANG: "C" };
  assertEquals((await connection.exec("printenv LANG", { env })).stdout, "C\n");
  const bytes = await connection.exec("echo x", { encoding: "bytes" });
  assertEquals(bytes.stdout, new TextEncoder().encode("x\n"));
});

Deno.test("MemoryConnection.exec() runs scripted commands", async () => {
  const connector = new MemoryConnector({
    commands: {
      uptime: { stdout: "up\n", stderr: "!", code: 3 },
      die: { signal: "KILL" },
      throw: () => {
        throw new Error("broken");
      },
    },
  });
  await using connection = await connector.connect(host);
  assertEquals(await connection.exec("uptime"), {
    success: false,
    code: 3,
    signal: null,
    stdout: "up\n",
    stderr: "!",
  });
  assertEquals((await connection.exec("die now")).signal, "KILL");
  assertEquals((await connection.exec("throw")).stderr, "broken\n");
});

Deno.test("MemoryConnection.exec() is refused with reason 2 beyond maxSessions", async () => {
  const connector = new MemoryConnector({ maxSessions: 2 });
  await using connection = await connector.connect(host);
  const results = await Promise.allSettled(
    [1, 2, 3].map((n) => connection.exec(`echo ${n}`)),
  );
  assertEquals(results.map((r) => r.status), [
    "fulfilled",
    "fulfilled",
    "rejected",
  ]);
  const { reason } = results[2] as PromiseRejectedResult;
  assertInstanceOf(reason, ChannelOpenError);
  assertEquals(reason.reason, 2);
  assertEquals([connection.openChannels, connector.maxChannels], [0, 2]);
  await connection.exec("true");
});

Deno.test("MemoryConnection.exec() is refused until the last session is reaped", async () => {
  for (const reap of [{ reapTurns: 8 }, { reapMs: 1 }]) {
    const connector = new MemoryConnector({ maxSessions: 1, ...reap });
    await using connection = await connector.connect(host);
    await connection.exec("true");
    await assertRejects(() => connection.exec("true"), ChannelOpenError);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await connection.exec("true");
  }
});

Deno.test("MemoryConnection.exec() rejects on abort, whatever gate it stands at", async () => {
  for (const gate of ["onOpen", "onExec", "onChannelClose"] as const) {
    const connector = new MemoryConnector({ [gate]: never });
    await using connection = await connector.connect(host);
    const controller = new AbortController();
    const { signal } = controller;
    const running = connection.exec("true", { signal });
    await settle();
    assertEquals(connection.openChannels, 1, gate);
    const reason = new Error(gate);
    controller.abort(reason);
    assertStrictEquals(await running.catch((error) => error), reason);
    assertEquals(connection.openChannels, 0, gate);
  }
});

Deno.test("MemoryConnection.exec() keeps the output so far when it times out", async () => {
  await using connection = await new MemoryConnector({
    commands: {
      async talk({ write, signal }) {
        await write("so far");
        await new Promise((resolve) => signal.onabort = resolve);
      },
    },
  }).connect(host);
  const error = await connection.exec("talk", { timeoutMs: 20 })
    .catch((error) => error);
  assertEquals(error.code, "SSH_EXEC_TIMEOUT");
  assertEquals(new TextDecoder().decode(error.output.stdout), "so far");
});

Deno.test("MemoryConnection.exec() stops a command that writes too much", async () => {
  await using connection = await new MemoryConnector().connect(host);
  const error = await connection.exec("bulk 1000000", { maxOutputBytes: 1000 })
    .catch((error) => error);
  assertEquals(error.code, "SSH_OUTPUT_LIMIT");
  assertEquals(connection.openChannels, 0);
});

Deno.test("MemoryConnection.exec() calls onOpen once, and not when refused", async () => {
  for (const gates of [{}, { onExec: () => "ok" as const }]) {
    const connector = new MemoryConnector({ maxSessions: 1, ...gates });
    await using connection = await connector.connect(host);
    let opened = 0;
    const onOpen = () => opened++;
    const [, second] = await Promise.allSettled([
      connection.exec("true", { onOpen }),
      connection.exec("true", { onOpen }),
    ]);
    assertEquals([opened, second.status], [1, "rejected"]);
  }
});

Deno.test("MemoryConnection.drop() fails what is in flight and says if it may have run", async () => {
  const connector = new MemoryConnector({
    onOpen: (_connection, n) => n === 1 ? "never" : "ok",
  });
  const connection = await connector.connect(host);
  const opening = connection.exec("true");
  const running = connection.exec("cat", { stdin: new ReadableStream() });
  await settle();
  connection.drop("cable cut");
  assertEquals([connection.isClosed, connection.openChannels], [true, 0]);
  const [a, b]: ConnectionLostError[] = await Promise.all(
    [opening, running].map((promise) => promise.catch((error) => error)),
  );
  assertEquals([a!.code, a!.mayHaveRun], ["SSH_CONNECTION_LOST", false]);
  assertEquals([b!.code, b!.mayHaveRun], ["SSH_CONNECTION_LOST", true]);
  assertEquals(await connection.closed, { kind: "lost", message: "cable cut" });
  assertEquals([connector.closed, connector.live.size], [1, 0]);
  await assertRejects(() => connection.exec("true"), Error, "closed");
});

Deno.test("MemoryConnection.drop() fails a plain command on its way", async () => {
  const connection = await new MemoryConnector().connect(host);
  const running = connection.exec("true");
  connection.drop();
  const error = await running.catch((error) => error);
  assertEquals([error.code, error.mayHaveRun], ["SSH_CONNECTION_LOST", false]);
});

Deno.test("MemoryConnection.freeze() hangs everything until thaw()", async () => {
  await using connection = await new MemoryConnector().connect(host);
  connection.freeze();
  let done = false;
  const running = connection.exec("true").then(() => done = true);
  await settle();
  assert(!done);
  connection.thaw();
  await running;
});

Deno.test("MemoryConnection.freeze() is found out by the keepalive", async () => {
  const connection = await new MemoryConnector().connect(host, {
    keepaliveIntervalMs: 1,
    keepaliveCountMax: 1,
  });
  connection.freeze();
  await assertRejects(() => connection.exec("true"), Error, "keepalive");
  assertEquals((await connection.closed).kind, "lost");
});

Deno.test("MemoryConnection.close() is closed at once and ended when the script says so", async () => {
  const gate = Promise.withResolvers<void>();
  const connector = new MemoryConnector({ onClose: () => gate.promise });
  const connection = await connector.connect(host);
  const closing = connection.close();
  assertEquals([connection.isClosed, connector.closed], [true, 0]);
  gate.resolve();
  await closing;
  assertEquals(await connection.closed, { kind: "local" });
  assertEquals(connector.closed, 1);
});

Deno.test("MemoryConnection.spawn() streams both ways and can be killed", async () => {
  await using connection = await new MemoryConnector().connect(host);
  await using cat = await connection.spawn("cat");
  const writer = cat.stdin.getWriter();
  const reader = cat.stdout.getReader();
  writer.write(new Uint8Array([1, 2]));
  assertEquals((await reader.read()).value, new Uint8Array([1, 2]));
  await writer.close();
  assertEquals((await reader.read()).done, true);
  assertEquals((await cat.status).code, 0);
  const sleep = await connection.spawn("sleep 60");
  sleep.kill("INT");
  assertEquals((await sleep.output()).signal, "INT");
  assertEquals(connection.openChannels, 0);
});

Deno.test("MemoryConnection.forwardOut() ends with its hop, and so does what is over it", async () => {
  const connector = new MemoryConnector();
  const hop = await connector.connect(host);
  const tunnel = await hop.forwardOut({ hostname: "db2", port: 22 });
  const over = await connector.connect({ ...host, hostname: "db2" }, {
    tunnel,
  });
  assertEquals(hop.forwards, ["db2:22"]);
  assertEquals([hop.openChannels, over.isClosed], [0, false]);
  hop.drop();
  await tunnel.closed;
  assertEquals((await over.closed).kind, "lost");
});

Deno.test("MemoryConnector.connect() closes the tunnel of a failed dial", async () => {
  const connector = new MemoryConnector({
    onDial: ({ hostname }) => hostname === "db2" ? new Error("no") : "ok",
  });
  await using hop = await connector.connect(host);
  const tunnel = await hop.forwardOut({ hostname: "db2", port: 22 });
  await assertRejects(() =>
    connector.connect({ ...host, hostname: "db2" }, { tunnel })
  );
  await tunnel.closed;
});

Deno.test("MemoryConnection.exec() is refused after what was asked before is answered", async () => {
  for (const gates of [{}, { onExec: () => "ok" as const }]) {
    const connector = new MemoryConnector({ maxSessions: 1, ...gates });
    await using connection = await connector.connect(host);
    const order: string[] = [];
    const first = connection.spawn("true").then(async (child) => {
      order.push("opened");
      await child.output();
    });
    const second = connection.exec("true").catch(() => order.push("refused"));
    await Promise.all([first, second]);
    assertEquals(order, ["opened", "refused"]);
  }
});

Deno.test("MemoryConnector.calls has host, command and options of each call", async () => {
  const connector = new MemoryConnector();
  await using connection = await connector.connect(host);
  const options = { timeoutMs: 1000 };
  await connection.exec(["echo", "a b"], options);
  await (await connection.spawn("true")).output();
  assertEquals(connector.calls, [
    { kind: "exec", host: "ops@db1:22", command: "echo 'a b'", options },
    { kind: "spawn", host: "ops@db1:22", command: "true", options: {} },
  ]);
});

Deno.test("MemoryConnector tells a script which host was asked", async () => {
  const connector = new MemoryConnector({
    commands: (line, name) =>
      line === "plain"
        ? { stdout: name }
        : line === "handler"
        ? (({ host }) => ({ stdout: host }))
        : undefined,
  });
  await using connection = await connector.connect(host);
  assertEquals((await connection.exec("plain")).stdout, "ops@db1:22");
  assertEquals((await connection.exec("handler")).stdout, "ops@db1:22");
});

Deno.test("MemoryConnection.exec() says how to script a command that has no script", async () => {
  await using connection = await new MemoryConnector().connect(host);
  const { code, stderr } = await connection.exec("uptime -p");
  assertEquals(code, 127);
  assertEquals(
    stderr,
    'sh: uptime: not found\nNo script for "uptime -p": add it to the option ' +
      '`commands`, such as { "uptime": { stdout: "..." } }\n',
  );
});

Deno.test("MemoryConnector says once what failed", async () => {
  const message = 'Cannot connect to "ops@db1:22": no route';
  for (const said of ["no route", message]) {
    const connector = new MemoryConnector({ onDial: () => new Error(said) });
    const error = await connector.connect(host).catch((error) => error);
    assertEquals(error.message, message);
  }
});

Deno.test("MemoryConnector refuses what is no outcome, wherever a step asks for one", async () => {
  const wrong: readonly [unknown, string][] = [
    [{ delayMz: 5 }, 'no field "outcome.delayMz", did you mean "delayMs"?'],
    [{ delayMs: -1 }, "outcome.delayMs is -1, must be a number"],
    [{ delayMs: 0, then: "nevr" }, 'outcome is "nevr", must be "ok", "never"'],
    [{}, "outcome is an object without delayMs"],
    [null, "outcome is null"],
    [false, "outcome is false"],
    [() => "ok", "outcome is a function"],
    [Promise.resolve({ delay: 5 }), 'no field "outcome.delay", did you mean'],
  ];
  for (const [given, why] of wrong) {
    const gate = () => given as Outcome;
    const dialled = new MemoryConnector({ onDial: gate });
    const error = await assertRejects(() => dialled.connect(host), TypeError);
    assertStringIncludes(error.message, `Cannot play the script: `);
    assertStringIncludes(error.message, why);
    assertEquals([dialled.failed, dialled.dialsInFlight], [1, 0]);
    const steps = {
      onOpen: (it) => it.exec("true"),
      onExec: (it) => it.exec("true"),
      onChannelClose: (it) => it.exec("true"),
      onForward: (it) => it.forwardOut({ hostname: "db", port: 1 }),
      onListen: (it) => it.forwardIn({ hostname: "", port: 1 }, () => {}),
    } satisfies Record<string, (it: MemoryConnection) => Promise<unknown>>;
    for (const [step, call] of Object.entries(steps)) {
      const connector = new MemoryConnector({ [step]: gate });
      await using connection = await connector.connect(host);
      await assertRejects(() => call(connection), TypeError, why);
      assertEquals(connection.openChannels, 0);
    }
  }
});
