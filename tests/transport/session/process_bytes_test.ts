import { assert, assertEquals } from "@std/assert";
import type { RemoteProcess } from "../../../transport/process.ts";
import {
  direct,
  type OutputSink,
  passBytes,
} from "../../../transport/session/process_bytes.ts";

const KIB = 1024;
const chunkOf = (size: number, value: number) =>
  new Uint8Array(size).fill(value);
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** A process that sends until it is asked to pause, and a little more. */
function directProcess() {
  let sink!: OutputSink;
  const resumed: string[] = [];
  const process = {
    [direct](given: OutputSink) {
      sink = given;
      return {
        hasRoom: (name: string) => void resumed.push(name),
        write: () => Promise.resolve(),
        end: () => {},
      };
    },
  } as unknown as RemoteProcess;
  return { process, resumed, send: (chunk: Uint8Array) => sink.stdout(chunk) };
}

/** Takes chunks one by one, as the test lets them through. */
function slowReceiver() {
  const taken: number[] = [];
  const waiting: (() => void)[] = [];
  return {
    taken,
    pass(_name: string, chunk: Uint8Array): Promise<void> {
      taken.push(chunk[0]!);
      return new Promise((resolve) => waiting.push(resolve));
    },
    /** Lets one through; returns whether there was one. */
    async letOne(): Promise<boolean> {
      const next = waiting.shift();
      next?.();
      await turn();
      return next !== undefined;
    },
  };
}

Deno.test("passBytes() pauses its process when 256 KiB wait, and lets it go on when all has gone", async () => {
  const { process, resumed, send } = directProcess();
  const receiver = slowReceiver();
  const bytes = passBytes(process, receiver.pass);
  let sent = 0;
  while (send(chunkOf(32 * KIB, sent))) sent++;
  sent++;
  assertEquals(sent, 9, "one is on its way, and 256 KiB wait behind it");
  // A pause takes a while to be heard, and what waits has become less.
  for (let i = 0; i < 4; i++) await receiver.letOne();
  assertEquals(send(chunkOf(32 * KIB, sent++)), false);
  assertEquals(resumed, []);
  const all = bytes.passedOn();
  while (await receiver.letOne());
  await all;
  assertEquals(resumed, ["stdout"]);
  assertEquals(receiver.taken, Array.from({ length: sent }, (_, i) => i));
  assertEquals(bytes.passedOn(), undefined);
});

Deno.test("passBytes() keeps what waits, and not the buffer that it came in", async () => {
  const { process, send } = directProcess();
  const receiver = slowReceiver();
  passBytes(process, receiver.pass);
  send(chunkOf(1, 1));
  const buffer = chunkOf(1, 2);
  assert(send(buffer));
  buffer.fill(9);
  await receiver.letOne();
  assertEquals(receiver.taken, [1, 2]);
  await receiver.letOne();
});

Deno.test("passBytes() passes the streams of a process of another library", async () => {
  const written: number[] = [];
  const got: [string, number][] = [];
  const process = {
    stdout: ReadableStream.from([chunkOf(2, 1), chunkOf(1, 2)]),
    stderr: ReadableStream.from([chunkOf(1, 3)]),
    stdin: new WritableStream<Uint8Array>({
      write: (chunk) => void written.push(chunk[0]!),
      close: () => void written.push(-1),
    }),
  } as unknown as RemoteProcess;
  const bytes = passBytes(process, (name, chunk) => {
    got.push([name, chunk[0]!]);
    return turn();
  });
  await bytes.write(chunkOf(1, 7));
  bytes.end();
  await bytes.passedOn();
  assertEquals(got.sort(), [["stderr", 3], ["stdout", 1], ["stdout", 2]]);
  assertEquals(written, [7, -1]);
});
