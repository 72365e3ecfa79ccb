// A process over a session that the test plays: what of the streams reaches the
// session, and what of the session reaches the streams.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CommandError } from "../../../transport/command/errors.ts";
import type { RemoteProcess } from "../../../transport/process.ts";
import { openStdin } from "../../../transport/session/_byte_source.ts";
import {
  type ProcessParts,
  startProcess,
} from "../../../transport/session/process.ts";
import type {
  RemoteSession,
  SessionListener,
} from "../../../transport/session/remote_session.ts";

const CHUNK = new Uint8Array(64 * 1024);
const encode = (text: string) => new TextEncoder().encode(text);

/** A session that does nothing by itself. */
class PlayedSession implements RemoteSession {
  readonly told: string[] = [];
  readonly listener: SessionListener;
  readonly ended: Promise<void> = Promise.resolve();
  readonly mayHaveRun = true;
  isOver = false;
  /** Whether output may come. */
  mayFlow = true;

  constructor(listener: SessionListener) {
    this.listener = listener;
  }

  open(): void {
    this.listener.onSent();
    this.listener.onStarted();
  }

  write(chunk: Uint8Array): undefined {
    this.told.push(`write ${new TextDecoder().decode(chunk)}`);
  }

  endInput(): void {
    this.told.push("end of input");
  }

  resume(): void {
    this.mayFlow = true;
  }

  signal(name: string): void {
    this.told.push(`signal ${name}`);
  }

  resize(columns: number, rows: number): void {
    this.told.push(`resize ${columns} ${rows}`);
  }

  stop(reason: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.listener.onFailed(reason);
  }

  terminate(): void {}

  /** Sends output while it may; how many pieces were sent. */
  flood(stream: "stdout" | "stderr", pieces: number): number {
    const { listener } = this;
    const send = (chunk: Uint8Array) =>
      stream === "stdout" ? listener.onStdout(chunk) : listener.onStderr(chunk);
    let sent = 0;
    for (; sent < pieces && this.mayFlow; sent++) this.mayFlow = send(CHUNK);
    return sent;
  }

  finish(code: number): void {
    this.isOver = true;
    this.listener.onEof();
    this.listener.onFinished({ success: code === 0, code, signal: null });
  }
}

async function start(
  options: ProcessParts["options"] = {},
): Promise<[RemoteProcess, PlayedSession]> {
  let session: PlayedSession | undefined;
  const process = await startProcess(
    { host: "ops@web-1:22", options, pty: {}, stallMs: 1000 },
    (listener) => session = new PlayedSession(listener),
  );
  return [process, session!];
}

/** Reads until nothing comes without waiting. */
async function drain(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  pieces: number,
): Promise<void> {
  for (let i = 0; i < pieces; i++) await reader.read();
}

for (
  const [full, read] of [["stderr", "stdout"], ["stdout", "stderr"]] as const
) {
  Deno.test(`RemoteProcess stops its sender when ${full} is full, although ${read} is read, until there is room`, async () => {
    const [process, session] = await start();
    const sent = session.flood(full, 1000);
    assert(sent < 10, `${sent} pieces are kept of ${full}`);
    const reader = process[read].getReader();
    session.listener[read === "stdout" ? "onStdout" : "onStderr"](CHUNK);
    await reader.read();
    // Room in the other one is not room in this one.
    assertEquals(session.mayFlow, false);
    await drain(process[full].getReader(), sent);
    assertEquals(session.mayFlow, true);
    session.finish(0);
  });
}

Deno.test("RemoteProcess goes on when a full stderr is cancelled, and drops what still comes of it", async () => {
  const [process, session] = await start();
  session.flood("stderr", 1000);
  await process.stderr.cancel();
  assertEquals([session.mayFlow, session.isOver], [true, false]);
  assertEquals(session.flood("stderr", 1000), 1000);
  session.finish(0);
  assertEquals((await process.status).code, 0);
});

Deno.test("RemoteProcess fails both outputs, the status, and the input of a process that was lost", async () => {
  const [process, session] = await start();
  session.listener.onStderr(encode("so far"));
  const reason = new RangeError("lost");
  session.stop(reason);
  for (const stream of [process.stdout, process.stderr]) {
    await assertRejects(() => stream.getReader().read(), RangeError, "lost");
  }
  await assertRejects(() => process.status, RangeError, "lost");
  const writer = process.stdin.getWriter();
  await assertRejects(() => writer.write(encode("x")), RangeError, "lost");
});

