import { assertEquals, assertMatch } from "@std/assert";
import { ChannelOpenError } from "../../../transport/errors.ts";
import {
  listenSocks,
  type ListenSocksOptions,
  type OpenTunnel,
} from "../../../transport/forward/listen.ts";
import type { ForwardTarget } from "../../../transport/host/target.ts";
import {
  dialForward,
  ended,
  exchange,
  openPlain,
  readAll,
  readBytes,
  TestServer,
} from "./_kit.ts";

const HELLO = [5, 1, 0];
const SUCCEEDED = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

function start(open: OpenTunnel, options: Partial<ListenSocksOptions> = {}) {
  return listenSocks(open, { listen: 0, ...options });
}

const domain = (name: string, port: number) => [
  5,
  1,
  0,
  3,
  name.length,
  ...new TextEncoder().encode(name),
  port >> 8,
  port & 255,
];

/** A request of SOCKS4, or with a name of 4a. */
function socks4(
  address: number[],
  port: number,
  user: string,
  command = 1,
  name?: string,
): number[] {
  const text = (it: string) => [...new TextEncoder().encode(it), 0];
  return [
    4,
    command,
    port >> 8,
    port & 255,
    ...address,
    ...text(user),
    ...name === undefined ? [] : text(name),
  ];
}

/** Opens to the server whatever is asked for, and notes it. */
function spy(server: TestServer) {
  const targets: ForwardTarget[] = [];
  const open: OpenTunnel = (target) => {
    targets.push(target);
    return openPlain(server.target);
  };
  return { targets, open };
}

Deno.test("listenSocks() takes IPv4 and IPv6 addresses and names, in one piece and byte by byte", async () => {
  await using server = await TestServer.start();
  const { targets, open } = spy(server);
  await using forward = await start(open);
  const requests = [
    [5, 1, 0, 1, 10, 0, 0, 7, 0, 80],
    [5, 1, 0, 4, 0xfe, 0x80, ...Array(13).fill(0), 1, 0x1f, 0x90],
    domain("db.internal", 5432),
  ];
  for (const request of requests) {
    for (const bytewise of [false, true]) {
      const client = await dialForward(forward);
      client.setNoDelay(true);
      // With early data behind the request, as fast clients send it.
      const bytes = [...HELLO, ...request, ...new TextEncoder().encode("hi")];
      if (bytewise) {
        for (const byte of bytes) {
          await new Promise<unknown>((resolve) =>
            client.write(Uint8Array.of(byte), resolve)
          );
        }
      } else client.write(Uint8Array.from(bytes));
      const answer = await readBytes(client, 14);
      assertEquals([...answer], [5, 0, ...SUCCEEDED, 104, 105]);
      assertEquals(await exchange(client, ""), "");
    }
  }
  assertEquals(targets.filter((_, i) => i % 2 === 0), [
    { hostname: "10.0.0.7", port: 80 },
    { hostname: "fe80:0:0:0:0:0:0:1", port: 8080 },
    { hostname: "db.internal", port: 5432 },
  ]);
});

Deno.test("listenSocks() takes addresses of SOCKS4 and names of 4a, in one piece and byte by byte", async () => {
  await using server = await TestServer.start();
  const { targets, open } = spy(server);
  await using forward = await start(open);
  const requests = [
    socks4([10, 0, 0, 7], 80, ""),
    socks4([10, 0, 0, 7], 80, "u".repeat(255)),
    socks4([0, 0, 0, 1], 5432, "ops", 1, "db.internal"),
    socks4([0, 0, 0, 255], 8080, "", 1, "::1"),
    // Not 4a: the last byte is 0.
    socks4([0, 0, 0, 0], 8080, "ops"),
  ];
  for (const request of requests) {
    for (const bytewise of [false, true]) {
      const client = await dialForward(forward);
      client.setNoDelay(true);
      const bytes = [...request, ...new TextEncoder().encode("hi")];
      if (bytewise) {
        for (const byte of bytes) {
          await new Promise<unknown>((resolve) =>
            client.write(Uint8Array.of(byte), resolve)
          );
        }
      } else client.write(Uint8Array.from(bytes));
      const answer = await readBytes(client, 10);
      assertEquals([...answer], [0, 90, 0, 0, 0, 0, 0, 0, 104, 105]);
      assertEquals(await exchange(client, ""), "");
    }
  }
  assertEquals(targets.filter((_, i) => i % 2 === 0), [
    { hostname: "10.0.0.7", port: 80 },
    { hostname: "10.0.0.7", port: 80 },
    { hostname: "db.internal", port: 5432 },
    { hostname: "::1", port: 8080 },
    { hostname: "0.0.0.0", port: 8080 },
  ]);
});

/** No zero byte, and one more than there may be. */
const endless = Array<number>(256).fill(97);

