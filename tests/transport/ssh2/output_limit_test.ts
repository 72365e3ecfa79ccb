/** How much output is collected, and how a command is stopped. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import { Buffer } from "node:buffer";
import {
  ExecTimeoutError,
  OutputLimitError,
} from "../../../transport/errors.ts";
import { OutputCollector } from "../../../transport/session/_output_collector.ts";
import { withSeed } from "../../kit/random.ts";
import { until } from "../../kit/until.ts";
import { embeddedTest, rejection, sshdTest } from "./_kit.ts";

const MiB = 1024 * 1024;
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

embeddedTest(
  "Connection.exec() collects 64 MiB by default, and then names the option to set",
  {},
  async (connection) => {
    const whole = await connection.exec(`bulk ${64 * MiB}`, {
      encoding: "bytes",
    });
    assertEquals(whole.stdout.length, 64 * MiB);
    const error = await rejection(connection.exec(`bulk ${64 * MiB + 1}`));
    assertInstanceOf(error, OutputLimitError);
    assert(/67108864 bytes.*maxOutputBytes/.test(error.message), error.message);
    assert(error.hint?.includes("truncate"));
    await until(() => connection.openChannels === 0);
  },
);

Deno.test("OutputCollector that truncates keeps no more than its limit of an output without end", async () => {
  const collector = new OutputCollector({
    maxBytes: MiB,
    isText: false,
    truncates: true,
  });
  for (let i = 0; i < 512; i++) {
    assertEquals(collector.stdout(new Uint8Array(MiB)), true);
    // Garbage is collected between turns.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const held = Deno.memoryUsage().external / MiB;
  assert(held < 300, `${held} of 512 MiB`);
  const { stdout } = collector.bytes();
  const [missing] = /\d+ bytes/.exec(text(stdout as Uint8Array)) ?? [];
  assertEquals(missing, `${512 * MiB - MiB / 2} bytes`);
});

embeddedTest(
  "Connection.exec() keeps both ends of each output with onOutputLimit truncate, and runs on",
  {
    commands: {
      talk: {
        stdout: "a".repeat(30) + "b".repeat(1000) + "c".repeat(30),
        stderr: "short",
        code: 7,
      },
    },
  },
  async (connection) => {
    const { stdout, stderr, code } = await connection.exec("talk", {
      maxOutputBytes: 80,
      onOutputLimit: "truncate",
    });
    assertEquals(
      stdout,
      "a".repeat(20) + "\n[... 1020 bytes are left out ...]\n" + "c".repeat(20),
    );
    assertEquals([stderr, code], ["short", 7]);
  },
);

/** Collects, in pieces of the given sizes. */
function collect(
  output: Uint8Array,
  options: { maxBytes: number; isText: boolean; truncates?: boolean },
  pieces: () => number,
): Uint8Array {
  const collector = new OutputCollector({ truncates: true, ...options });
  for (let at = 0; at < output.length;) {
    const end = Math.min(output.length, at + pieces());
    assert(collector.stdout(Buffer.from(output.subarray(at, end))));
    at = end;
  }
  return collector.bytes().stdout;
}

Deno.test("OutputCollector gives all up to its limit, though one output has it all", () => {
  const output = new Uint8Array(1000).map((_, i) => i);
  const options = { maxBytes: 1000, isText: false };
  assertEquals(collect(output, options, () => 7), output);
});

Deno.test("OutputCollector keeps both ends, whatever the pieces are", () =>
  withSeed((random) => {
    for (let round = 0; round < 300; round++) {
      const size = 1 + random.below(40_000);
      const maxBytes = 1 + random.below(30_000);
      const output = new Uint8Array(size).map(() => random.below(256));
      const most = 1 + random.below(12_000);
      const actual = collect(
        output,
        { maxBytes, isText: false },
        () => 1 + random.below(most),
      );
      const edge = Math.floor(maxBytes / 4);
      if (size <= maxBytes || size <= 2 * edge) {
        assertEquals(actual, output, `${size} of ${maxBytes}`);
        continue;
      }
      const head = output.subarray(0, edge);
      const newline = head.length === 0 || head.at(-1) === 10 ? "" : "\n";
      const line = `${newline}[... ${
        size - 2 * edge
      } bytes are left out ...]\n`;
      const expected = Buffer.concat([
        head,
        Buffer.from(line),
        output.subarray(size - edge),
      ]);
      assert(expected.equals(actual), `${size} of ${maxBytes}, ${most}`);
    }
  }));

