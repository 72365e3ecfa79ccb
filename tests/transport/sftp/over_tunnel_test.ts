// SFTP over the bytes of a subsystem, or of a program that sudo has started.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { mock } from "node:test";
import type { Connection } from "../../../transport/connector.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import type { RemoteProcess } from "../../../transport/process.ts";
import { sftpOf, sftpOver } from "../../../transport/sftp/over_tunnel.ts";
import type { Sftp } from "../../../transport/sftp/sftp.ts";
import { startSudoSftp } from "../../../transport/sftp/sudo_sftp.ts";

const VERSION = Uint8Array.of(0, 0, 0, 5, 2, 0, 0, 0, 3);
const host = { hostname: "db1", port: 22, user: "ops" };
const turns = async () => {
  for (let turn = 0; turn < 50; turn++) await null;
};

/**
 * A tunnel whose far side says what the test says, and takes nothing in the end.
 *
 * @param takes Whether it takes what comes now.
 */
function silentTunnel(takes: () => boolean = () => false) {
  let say!: ReadableStreamDefaultController<Uint8Array>;
  const tunnel = {
    readable: new ReadableStream<Uint8Array>({
      start: (controller) => void (say = controller),
    }),
    writable: new WritableStream<Uint8Array>({
      write: () => takes() ? undefined : new Promise(() => {}),
    }, {
      highWaterMark: 1,
      size: (chunk) => {
        tunnel.queued += chunk.length;
        return chunk.length;
      },
    }),
    queued: 0,
    closings: 0,
    close: () => void tunnel.closings++,
  };
  return { tunnel, say };
}

async function start(takes?: () => boolean): Promise<
  ReturnType<typeof silentTunnel> & { sftp: Sftp }
> {
  const parts = silentTunnel(takes);
  const starting = sftpOver(parts.tunnel, { host: "db1", signal: undefined });
  parts.say.enqueue(VERSION);
  return { ...parts, sftp: await starting };
}

Deno.test("sftpOver() closes its tunnel once, with the session", async () => {
  const { tunnel, sftp } = await start();
  sftp.close();
  sftp.close();
  assertEquals(tunnel.closings, 1);
});

Deno.test("sftpOver() gives a tunnel that takes nothing no more than 256 KiB and a piece", async () => {
  const { tunnel, sftp } = await start();
  const path = "x".repeat(1000);
  const calls = Array.from(
    { length: 1000 },
    () => sftp.stat(path).catch(() => {}),
  );
  await turns();
  assert(tunnel.queued > 256 * 1024, `${tunnel.queued} bytes`);
  assert(tunnel.queued < 300 * 1024, `${tunnel.queued} bytes`);
  sftp.close();
  await Promise.all(calls);
});

Deno.test("sftpOver() gives a tunnel as much again when it has taken what it was given", async () => {
  let takes = true;
  const { tunnel, sftp } = await start(() => takes);
  const path = "x".repeat(1000);
  const calls: Promise<unknown>[] = [];
  const ask = (count: number) => {
    for (let i = 0; i < count; i++) calls.push(sftp.stat(path).catch(() => {}));
  };
  for (let i = 0; i < 10; i++) {
    ask(100);
    await turns();
  }
  assert(tunnel.queued > 1_000_000, `${tunnel.queued} bytes`);
  takes = false;
  const before = tunnel.queued;
  ask(1000);
  await turns();
  const queued = tunnel.queued - before;
  assert(queued > 256 * 1024, `${queued} bytes`);
  sftp.close();
  await Promise.all(calls);
});

Deno.test("sftpOver() waits 20 s at most for the first word of a server", async () => {
  const { tunnel } = silentTunnel();
  mock.timers.enable({ apis: ["setTimeout"] } as never);
  try {
    const starting = assertRejects(
      () => sftpOver(tunnel, { host: "db1", signal: undefined }),
      ConnectionLostError,
      "does not answer",
    );
    await turns();
    mock.timers.tick(20_000);
    await starting;
    assertEquals(tunnel.closings, 1);
  } finally {
    mock.timers.reset();
  }
});

Deno.test("sftpOver() says why a program has ended that says so behind its output", async () => {
  const { tunnel, say } = silentTunnel();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  let words = "";
  const withWords = { ...tunnel, ended, lastWords: () => words };
  const starting = assertRejects(
    () => sftpOver(withWords, { host: "db1", signal: undefined }),
    Error,
    "exit code 1: no such user",
  );
  say.close();
  await turns();
  words = "exit code 1: no such user";
  end();
  await starting;
});

Deno.test("sftpOf() starts the subsystem with the signal of its caller", async () => {
  const { signal } = new AbortController();
  const { tunnel, say } = silentTunnel();
  say.enqueue(VERSION);
  let given: unknown;
  const connection = {
    host,
    subsystem: (name: string, options: unknown) => {
      given = [name, options];
      return Promise.resolve(tunnel);
    },
  };
  const sftp = await sftpOf(connection as unknown as Connection, signal);
  sftp!.close();
  assertEquals(given, ["sftp", { signal }]);
});

Deno.test("startSudoSftp() has all that it does ended by its signal, and ends its program with the session", async () => {
  const { signal } = new AbortController();
  const { tunnel, say } = silentTunnel();
  say.enqueue(VERSION);
  const signals: unknown[] = [];
  const status = Promise.withResolvers<unknown>();
  const process = {
    stdout: tunnel.readable,
    stdin: tunnel.writable,
    stderr: new ReadableStream({ start: (it) => it.close() }),
    status: status.promise,
    [Symbol.asyncDispose]: () => {
      status.resolve({ code: 0, signal: null });
      return Promise.resolve();
    },
  };
  const connection = {
    host,
    exec: (_command: unknown, options: { signal?: AbortSignal }) => {
      signals.push(options.signal);
      const stdout = "\nsshpool-sftp-server:/usr/lib/sftp-server\n";
      return Promise.resolve({ stdout });
    },
    spawn: (command: unknown, options: { signal?: AbortSignal }) => {
      assertEquals(command, ["/usr/lib/sftp-server"]);
      signals.push(options.signal);
      return Promise.resolve(process as unknown as RemoteProcess);
    },
  };
  const { sftp, ended } = await startSudoSftp(
    connection as unknown as Connection,
    { sudo: true, signal, onOpen: () => {} },
  );
  assertEquals(signals, [signal, signal]);
  sftp.close();
  await ended;
});
