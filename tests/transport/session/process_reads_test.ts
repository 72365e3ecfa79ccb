import { assert, assertEquals, assertRejects } from "@std/assert";
import { OutputLimitError } from "../../../transport/errors.ts";
import type { RemoteProcess } from "../../../transport/process.ts";
import {
  collectOutput,
  linesOf,
  textOf,
} from "../../../transport/session/process_reads.ts";
import { withSeed } from "../../kit/random.ts";

type Process = Pick<RemoteProcess, "stdin" | "stdout" | "stderr" | "status">;

/** A process that wrote all this, in these pieces. */
function written(...pieces: (string | Uint8Array)[]): Process & {
  closed: boolean;
} {
  const process = {
    closed: false,
    stdin: new WritableStream<Uint8Array>({
      close: () => void (process.closed = true),
    }),
    stdout: new ReadableStream<Uint8Array>({
      start(controller) {
        for (const piece of pieces) {
          controller.enqueue(
            typeof piece === "string"
              ? new TextEncoder().encode(piece)
              : new Uint8Array(piece),
          );
        }
        controller.close();
      },
    }),
    stderr: new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new Uint8Array(1));
        controller.close();
      },
    }),
    status: Promise.resolve({ success: true, code: 0, signal: null }),
  };
  return process;
}

const lines = (...pieces: (string | Uint8Array)[]) =>
  Array.fromAsync(linesOf(written(...pieces)));

Deno.test("RemoteProcess.lines() gives lines without their ends, and the last one without an end too", async () => {
  assertEquals(await lines("a\nb", "c\n\nd"), ["a", "bc", "", "d"]);
  assertEquals(await lines("a\r\nb\r", "\nc\rd\n"), ["a", "b", "c\rd"]);
  assertEquals(await lines(), []);
  assertEquals(await lines("\n"), [""]);
  assertEquals(await lines("\ufeffa\n"), ["\ufeffa"]);
});

Deno.test("RemoteProcess.lines() stops a process that writes a line without an end", async () => {
  const mebibyte = new Uint8Array(1024 * 1024);
  let given = 0;
  const whole = written();
  const stopped = Promise.withResolvers<unknown>();
  const stdout = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(given++ === 0 ? Uint8Array.of(10) : mebibyte);
    },
    cancel: stopped.resolve,
  });
  const got: string[] = [];
  await assertRejects(
    async () => {
      for await (const line of linesOf({ ...whole, stdout })) got.push(line);
    },
    OutputLimitError,
    "a line of more than 67108864 characters",
  );
  await stopped.promise;
  assertEquals(got, [""]);
});

Deno.test("RemoteProcess.lines() and text() decode a character that is split at any byte", async () => {
  const all = "é€😀\n-é€😀";
  const bytes = new TextEncoder().encode(all);
  for (let at = 0; at <= bytes.length; at++) {
    const pieces = [bytes.subarray(0, at), bytes.subarray(at)];
    assertEquals(await lines(...pieces), all.split("\n"), `at ${at}`);
    assertEquals(await textOf(written(...pieces)), all, `at ${at}`);
  }
  const single = [...bytes].map((byte) => new Uint8Array([byte]));
  assertEquals(await lines(...single), all.split("\n"));
  assertEquals(await textOf(written(...single)), all);
});

Deno.test("RemoteProcess.lines() gives the same lines however the output is cut", () =>
  withSeed(async (random) => {
    for (let round = 0; round < 100; round++) {
      const expected = Array.from(
        { length: random.below(20) },
        () => "€é".repeat(random.below(30)),
      );
      const bytes = new TextEncoder().encode(
        expected.map((line) => `${line}\n`).join(""),
      );
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length;) {
        const end = at + 1 + random.below(40);
        pieces.push(bytes.subarray(at, end));
        at = end;
      }
      assertEquals(await lines(...pieces), expected);
    }
  }));

Deno.test("RemoteProcess.lines() reads a line of 32 MiB once, and not once for each piece of it", async () => {
  const piece = "x".repeat(16 * 1024);
  const start = performance.now();
  const [line, ...rest] = await lines(...Array(2048).fill(piece), "\n");
  assertEquals([line?.length, rest], [32 * 1024 * 1024, []]);
  // Once for each piece is 32 GiB of text, which takes far longer.
  assert(performance.now() - start < 10_000);
});

Deno.test("RemoteProcess.lines() cancels the output when its loop is left", async () => {
  let cancelled = false;
  const open: Process = {
    ...written(),
    stdout: new ReadableStream({
      start: (controller) => controller.enqueue(new Uint8Array([97, 10])),
      cancel: () => void (cancelled = true),
    }),
  };
  for await (const line of linesOf(open)) {
    assertEquals(line, "a");
    break;
  }
  assertEquals(cancelled, true);
});

Deno.test("RemoteProcess.text() and output() close standard input, unless somebody holds it", async () => {
  for (const read of [textOf, collectOutput]) {
    const process = written("a");
    await read(process);
    assertEquals(process.closed, true);
    const held = written("a");
    held.stdin.getWriter();
    await read(held);
    assertEquals(held.closed, false);
  }
});

Deno.test("RemoteProcess.text() and lines() leave standard error to those who have begun to read it", async () => {
  for (const read of [textOf, (it: Process) => Array.fromAsync(linesOf(it))]) {
    const process = written("a\n");
    const reader = process.stderr.getReader();
    await read(process);
    assertEquals((await reader.read()).value?.length, 1);
    const free = written("a\n");
    await read(free);
    await new Promise((resolve) => setTimeout(resolve)); // to its end
    const { done } = await free.stderr.getReader().read();
    assertEquals(done, true, "it was read along");
  }
});

Deno.test("RemoteProcess.output() and text() give the rest of an output that was read in part", async () => {
  const process = written("first", "second");
  const reader = process.stdout.getReader();
  await reader.read();
  reader.releaseLock();
  assertEquals(await textOf(process), "second");
});