const refusals: [string, number[], number[]][] = [
  ["a client that wants to log in", [5, 1, 2], [5, 255]],
  ["SOCKS3", [3, 1, 0, 80, 1, 2, 3, 4, 0], []],
  ["a target that is a path", [...HELLO, ...domain("/run/x", 80)], [
    5,
    0,
    5,
    4,
  ]],
  ["BIND of SOCKS4", socks4([10, 0, 0, 7], 80, "", 2), [0, 91]],
  ["an empty name of SOCKS4a", socks4([0, 0, 0, 1], 80, "me", 1, ""), [0, 91]],
  ["port 0 of SOCKS4", socks4([10, 0, 0, 7], 0, "me"), [0, 91]],
  ["an endless user id", [4, 1, 0, 80, 1, 2, 3, 4, ...endless], [0, 91]],
  ["an endless name", [4, 1, 0, 80, 0, 0, 0, 9, 0, ...endless], [0, 91]],
  ["HTTP", [...new TextEncoder().encode("GET / HTTP/1.1\r\n")], []],
  ["BIND", [...HELLO, 5, 2, 0, 1, 1, 2, 3, 4, 0, 80], [5, 0, 5, 7]],
  ["an unknown address type", [...HELLO, 5, 1, 0, 9, 1, 2], [5, 0, 5, 8]],
  ["a name with a zero byte", [...HELLO, ...domain("a\0b", 80)], [5, 0, 5, 4]],
  ["an empty name", [...HELLO, ...domain("", 80)], [5, 0, 5, 4]],
  ["port 0", [...HELLO, ...domain("db", 0)], [5, 0, 5, 4]],
];

for (const [what, sent, answer] of refusals) {
  Deno.test(`listenSocks() answers ${what} as the protocol says, and goes on`, async () => {
    await using server = await TestServer.start();
    const { targets, open } = spy(server);
    const errors: unknown[] = [];
    await using forward = await start(open, {
      onError: (error) => void errors.push(error),
    });
    const client = await dialForward(forward);
    client.write(Uint8Array.from(sent));
    if (answer.length > 0) {
      const got = await readBytes(client, answer.length);
      assertEquals([...got].slice(0, answer.length), answer);
      client.end();
    }
    await ended(client);
    assertEquals(targets, []);
    const next = await dialForward(forward);
    next.write(Uint8Array.from([...HELLO, ...domain("db", 1)]));
    assertEquals((await readBytes(next, 12)).length, 12);
    next.end();
    await ended(next);
    assertEquals(errors.length, 1);
    assertMatch(String(errors[0]), /Cannot serve the SOCKS client/);
  });
}

const codes: [Error, number][] = [
  [refused(1, "administratively prohibited"), 2],
  [refused(2, "Connection refused"), 5],
  [refused(2, "Network is unreachable"), 3],
  [refused(2, "No route to host"), 4],
  [refused(2, "Name or service not known"), 4],
  [refused(2, "Connection timed out"), 4],
  [refused(4, "resource shortage"), 1],
  [new Error("lost"), 1],
];

function refused(reason: number, why: string): ChannelOpenError {
  return new ChannelOpenError(
    `Cannot open a channel on "refused host name": the server refused with reason ${reason}: ${why}`,
    { reason },
  );
}

Deno.test("listenSocks() tells the client why the server refused", async () => {
  let failure = new Error();
  await using forward = await start(() => Promise.reject(failure));
  for (const [error, code] of codes) {
    failure = error;
    const client = await dialForward(forward);
    client.end(Uint8Array.from([...HELLO, ...domain("db", 1)]));
    const answer = await readAll(client);
    assertEquals(answer.charCodeAt(3), code, error.message);
    assertEquals(answer.length, 12);
    // SOCKS4 has one word for all of it.
    const older = await dialForward(forward);
    older.end(Uint8Array.from(socks4([10, 0, 0, 7], 80, "ops")));
    assertEquals(await readAll(older), "\0\x5b\0\0\0\0\0\0");
  }
});

Deno.test("listenSocks() ends a client that is silent for handshakeTimeoutMs, wherever it stops", async () => {
  const errors: string[] = [];
  await using forward = await start(() => Promise.reject(new Error("bug")), {
    handshakeTimeoutMs: 50,
    onError: (error) => void errors.push(String(error)),
  });
  for (
    const sent of [
      [],
      [5],
      [5, 3, 1],
      [...HELLO, 5, 1],
      [
        ...HELLO,
        5,
        1,
        0,
        3,
        200,
        97,
      ],
      [4],
      [4, 1, 0, 80, 1, 2],
      [4, 1, 0, 80, 1, 2, 3, 4, 97],
      [
        4,
        1,
        0,
        80,
        0,
        0,
        0,
        9,
        0,
        100,
      ],
    ]
  ) {
    const client = await dialForward(forward);
    client.write(Uint8Array.from(sent));
    await ended(client);
  }
  assertEquals(errors.length, 9);
  for (const error of errors) {
    assertMatch(error, /did not say where to within 50 ms/);
  }
});

Deno.test("listenSocks() holds little of what a client sends before the answer", async () => {
  let opened!: (signal: AbortSignal) => void;
  const opening = new Promise<AbortSignal>((resolve) => opened = resolve);
  const forward = await start((_target, { signal }) => {
    opened(signal);
    return new Promise((_resolve, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason))
    );
  });
  const client = await dialForward(forward);
  client.write(Uint8Array.from([...HELLO, ...domain("db", 1)]));
  let flushed = false;
  client.write(new Uint8Array(64 * 1024 * 1024), () => flushed = true);
  await opening;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assertEquals(flushed, false);
  await forward.close();
  await ended(client);
});