Deno.test("OutputCollector cuts text between characters, and counts what that leaves out", () => {
  const output = Buffer.from("aé€😀".repeat(50)); // 1, 2, 3 and 4 bytes
  for (let maxBytes = 40; maxBytes < 120; maxBytes++) {
    const cut = text(collect(output, { maxBytes, isText: true }, () => 5));
    assert(!cut.includes("\ufffd"), `${maxBytes}: ${cut}`);
    const [, missing = ""] = /\[\.\.\. (\d+) bytes/.exec(cut) ?? [];
    const [head = "", tail = ""] = cut.split(/\n?\[.*\]\n/);
    const kept = Buffer.byteLength(head) + Buffer.byteLength(tail);
    assertEquals(kept + Number(missing), output.length);
    assert(kept > maxBytes / 2 - 8 && kept <= maxBytes / 2, `${kept}`);
  }
});

Deno.test("OutputCollector takes no more than its limit without truncation, both outputs together", () => {
  const collector = new OutputCollector({
    maxBytes: 10,
    isText: true,
    truncates: false,
  });
  assert(collector.stdout(Buffer.from("12345")));
  assert(collector.stderr(Buffer.from("67890")));
  assert(!collector.stdout(Buffer.from("x")));
  assertEquals(text(collector.bytes().stdout), "12345");
});

Deno.test("OutputCollector does not keep a large packet for a small piece of it", () => {
  const packet = Buffer.alloc(64 * 1024, "x");
  const collector = new OutputCollector({
    maxBytes: 1000,
    isText: true,
    truncates: false,
  });
  collector.stdout(packet.subarray(0, 3));
  packet.fill("y");
  assertEquals(text(collector.bytes().stdout), "xxx");
});

// Longer than any wait here. It ends by itself, since one that nobody may kill
// is left to itself.
const TRAP = "echo on; for i in $(seq 600); do sleep 0.05; done";

sshdTest(
  "Connection.exec() lets a command end within killGraceMs after its timeout, and gives what it said",
  async (connection) => {
    const start = performance.now();
    const error = await rejection(connection.exec(
      `trap 'echo bye; exit 5' TERM; ${TRAP}`,
      { timeoutMs: 2000, killGraceMs: 30_000 },
    ));
    assertInstanceOf(error, ExecTimeoutError);
    assertEquals(text(error.output?.stdout), "on\nbye\n");
    assert(performance.now() - start < 20_000, "it waited all the grace time");
    assertEquals(connection.openChannels, 0);
  },
);

sshdTest(
  "Connection.exec() kills a command that does not end within killGraceMs",
  async (connection) => {
    const error = await rejection(connection.exec(
      `echo $$; trap '' TERM; ${TRAP}`,
      { timeoutMs: 2000, killGraceMs: 300 },
    ));
    assertInstanceOf(error, ExecTimeoutError);
    const [pid] = text(error.output?.stdout).split("\n");
    const { stdout } = await connection.exec(
      `for i in $(seq 200); do kill -0 ${pid} || break; sleep 0.05; done; ` +
        `kill -0 ${pid} || echo gone`,
    );
    assertEquals(stdout, "gone\n");
  },
);

sshdTest(
  "Connection.exec() does not wait for killGraceMs when it is aborted meanwhile",
  async (connection) => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const start = performance.now();
    const running = rejection(connection.exec(`trap '' TERM; ${TRAP}`, {
      signal: controller.signal,
      timeoutMs: 2000,
      killGraceMs: 60_000,
    }));
    setTimeout(() => controller.abort(reason), 2500);
    assertStrictEquals(await running, reason);
    assert(performance.now() - start < 30_000);
  },
);

embeddedTest(
  "Connection.exec() waits within killGraceMs for a command that outgrew its limit",
  {
    commands: {
      flood: async ({ write, signal }) => {
        await write("x".repeat(100));
        await new Promise((resolve) =>
          signal.addEventListener("abort", resolve)
        );
        return { code: 0 };
      },
    },
  },
  async (connection) => {
    const error = await rejection(connection.exec("flood", {
      maxOutputBytes: 10,
      killGraceMs: 60_000,
    }));
    assertInstanceOf(error, OutputLimitError);
    assertEquals(connection.openChannels, 0, "it has ended");
  },
);

embeddedTest(
  "Connection.exec() leaves no timer when it ends before its timeout",
  {},
  async (connection) => {
    // The sanitizer fails the test otherwise.
    for (const command of ["true", "exit 3"]) {
      await connection.exec(command, { timeoutMs: 60_000, killGraceMs: 5 });
    }
    const aborted = new AbortController();
    const running = rejection(
      connection.exec("sleep 60", {
        timeoutMs: 60_000,
        signal: aborted.signal,
        onOpen: () => setTimeout(() => aborted.abort()),
      }),
    );
    await running;
  },
);
