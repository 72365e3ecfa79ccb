import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { ConnectionPool, type ConnectionPoolOptions } from "../../pool/mod.ts";
import { limitsOf, POOL_OPTIONS } from "../../pool/options.ts";
import type { Connector } from "../../transport/connector.ts";
import { MemoryConnector } from "../../transport/testing/mod.ts";
import { errorOf, Kit } from "./_kit.ts";

const connector = new MemoryConnector();

const counts = [
  "maxConnections",
  "maxConnectionsPerHost",
  "maxSessionsPerConnection",
  "maxConcurrentDials",
  "maxConcurrentDialsPerHost",
  "keepaliveCountMax",
];
const durations = [
  "idleTimeoutMs",
  "maxLifetimeMs",
  "acquireTimeoutMs",
  "keepaliveIntervalMs",
  "drainTimeoutMs",
  "leakDetectionMs",
  "backoff.initialMs",
  "backoff.maxMs",
  "backoff.refusedMs",
];

/** Options with one of them set; `backoff.x` is a member of `backoff`. */
function withOption(
  name: string,
  value: unknown,
): ConnectionPoolOptions & { readonly connector: Connector } {
  const [first = "", second] = name.split(".");
  return {
    connector,
    [first]: second === undefined ? value : { [second]: value },
  };
}

/** Asserts that a value is refused by an error that names all there is to it. */
function assertRefused(
  name: string,
  value: unknown,
  type: typeof TypeError | typeof RangeError,
  ...allowed: string[]
): void {
  const error = assertThrows(
    () => new ConnectionPool(withOption(name, value)),
    type,
  );
  const shown = typeof value === "object"
    ? "an object"
    : typeof value === "string"
    ? JSON.stringify(value)
    : `${value}`;
  for (const part of [name, shown, ...allowed]) {
    assertStringIncludes(error.message, part);
  }
}

Deno.test("ConnectionPool has the defaults that its documentation names", async () => {
  const { backoff, maxInteractiveConnectionsPerHost, ...limits } = limitsOf(
    POOL_OPTIONS.check({ connector }),
  );
  assertEquals(maxInteractiveConnectionsPerHost, 1);
  const source = await Deno.readTextFile(
    new URL("../../pool/options.ts", import.meta.url),
  );
  const documented = Object.fromEntries(
    [...source.matchAll(
      /@default \{([\d_.]+)\}\s*\*\/\s*readonly (\w+)\?: number/g,
    )].map(([, value = "", name = ""]) => [
      name,
      Number(value.replaceAll("_", "")),
    ]),
  );
  assertEquals({ ...limits, ...backoff } as unknown, documented);
});

Deno.test("ConnectionPool refuses a count that is no whole number of at least 1", () => {
  for (const name of counts) {
    for (const value of [0, -1, 1.5, NaN]) {
      assertRefused(name, value, RangeError, "whole number", "at least 1");
    }
    for (const value of ["4", true, {}]) {
      assertRefused(name, value, TypeError, "whole number", "at least 1");
    }
    new ConnectionPool(withOption(name, 1));
    new ConnectionPool(withOption(name, Infinity));
    new ConnectionPool(withOption(name, undefined));
  }
});

Deno.test("ConnectionPool refuses a duration that no timer takes", () => {
  for (const name of durations) {
    for (const value of [-1, NaN, Infinity, 2 ** 31]) {
      assertRefused(name, value, RangeError, "at least 0", "2147483647");
    }
    assertRefused(name, "1s", TypeError, "at least 0");
    for (const value of [0, 0.5, 2 ** 31 - 1]) {
      new ConnectionPool(withOption(name, value));
    }
  }
  assertRefused("dialTimeoutMs", 0, RangeError, "at least 1");
});

