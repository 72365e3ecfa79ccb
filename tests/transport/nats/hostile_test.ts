// What comes off the bus is a stranger's: it is checked, and neither a client
// nor a worker fails for the others because of one that sends nonsense.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { ConnectionLostError, SshError } from "../../../transport/errors.ts";
import { Random, seed } from "../../kit/random.ts";
import { until } from "../../kit/until.ts";
import { site, testNats } from "./_kit.ts";

const RESOLVED = {
  hostname: "web-1",
  port: 22,
  user: "ops",
  alias: "ops@web-1",
};
const OTHER = { ...RESOLVED, hostname: "web-2", alias: "ops@web-2" };
const encoder = new TextEncoder();

const id = (random: Random) =>
  Array.from({ length: 32 }, () => random.below(16).toString(16)).join("");

/** A frame that may be anything. */
function nonsense(random: Random): Uint8Array {
  const type = random.below(24);
  const json = random.pick([
    "",
    "null",
    "[]",
    "5",
    '"x"',
    "{}",
    '{"kind":"connection"}',
    '{"kind":"command","line":5,"connection":"x"}',
    '{"code":-1}',
    '{"code":null,"signal":5}',
    '{"name":"DialError","phase":[]}',
    '{"columns":1e9,"rows":-1}',
    '{"__proto__":{"x":1}}',
    "{".repeat(1_000),
    "\xff\xfe",
  ]);
  const body = random.chance(0.5)
    ? encoder.encode(json)
    : new Uint8Array(random.below(300)).map(() => random.below(256));
  if (random.chance(0.1)) return body;
  const frame = new Uint8Array(5 + body.length);
  frame[0] = type;
  new DataView(frame.buffer).setUint32(
    1,
    random.pick([0, 0, 1, 2, random.below(2 ** 32)]),
  );
  frame.set(body, 5);
  return frame;
}

testNats("a worker serves on, whatever a client sends it", async () => {
  await using fleet = await site();
  const random = new Random(seed);
  const from = `ssh.c.evil.${id(random)}`;
  const bus = await fleet.server.connect({ inboxPrefix: from });
  const connection = await fleet.connector.connect(RESOLVED);
  const process = await connection.spawn("cat");
  // A client that has a connection of its own, and then sends anything on it.
  const answer = await bus.request(
    "ssh.dial.default.web-2",
    encoder.encode(JSON.stringify({ from })),
    { timeout: 5_000 },
  );
  const { worker, ticket } = answer.json<{ worker: string; ticket: string }>();
  const open = encoder.encode('\x01\0\0\0\0{"kind":"connection"}');
  bus.publish(`${worker}.${ticket}`, open, { reply: `${from}.${ticket}` });
  const streams = [ticket, ...Array.from({ length: 20 }, () => id(random))];
  for (let i = 0; i < 3_000; i++) {
    const stream = random.pick(streams);
    const reply = random.pick([
      `${from}.${stream}`,
      `${from}.${stream}`,
      `ssh.w.other.${id(random)}.${stream}`,
      "ssh.shard.1.default.web-1",
      undefined,
    ]);
    const payload = random.chance(0.2)
      ? encoder.encode(
        `\x01\0\0\0\0{"kind":"${
          random.pick(["command", "shell", "subsystem", "listen", "odd"])
        }","connection":"${ticket}","line":${
          random.pick(['"cat"', "5", "[]", '["a",5]', "null"])
        },"options":${
          random.pick(["{}", "5", '{"pty":7}', '{"odd":1}', '{"env":{"a=":1}}'])
        },"target":5,"listen":{},"name":${random.pick(['"sftp"', "5"])}}`,
      )
      : nonsense(random);
    const subject = random.pick([
      `${worker}.${stream}`,
      `${worker}.${stream}`,
      `${worker}.ping`,
      `ssh.dial.default.${random.pick(["web-1", "%", "%2", "a%20b"])}`,
    ]);
    bus.publish(subject, payload, reply ? { reply } : {});
  }
  await bus.flush();
  assertEquals((await connection.exec("echo on")).stdout, "on\n");
  await process.stdin.close();
  assertEquals((await process.status).success, true);
  const other = await fleet.connector.connect(OTHER);
  assertEquals((await other.exec("echo on")).stdout, "on\n");
});

