import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { PassThrough, Readable } from "node:stream";
import { isRepeatable, stdinFault } from "../../../transport/command/stdin.ts";
import { CommandError } from "../../../transport/command/errors.ts";
import type { StdinSource } from "../../../transport/process.ts";
import { openStdin } from "../../../transport/session/_byte_source.ts";

async function read(source: unknown): Promise<string> {
  const opened = openStdin(source as StdinSource);
  if (opened instanceof Uint8Array) return new TextDecoder().decode(opened);
  const parts = [];
  for (;;) {
    const piece = await opened.next();
    if (piece === undefined) break;
    parts.push(piece);
  }
  return new TextDecoder().decode(Buffer.concat(parts));
}

async function* pieces(...values: unknown[]): AsyncGenerator<unknown> {
  yield* values;
}

const bytes = new TextEncoder().encode("x é y");
const shared = new Uint8Array(new SharedArrayBuffer(3));
shared.set([97, 98, 99]);

/** Makers, since a stream can be used once. */
const GOOD: [string, () => unknown, string][] = [
  ["a string", () => "x é y", "x é y"],
  ["an empty string", () => "", ""],
  ["bytes", () => bytes, "x é y"],
  ["a Buffer", () => Buffer.from("abc"), "abc"],
  ["a part of a buffer", () => new Uint8Array(bytes.buffer, 2, 2), "é"],
  ["a DataView", () => new DataView(bytes.buffer, 0, 1), "x"],
  ["16-bit numbers", () => new Uint16Array([0x6261]), "ab"],
  ["shared memory", () => shared, "abc"],
  ["an ArrayBuffer", () => bytes.buffer.slice(0), "x é y"],
  ["a Blob", () => new Blob(["a", "bc"]), "abc"],
  ["a File", () => new File(["abc"], "name"), "abc"],
  [
    "a stream of bytes",
    () => ReadableStream.from([bytes, bytes]),
    "x é yx é y",
  ],
  ["a stream of text", () => ReadableStream.from(["a", "", "é"]), "aé"],
  [
    "a byte stream",
    () =>
      new ReadableStream({
        type: "bytes",
        start(it) {
          it.enqueue(new Uint8Array([97]));
          it.close();
        },
      }),
    "a",
  ],
  ["a Node Readable", () => Readable.from([Buffer.from("a"), "b"]), "ab"],
  ["a generator", () => pieces("a", bytes, new ArrayBuffer(1)), "ax é y\0"],
  [
    "a character that two pieces share",
    () => pieces("a\ud83d", "\ude00b\ud83d", Buffer.from("c"), "\ud83d"),
    "a\u{1f600}b\ufffdc\ufffd",
  ],
];

for (const [name, make, expected] of GOOD) {
  Deno.test(`openStdin() reads ${name}`, async () => {
    assertEquals(stdinFault(make()), undefined);
    assertEquals(await read(make()), expected);
  });
}

Deno.test("openStdin() copies memory that other threads can change", () => {
  const opened = openStdin(shared);
  assert(opened instanceof Uint8Array);
  assert(!(opened.buffer instanceof SharedArrayBuffer));
});

Deno.test("openStdin() gives what is at hand at once, so that it goes out with the command", () => {
  for (const source of ["abc", bytes, bytes.buffer, new Uint8Array(0)]) {
    assert(openStdin(source as StdinSource) instanceof Uint8Array);
  }
});

function locked(): ReadableStream {
  const stream = ReadableStream.from(["a"]);
  stream.getReader();
  return stream;
}

async function readOnce(): Promise<ReadableStream> {
  const stream = ReadableStream.from(["a", "b"]);
  const reader = stream.getReader();
  await reader.read();
  reader.releaseLock();
  return stream;
}

async function ended(): Promise<Readable> {
  const stream = Readable.from(["a"]);
  for await (const _ of stream);
  return stream;
}

function destroyed(): Readable {
  const stream = new PassThrough();
  stream.destroy();
  return stream;
}

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
  return buffer;
}

const BAD: [string, () => unknown][] = [
  ["null", () => null],
  ["undefined", () => undefined],
  ["a number", () => 5],
  ["a boolean", () => true],
  ["a function", () => () => {}],
  ["an object", () => ({})],
  ["an array", () => ["a"]],
  ["a Map", () => new Map()],
  ["a Promise", () => Promise.resolve("a")],
  ["a Generator", () => (function* () {})()],
  ["a locked ReadableStream", locked],
  ["a ReadableStream that was already read from", readOnce],
  ["a Readable that has ended", ended],
  ["a destroyed Readable", destroyed],
  ["a detached ArrayBuffer", detached],
];

for (const [name, make] of BAD) {
  Deno.test(`stdinFault() refuses ${name}, and openStdin() does too`, async () => {
    const value = name === "a Promise" ? make() : await make();
    assertEquals(stdinFault(value), name);
    assertThrows(
      () => openStdin(value as StdinSource),
      TypeError,
      `Cannot read stdin: it is ${name}, must be a string`,
    );
  });
}