Deno.test("ConnectionPool refuses a backoff that would not back off", () => {
  assertRefused("backoff.factor", 0.5, RangeError, "at least 1", "100");
  assertRefused("backoff.factor", 101, RangeError, "at least 1", "100");
  assertRefused("backoff.jitter", 1.1, RangeError, "at least 0", "at most 1");
  assertRefused("backoff.jitter", -0.1, RangeError, "at least 0", "at most 1");
  for (const [value, shown] of [[null, "null"], [5, "a number"]] as const) {
    assertThrows(
      () => new ConnectionPool(withOption("backoff", value)),
      TypeError,
      `backoff is ${shown}, must be an object`,
    );
  }
});

Deno.test("ConnectionPool refuses an option that it does not have, and lists those it has", () => {
  for (
    const [name, hint] of [
      ["maxConnection", "maxConnections"],
      ["toString", "connector"],
      ["backoff.initial", "initialMs"],
    ] as const
  ) {
    const error = assertThrows(
      () => new ConnectionPool(withOption(name, 5)),
      TypeError,
    );
    assertStringIncludes(error.message, `"${name}"`);
    assertStringIncludes(error.message, hint);
  }
});

Deno.test("ConnectionPool refuses what is no connector, resolver or observer", () => {
  for (const value of [null, undefined, 7, {}, { connect: 1 }, () => {}]) {
    const options = { connector: value } as unknown as ConnectionPoolOptions;
    const error = assertThrows(
      () => new ConnectionPool(options as never),
      TypeError,
    );
    assertStringIncludes(error.message, "connector");
    assertStringIncludes(error.message, "connect()");
  }
  for (const value of [null, 7, {}]) {
    const options = { connector, resolver: value } as never;
    const error = assertThrows(() => new ConnectionPool(options), TypeError);
    assertStringIncludes(error.message, "resolve()");
  }
  for (const value of [null, 7, {}]) {
    const options = { connector, observer: value } as never;
    const error = assertThrows(() => new ConnectionPool(options), TypeError);
    assertStringIncludes(error.message, "must be a function");
  }
  for (const value of [undefined, null, "x"]) {
    assertThrows(() => new ConnectionPool(value as never), TypeError);
  }
});

Deno.test("ConnectionPool keeps to the options as they were, whatever becomes of the object", () => {
  const options = { connector, maxConnections: 7, backoff: { initialMs: 3 } };
  const limits = limitsOf(POOL_OPTIONS.check(options));
  options.maxConnections = 8;
  options.backoff.initialMs = 4;
  assertEquals([limits.maxConnections, limits.backoff.initialMs], [7, 3]);
  assert(Object.isFrozen(limits) && Object.isFrozen(limits.backoff));
});

Deno.test("ConnectionPool.acquire() refuses a bad acquireTimeoutMs as the constructor does", async () => {
  await using kit = new Kit();
  for (const value of [-1, NaN, Infinity, "1s"]) {
    const options = { acquireTimeoutMs: value as number };
    for (
      const call of [
        () => kit.pool.acquire("ops@db1", options),
        () => kit.pool.exec("ops@db1", "true", options),
        () => kit.pool.getConnection("ops@cold", options),
      ]
    ) {
      const error = await errorOf(call());
      const type = typeof value === "string" ? TypeError : RangeError;
      assertInstanceOf(error, type);
      assertStringIncludes(error.message, "acquireTimeoutMs");
    }
  }
  assertEquals(kit.connector.dials, 0);
});

Deno.test("ConnectionPool names the option that a mistyped one is like", () => {
  const cases = {
    maxConnection: "maxConnections",
    idleTimeout: "idleTimeoutMs",
    max_connections_per_host: "maxConnectionsPerHost",
    keepAliveIntervalMs: "keepaliveIntervalMs",
  };
  for (const [typo, meant] of Object.entries(cases)) {
    const options = { connector, [typo]: 1 };
    const error = assertThrows(() => new ConnectionPool(options), TypeError);
    assertStringIncludes(
      error.message,
      `no option "${typo}", did you mean "${meant}"?`,
    );
  }
  const backoff = { initial: 1 } as never;
  const error = assertThrows(() => new ConnectionPool({ connector, backoff }));
  assertStringIncludes(
    (error as Error).message,
    '"backoff.initial", did you mean "initialMs"?',
  );
});