testNats(
  "a client that asks for too much is slowed down, and the others are not",
  async () => {
    await using fleet = await site({}, {
      worker: { maxRequestsPerSecond: 20 },
    });
    const random = new Random(seed);
    const bus = await fleet.server.connect();
    const from = `ssh.c.greedy.${id(random)}`;
    let offers = 0;
    let answers = 0;
    bus.subscribe(`${from}.*`, {
      callback(_error, message) {
        answers++;
        if (message.string().includes("ticket")) offers++;
      },
    });
    const began = performance.now();
    const question = encoder.encode(JSON.stringify({ from }));
    for (let i = 0; i < 1_000; i++) {
      const reply = `${from}.${id(random)}`;
      bus.publish(`ssh.dial.default.web-${i % 9}`, question, { reply });
    }
    await bus.flush();
    await until(() => answers === 1_000);
    const earned = 20 * (4 + (performance.now() - began) / 1_000);
    assert(offers >= 80 && offers <= earned + 1, `${offers} offers`);
    assertEquals(fleet.worker.stats().refused, 1_000 - offers);
    // The burst of somebody else is there, and lasts for as many.
    const connection = await fleet.connector.connect(RESOLVED);
    for (let i = 0; i < 40; i++) {
      assertEquals((await connection.exec(`echo ${i}`)).stdout, `${i}\n`);
    }
  },
);

testNats(
  "pings that name more than anybody has are not answered, and harm nobody else",
  async () => {
    await using fleet = await site();
    const random = new Random(seed);
    const from = `ssh.c.evil.${id(random)}`;
    const bus = await fleet.server.connect({ inboxPrefix: from });
    const connection = await fleet.connector.connect(RESOLVED);
    const process = await connection.spawn("cat");
    const answer = await bus.request(
      "ssh.dial.default.web-2",
      encoder.encode(JSON.stringify({ from })),
      { timeout: 5_000 },
    );
    const { worker } = answer.json<{ worker: string }>();
    let answers = 0;
    bus.subscribe(`${from}.*`, { callback: () => void answers++ });
    const named = random.bytes(80_000);
    for (let i = 0; i < 300; i++) {
      bus.publish(`${worker}.ping`, named, { reply: `${from}.${id(random)}` });
      // So that the server does not hang up on the worker.
      if (i % 10 === 0) await bus.flush();
    }
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
    await process.stdin.close();
    assertEquals((await process.status).success, true);
    await bus.flush();
    // Five at a time, and the next ones a second later.
    assert(answers > 0 && answers < 100, `${answers} answers`);
  },
);

testNats(
  "a worker answers to where the client listens, and writes nowhere else for it",
  async () => {
    await using fleet = await site({}, { worker: { id: "w1" } });
    const random = new Random(seed);
    const from = `ssh.c.evil.${id(random)}`;
    const bus = await fleet.server.connect({ inboxPrefix: from });
    const heard: string[] = [];
    const watch = await fleet.server.connect();
    const callback = (_error: Error | null, { subject }: { subject: string }) =>
      void heard.push(subject);
    for (const subject of ["$KV.>", "$JS.>", "orders.>", `${from}.end`]) {
      watch.subscribe(subject, { callback });
    }
    await watch.flush();
    const question = encoder.encode(JSON.stringify({ from }));
    const dial = "ssh.dial.default.web-2";
    const answer = await bus.request(dial, question, { timeout: 5_000 });
    const { worker } = answer.json<{ worker: string }>();
    // The worker may write to the store of leases, and a client may not.
    for (
      const reply of [
        "$KV.ssh_shards.5",
        "$JS.API.STREAM.DELETE.KV_ssh_shards",
        "orders.cancel",
        "orders.cancel.x",
      ]
    ) {
      bus.publish(dial, question, { reply });
      bus.publish("ssh.w.w1.ping", undefined, { reply });
      bus.publish(`${worker}.ping`, undefined, { reply });
      bus.publish(`${worker}.ping`, random.bytes(20), { reply });
    }
    bus.publish(`${worker}.ping`, undefined, { reply: `${from}.end` });
    await until(() => heard.includes(`${from}.end`));
    assertEquals(heard, [`${from}.end`]);
    // Other workers are answered.
    const present = await fleet.clientBus.request("ssh.w.w1.ping", undefined, {
      timeout: 5_000,
    });
    assertEquals(present.data.length, 0);
  },
);