Deno.test("RemoteProcess with check ends no output before its exit code is known", async () => {
  for (const code of [0, 4]) {
    const [process, session] = await start({ check: true });
    session.listener.onStdout(encode("all"));
    session.listener.onEof();
    const reader = process.stdout.getReader();
    await reader.read();
    let isOver = false;
    const end = reader.read().finally(() => isOver = true);
    end.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(isOver, false);
    session.finish(code);
    if (code === 0) assertEquals((await end).done, true);
    else await assertRejects(() => end, CommandError, "exit code 4");
  }
});

Deno.test("RemoteProcess keeps the end of standard error for its CommandError, and no more", async () => {
  const [process, session] = await start({ check: true });
  const flood = encode("x".repeat(100_000));
  session.listener.onStderr(flood);
  // Packets are used again: what was kept is a copy.
  flood.fill(0);
  for (const piece of ["no ", "space", " left\n"]) {
    session.listener.onStderr(encode(piece));
  }
  session.finish(2);
  const error = await assertRejects(() => process.status, CommandError);
  assert(error.message.endsWith("xno space left"), error.message);
  assertEquals(error.stdout, "");
  assert(error.stderr.length < 10_000, `${error.stderr.length} characters`);
  assert(!error.stderr.includes("\0"));
});

Deno.test("RemoteProcess gives a failure in its status alone without check", async () => {
  const [process, session] = await start();
  session.listener.onStdout(encode("part"));
  session.finish(2);
  assertEquals(await process.text(), "part");
  assertEquals((await process.status).code, 2);
});

Deno.test("RemoteProcess returns its source when it has ended before it read all", async () => {
  for (const end of ["finish", "stop"] as const) {
    let returned = 0;
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => {}),
        return: () => {
          returned++;
          return Promise.resolve({ done: true as const, value: undefined });
        },
      }),
    };
    const [process, session] = await start({ stdin: source });
    if (end === "finish") session.finish(0);
    else session.stop(new RangeError("lost"));
    await process.status.catch(() => {});
    await Promise.resolve();
    assertEquals(returned, 1, end);
    assertEquals(session.told, [], "no end of input was sent");
  }
});

Deno.test("RemoteProcess whose output another command reads has its input closed, and its standard error read", async () => {
  const [process, session] = await start();
  const source = openStdin(process);
  assert(!(source instanceof Uint8Array));
  await Promise.resolve();
  assertEquals(session.told, ["end of input"]);
  assertEquals(process.stderr.locked, true);
  session.listener.onStdout(encode("piece"));
  assertEquals(await source.next(), encode("piece"));
  session.finish(0);
  assertEquals(await source.next(), undefined);
});

Deno.test("RemoteProcess.kill() and resize() name what they are given", async () => {
  const [process, session] = await start();
  const kills: [unknown, string][] = [
    [null, "Cannot send the signal null: it must be one of"],
    [9, "Cannot send the signal 9: it must be one of"],
    ["NONE", 'Cannot send the signal "NONE": it must be one of'],
    [Symbol("x"), "Cannot send the signal a symbol"],
    [{ toString: () => "TERM" }, "Cannot send the signal an object"],
  ];
  for (const [name, message] of kills) {
    assertThrows(() => process.kill(name as string), TypeError, message);
  }
  const sizes: [unknown, ErrorConstructor, string][] = [
    [null, TypeError, "Cannot resize the terminal: options is null"],
    [5, TypeError, "Cannot resize the terminal: options is a number"],
    [{ cols: 5 }, TypeError, 'no option "cols", did you mean "columns"?'],
    [{ columns: "5" }, TypeError, 'columns is "5"'],
    [{ rows: 0 }, RangeError, "rows is 0, must be a whole number from 1"],
    [{ rows: 1.5 }, RangeError, "rows is 1.5"],
  ];
  for (const [size, type, message] of sizes) {
    assertThrows(() => process.resize(size as never), type, message);
  }
  process.kill("sigint");
  process.resize({ columns: 100, rows: 50 });
  assertEquals(session.told, ["signal INT", "resize 100 50"]);
  session.finish(0);
});