Deno.test("stdinFault() neither locks nor reads a stream", async () => {
  let pulls = 0;
  const stream = new ReadableStream({
    pull(it) {
      pulls++;
      it.enqueue("a");
      it.close();
    },
  }, { highWaterMark: 0 });
  assertEquals(stdinFault(stream), undefined);
  assertEquals([stream.locked, pulls], [false, 0]);
  assertEquals(await read(stream), "a");
});

Deno.test("openStdin() names stdin when a source yields what is neither bytes nor text", async () => {
  for (
    const [value, found] of [
      [5, "a number"],
      [null, "null"],
      [{}, "an object"],
      [["a"], "an array"],
    ]
  ) {
    await assertRejects(
      () => read(pieces("a", value)),
      TypeError,
      `Cannot read stdin: it yielded ${found}, must yield a Uint8Array`,
    );
    await assertRejects(
      () => read(ReadableStream.from(["a", value])),
      TypeError,
      `Cannot read stdin: it yielded ${found}`,
    );
  }
});

Deno.test("openStdin() hands on what a source throws", async () => {
  const failing = (function () {
    let n = 0;
    return {
      [Symbol.asyncIterator]: () => ({
        next() {
          if (n++ > 0) throw new RangeError("by the caller");
          return Promise.resolve({ value: "a" });
        },
      }),
    };
  })();
  await assertRejects(() => read(failing), RangeError, "by the caller");
  const stream = new ReadableStream({
    pull: () => Promise.reject(new RangeError("by the caller")),
  });
  await assertRejects(() => read(stream), RangeError, "by the caller");
});

Deno.test("ByteSource.cancel() cancels a stream, returns an iterator and destroys a Node stream", async () => {
  let reason: unknown;
  const stream = new ReadableStream({ cancel: (why) => void (reason = why) });
  const fromStream = openStdin(stream);
  assert(!(fromStream instanceof Uint8Array));
  const pending = fromStream.next();
  fromStream.cancel("enough");
  assertEquals(await pending, undefined);
  assertEquals(reason, "enough");

  let returned = false;
  const iterable = (async function* () {
    try {
      yield "a";
      yield "b";
    } finally {
      returned = true;
    }
  })();
  const fromIterable = openStdin(iterable);
  assert(!(fromIterable instanceof Uint8Array));
  await fromIterable.next();
  fromIterable.cancel();
  assertEquals(await fromIterable.next(), undefined);
  assertEquals(returned, true);

  // One that never yields anything: its iterator would wait for ever.
  const node = new PassThrough();
  const fromNode = openStdin(node as AsyncIterable<Uint8Array>);
  assert(!(fromNode instanceof Uint8Array));
  const waiting = fromNode.next();
  fromNode.cancel();
  await waiting.catch(() => {});
  assertEquals(node.destroyed, true);
});

Deno.test("ByteSource.cancel() throws nothing, whatever the source does then", async () => {
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.resolve({ value: "a" }),
      return: () => {
        throw new Error("by the caller");
      },
    }),
  };
  const opened = openStdin(source);
  assert(!(opened instanceof Uint8Array));
  await opened.next();
  opened.cancel();
  opened.cancel();
  const stream = openStdin(
    new ReadableStream({ cancel: () => Promise.reject(new Error("x")) }),
  );
  assert(!(stream instanceof Uint8Array));
  stream.cancel();
});

Deno.test("isRepeatable() knows what can be sent twice", () => {
  for (const it of [undefined, "a", bytes, bytes.buffer, new Blob(["a"])]) {
    assertEquals(isRepeatable(it), true);
  }
  for (const it of [ReadableStream.from(["a"]), pieces("a")]) {
    assertEquals(isRepeatable(it as StdinSource), false);
  }
});

/** A process of Deno, without starting one. */
function localProcess(code: number) {
  return {
    stdout: ReadableStream.from([bytes]),
    status: Promise.resolve({ success: code === 0, code, signal: null }),
  };
}

Deno.test("openStdin() reads a process of this machine, and throws if it failed", async () => {
  assertEquals(stdinFault(localProcess(0)), undefined);
  assertEquals(await read(localProcess(0)), "x é y");
  const error = await assertRejects(
    () => read(localProcess(2)),
    CommandError,
    "The process that stdin reads failed with exit code 2",
  );
  assertEquals([error.exitCode, error.host, error.hint], [
    2,
    undefined,
    undefined,
  ]);
  assertEquals(isRepeatable(localProcess(0)), false);
  assertEquals(
    stdinFault({ status: Promise.resolve(), stdout: null }),
    "an object",
  );
});

Deno.test("openStdin() names what the status of a process resolved to, if that is none", async () => {
  for (const [given, shown] of [[undefined, "undefined"], [{}, "an object"]]) {
    const process = { ...localProcess(0), status: Promise.resolve(given) };
    await assertRejects(
      () => read(process as StdinSource),
      TypeError,
      "Cannot read stdin: the status of the process resolved to " +
        `${shown}, must be an object with success`,
    );
  }
});