testNats(
  "a client may not use the connection of another, nor one that it was not offered",
  async () => {
    await using fleet = await site();
    const random = new Random(seed);
    const bus = await fleet.server.connect();
    const from = `ssh.c.evil.${id(random)}`;
    const answers: number[] = [];
    bus.subscribe(`${from}.*`, {
      callback: (_error, message) => void answers.push(message.data[0]!),
    });
    // Somebody who sees the messages of others knows more than a client can.
    const seen: { worker: string; ticket: string }[] = [];
    bus.subscribe("ssh.c.>", {
      callback(_error, message) {
        if (message.string().includes("ticket")) seen.push(message.json());
      },
    });
    await bus.flush();
    const connection = await fleet.connector.connect(RESOLVED);
    await until(() => seen.length > 0);
    const { worker, ticket } = seen[0]!;
    const stream = id(random);
    const command = `{"kind":"command","connection":"${ticket}","line":"evil"}`;
    bus.publish(
      `${worker}.${stream}`,
      encoder.encode(`\x01\0\0\0\0${command}`),
      {
        reply: `${from}.${stream}`,
      },
    );
    const connect = encoder.encode('\x01\0\0\0\0{"kind":"connection"}');
    bus.publish(`${worker}.${ticket}`, connect, { reply: `${from}.${ticket}` });
    await bus.flush();
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
    await until(() => answers.length > 0);
    // What it was answered is a failure.
    assertEquals(answers[0], 7);
    assertEquals(fleet.memory.calls.map(({ command }) => command), ["echo on"]);
  },
);

testNats(
  "a client fails what a worker sends nonsense for, and nothing else",
  async () => {
    await using fleet = await site();
    const random = new Random(seed);
    for (let i = 0; i < 60; i++) {
      const connection = await fleet.connector.connect(RESOLVED);
      const running = connection.spawn("cat").then(({ status }) => status)
        .catch((error) => error);
      fleet.bus.corrupted = () => nonsense(random);
      const error = await connection.exec("echo x").catch((error) => error);
      fleet.bus.corrupted = undefined;
      if (error instanceof Error) assertInstanceOf(error, SshError);
      await connection.close();
      const outcome = await running;
      if (outcome instanceof Error) assertInstanceOf(outcome, Error);
    }
    const connection = await fleet.connector.connect(RESOLVED);
    assertEquals((await connection.exec("echo on")).stdout, "on\n");
  },
);

testNats(
  "more data than was granted ends the stream, and is not kept",
  async () => {
    await using fleet = await site({
      commands: {
        flood: ({ write }) => write("x".repeat(8_000_000)).then(() => ({})),
      },
    });
    const connection = await fleet.connector.connect(RESOLVED);
    const process = await connection.spawn("flood");
    // Nobody reads: what the worker may send is bounded.
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert(
      fleet.bus.data <= 3 * 1024 * 1024,
      `${fleet.bus.data} bytes were sent`,
    );
    // It sends more all the same.
    fleet.bus.resend();
    const error = await process.status.catch((error) => error);
    assertInstanceOf(error, ConnectionLostError);
    assert(/nonsense|lost/.test(error.message), error.message);
  },
);
