/** No caller can hurt another: any option, any value, nine good calls beside. */

import { assert, assertEquals } from "@std/assert";
import { PassThrough } from "node:stream";
import {
  ConnectionPool,
  type ExecResult,
  type HostLike,
  SshError,
} from "../../mod.ts";
import {
  EmbeddedServer,
  MemoryConnector,
  type MemoryConnectorOptions,
} from "../../transport/testing/mod.ts";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";
import { Random, replay, seed } from "../kit/random.ts";

const NAMES = [
  "env",
  "envMode",
  "stdin",
  "signal",
  "timeoutMs",
  "killGraceMs",
  "maxOutputBytes",
  "onOutputLimit",
  "encoding",
  "check",
  "onOpen",
  "pty",
  "cwd",
  "login",
  "sudo",
  "idempotent",
  "acquireTimeoutMs",
  "timeout",
  "shell",
  "__proto__",
  "constructor",
  "",
];

/** What makes another line of a command, which a server may not understand. */
const CHANGES_LINE = ["cwd", "login", "sudo", "envMode"];

/** Makers, since a stream can be used once. */
const VALUES: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => true,
  () => 0,
  () => -1,
  () => NaN,
  () => Infinity,
  () => 2 ** 31,
  () => 1e300,
  () => 5n,
  () => "",
  () => "text",
  () => "bytes",
  () => "inline",
  () => "truncate",
  () => "/",
  () => "x".repeat(300_000),
  () => "a\0b",
  () => Symbol("s"),
  () => [],
  () => ["a", 1],
  () => ({}),
  () => ({ A: undefined }),
  () => ({ A: 1 }),
  () => ({ "A=B": "x" }),
  () => ({ A: "x\0y" }),
  () => ({ "": "x" }),
  () => ({ SSHPOOL_A: "x" }),
  () => ({ A: "x".repeat(300_000) }),
  () => ({ rows: 0 }),
  () => ({ rows: 10, columns: 10 }),
  () => ({ user: "nobody-at-all" }),
  () => ({ password: "x\n" }),
  () => new Map([["A", "b"]]),
  () => new Uint8Array(10),
  () => new ArrayBuffer(10),
  () => new Blob(["blob"]),
  () => new Date(0),
  () => new Error("an error"),
  () => () => {},
  () => () => {
    throw new Error("thrown by the caller");
  },
  () => Promise.resolve(1),
  () => AbortSignal.abort(new TypeError("aborted by the caller")),
  () => new ReadableStream({ start: (it) => it.close() }),
  () => ReadableStream.from(["a", "b"]),
  () => ReadableStream.from([1, null]),
  () => {
    const stream = ReadableStream.from([new Uint8Array(1)]);
    stream.getReader();
    return stream;
  },
  async function* () {
    yield "a";
    throw new Error("thrown by the caller");
  },
  async function* () {
    yield new Uint8Array(100_000);
    yield 5;
  },
  () => new PassThrough().end("a"),
  () => new PassThrough().destroy(),
  () =>
    new Proxy({}, {
      ownKeys() {
        throw new TypeError("thrown by the caller's proxy");
      },
    }),
];

interface Pair {
  readonly name: string;
  readonly make: () => unknown;
}

/** Walks all pairs of a name and a value, or a part of them, in random order. */
async function walk(
  pool: ConnectionPool,
  host: HostLike,
  dials: () => number,
  part = 1,
): Promise<void> {
  const random = new Random(seed);
  await pool.exec(host, "echo first");
  const pairs = NAMES.flatMap((name) => VALUES.map((make) => ({ name, make })));
  const all = [...pairs];
  while (all.length > pairs.length * (1 - part)) {
    const [one] = all.splice(random.below(all.length), 1) as [Pair];
    // Now and then two at once.
    const other = random.below(3) === 0 ? random.pick(pairs) : one;
    const options = Object.fromEntries(
      [other, one].map(({ name, make }) => [name, make()]),
    );
    const what = `${replay(seed)}: ${
      Deno.inspect(options, { strAbbreviateSize: 50 })
    }`;
    const good = (n: number) => pool.exec(host, `echo good-${n}`);
    const before = [1, 2, 3, 4].map(good);
    const call = random.below(3) === 0
      ? pool.spawn(host, "echo bad", options as never)
        .then((process) => process.output())
      : pool.exec(host, "echo bad", options as never);
    const bad = call.then((result) => ({ result }), (error) => ({ error }));
    const after = [5, 6, 7, 8, 9].map(good);
    const results = await Promise.all([...before, ...after]);
    assertEquals(
      results.map(({ code, stdout }) => `${code} ${stdout}`),
      [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `0 good-${n}\n`),
      what,
    );
    checkBad(await bad, options, what);
    assertEquals([pool.size, dials()], [1, 1], what);
  }
}

/** It succeeded rightly, or it says what was wrong. */
function checkBad(
  outcome: { result: ExecResult<string | Uint8Array> } | { error: unknown },
  options: object,
  what: string,
): void {
  if ("result" in outcome) {
    const { code, stdout } = outcome.result;
    const text = stdout instanceof Uint8Array
      ? new TextDecoder().decode(stdout)
      : stdout;
    // A terminal may echo its input before or after what the command writes.
    const isEchoed = Object.hasOwn(options, "pty") && text.includes("bad");
    const output = isEchoed ? "bad" : text.trim();
    if (code === 0) return assertEquals(output, "bad", what);
    const isOther = CHANGES_LINE.some((name) => Object.hasOwn(options, name));
    return assert(isOther, `${what}: ${Deno.inspect(outcome.result)}`);
  }
  const { error } = outcome;
  const isTyped = error instanceof TypeError || error instanceof RangeError ||
    error instanceof SshError ||
    (error instanceof Error && error.message.includes("by the caller"));
  assert(isTyped, `${what}: ${Deno.inspect(error)}`);
}

const OPTIONS = {
  config: false,
  maxConnectionsPerHost: 1,
  maxSessionsPerConnection: 10,
} as const;

Deno.test("ConnectionPool.exec() and spawn() with any option and any value hurts no other caller, on the embedded server", async () => {
  await using server = await EmbeddedServer.start();
  await using pool = new ConnectionPool(OPTIONS);
  await walk(pool, server.host(), () => server.accepted);
});

Deno.test("ConnectionPool.exec() and spawn() with any option and any value hurts no other caller, in memory", async () => {
  const script: MemoryConnectorOptions = {};
  const connector = new MemoryConnector(script);
  await using pool = new ConnectionPool({ ...OPTIONS, connector });
  await walk(pool, "ops@db1", () => connector.dials);
});

Deno.test({
  name:
    "ConnectionPool.exec() and spawn() with any option and any value hurts no other " +
    "caller, on sshd" + (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd,
  async fn() {
    // Room for sessions that sshd has not yet seen the end of.
    await using server = await startSshd({ maxSessions: 50 });
    let dials = 0;
    await using pool = new ConnectionPool({
      ...OPTIONS,
      observer: (event) => {
        if (event.type === "connected") dials++;
      },
    });
    // Ten processes for each pair: what sshd has no part in is tried above.
    await walk(pool, server.host(), () => dials, 1 / 16);
    assertEquals(await server.acceptedConnections(), 1);
  },
});
