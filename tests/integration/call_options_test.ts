/** No caller can hurt another: any option, any value, nine good calls beside. */

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { ConnectionPool, type HostLike, SshError } from "../../mod.ts";
import {
  EmbeddedServer,
  MemoryConnector,
  type MemoryConnectorOptions,
} from "../../transport/testing/mod.ts";
import { noSshd, sshdHint, startSshd } from "../_sshd.ts";
import { Random } from "../transport/_random.ts";

// Over SSH a bad value ends the connection of all callers unless it is looked
// at before a channel is opened, which is what this file is for.
const isChecked = existsSync(
  new URL("../../transport/_call_options.ts", import.meta.url),
);

const NAMES = [
  "env",
  "stdin",
  "signal",
  "timeoutMs",
  "maxOutputBytes",
  "encoding",
  "onOpen",
  "idempotent",
  "acquireTimeoutMs",
  "timeout",
  "cwd",
  "pty",
  "__proto__",
  "constructor",
  "",
];

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
  () =>
    new Proxy({}, {
      ownKeys() {
        throw new TypeError("thrown by the caller's proxy");
      },
    }),
];

async function walk(
  pool: ConnectionPool,
  host: HostLike,
  dials: () => number,
  seed: number,
): Promise<void> {
  const random = new Random(seed);
  await pool.exec(host, "echo first");
  const all = NAMES.flatMap((name) => VALUES.map((make) => ({ name, make })));
  while (all.length > 0) {
    const [{ name, make }] = all.splice(random.below(all.length), 1) as [
      typeof all[number],
    ];
    const value = make();
    const what = `seed ${seed}: ${name} = ${Deno.inspect(value)}`;
    const good = (n: number) => pool.exec(host, `echo good-${n}`);
    const before = [1, 2, 3, 4].map(good);
    const bad = pool.exec(host, "echo bad", { [name]: value } as never)
      .then(({ stdout }) => ({ stdout }), (error) => ({ error }));
    const after = [5, 6, 7, 8, 9].map(good);
    const results = await Promise.all([...before, ...after]);
    assertEquals(
      results.map(({ code, stdout }) => `${code} ${stdout}`),
      [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `0 good-${n}\n`),
      what,
    );
    checkBad(await bad, what);
    assertEquals([pool.size, dials()], [1, 1], what);
  }
}

/** It succeeded rightly, or it says what was wrong. */
function checkBad(
  outcome: { stdout: unknown } | { error: unknown },
  what: string,
): void {
  if ("stdout" in outcome) {
    const { stdout } = outcome;
    const text = stdout instanceof Uint8Array
      ? new TextDecoder().decode(stdout)
      : stdout;
    assertEquals(text, "bad\n", what);
    return;
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

Deno.test({
  name: "ConnectionPool.exec() with any option and any value hurts no other " +
    "caller, on the embedded server",
  ignore: !isChecked,
  async fn() {
    await using server = await EmbeddedServer.start();
    await using pool = new ConnectionPool(OPTIONS);
    await walk(pool, server.host(), () => server.accepted, 1);
  },
});

Deno.test("ConnectionPool.exec() with any option and any value hurts no other caller, in memory", async () => {
  const script: MemoryConnectorOptions = {};
  const connector = new MemoryConnector(script);
  await using pool = new ConnectionPool({ ...OPTIONS, connector });
  await walk(pool, "ops@db1", () => connector.dials, 2);
});

Deno.test({
  name: "ConnectionPool.exec() with any option and any value hurts no other " +
    "caller, on sshd" + (noSshd ? ` (${sshdHint})` : ""),
  ignore: noSshd || !isChecked,
  async fn() {
    await using server = await startSshd();
    await using pool = new ConnectionPool(OPTIONS);
    await walk(pool, server.host(), () => 1, 3);
    assertEquals(await server.acceptedConnections(), 1);
  },
});
