import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { runCommand } from "../../../transport/session/exec.ts";
import { OutputCollector } from "../../../transport/session/_output_collector.ts";

Deno.test('exec() with "inherit" writes both outputs to those of the program, byte for byte', async () => {
  const program = new URL("./_inherit_program.ts", import.meta.url);
  const config = new URL("../../../deno.json", import.meta.url);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--config",
      fileURLToPath(config),
      fileURLToPath(program),
    ],
  }).output();
  assertEquals(
    [code, [...stdout], new TextDecoder().decode(stderr)],
    [0, [0xc3, 0xa9, 0x0a, 0xe2], "careful\n"],
  );
});

const encode = (text: string) => new TextEncoder().encode(text);

Deno.test("OutputCollector.result() has both outputs in order of arrival, and is cut as they are", () => {
  const collector = new OutputCollector({
    maxBytes: 40,
    isText: true,
    truncates: true,
    all: true,
  });
  const text = () => `${collector.result().all}`;
  collector.stdout(encode("a"));
  collector.stderr(encode("B"));
  collector.stdout(encode("c"));
  assertEquals(text(), "aBc");
  collector.stderr(encode("x".repeat(100)));
  collector.stdout(encode("end"));
  const [head, line, tail] = text().split("\n");
  assertEquals(head, `aBc${"x".repeat(17)}`);
  assertEquals(line, "[... 66 bytes are left out ...]");
  assertEquals(tail, `${"x".repeat(17)}end`);
});

Deno.test("OutputCollector.result() decodes all as one text, wherever it was cut into pieces", () => {
  const bytes = encode("\ufeff" + "a\u00e9\u20ac\u{1f600}".repeat(230_001));
  // What is no UTF-8, in the middle and at the end.
  for (let at = 5000; at < bytes.length; at += 9973) {
    bytes.set([0xff, 0xe2, 0x82, 0x80, 0x80, 0x80, 0xf0], at);
  }
  bytes.set([0xf0, 0x9f], bytes.length - 2);
  const whole = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  for (const size of [101, 700, 4096, 4097, 5001, 65_536, bytes.length]) {
    const collector = new OutputCollector({
      maxBytes: Infinity,
      isText: true,
      truncates: false,
    });
    for (let at = 0; at < bytes.length; at += size) {
      collector.stdout(bytes.subarray(at, at + size));
    }
    const { stdout, stderr } = collector.result();
    assertEquals(stdout === whole, true, `pieces of ${size} bytes`);
    assertEquals(stderr, "");
  }
});

Deno.test("exec() tells who watches its output that it has ended, in whatever way", async () => {
  for (const reason of [undefined, new RangeError("lost")]) {
    let ended: Promise<void> | undefined;
    const running = runCommand("ops@web-1:22", {
      onStdout: (_chunk, source) => ended = source.ended,
    }, (listener) => ({
      isOver: false,
      mayHaveRun: true,
      ended: Promise.resolve(),
      open() {
        listener.onStdout(encode("so far"));
        if (reason !== undefined) return listener.onFailed(reason);
        listener.onFinished({ success: true, code: 0, signal: null });
      },
      write: () => undefined,
      endInput() {},
      resume() {},
      signal() {},
      resize() {},
      stop() {},
      terminate() {},
    }));
    assertEquals(await running.then(() => {}, (error) => error), reason);
    await ended;
    assertEquals(ended instanceof Promise, true);
  }
});
