// No secret in anything that the pool tells: a marker in every secret field,
// and a search through all that comes out.

import { assert, assertEquals } from "@std/assert";
import { inspect } from "node:util";
import type { SshHost } from "../../transport/host/host.ts";
import { AuthenticationError, DialError } from "../../transport/errors.ts";
import { errorOf, FakeTime, flush, Kit } from "./_kit.ts";

const MARK = "hunter2";

/** A host that has the marker wherever a secret may be. */
function secretive(hostname: string): SshHost {
  return {
    hostname,
    user: "ops",
    password: `${MARK}-password`,
    privateKey: [`${MARK}-key`, new TextEncoder().encode(`${MARK}-bytes`)],
    passphrase: `${MARK}-passphrase`,
    env: { TOKEN: `${MARK}-env` },
    jump: [{
      hostname: "gate",
      user: "ops",
      password: `${MARK}-hop-password`,
      passphrase: `${MARK}-hop-passphrase`,
      privateKey: `${MARK}-hop-key`,
    }],
  };
}

/** All that can be seen of a value: as JSON, as a log shows it, and by a walk. */
function shown(value: unknown): string {
  const parts: string[] = [];
  const seen = new Set<unknown>();
  const walk = (value: unknown): void => {
    if (value instanceof Uint8Array) {
      parts.push(new TextDecoder().decode(value));
    }
    if (typeof value !== "object" || value === null) {
      parts.push(String(value));
      return;
    }
    if (seen.has(value)) return;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
      parts.push(String(key));
      walk(Reflect.get(value, key));
    }
  };
  walk(value);
  parts.push(
    Deno.inspect(value, { depth: 20, showHidden: true, getters: true }),
    inspect(value, { depth: 20, showHidden: true, getters: true }),
    JSON.stringify(value) ?? "",
    String(value),
  );
  return parts.join("\n");
}

function assertTellsNothing(value: unknown, what: string): void {
  const text = shown(value);
  const at = text.indexOf(MARK);
  assert(at < 0, `${what} shows a secret: ${text.slice(at - 200, at + 40)}`);
}

Deno.test("shown() finds a marker in a message, a cause, a hidden field and bytes", () => {
  const bytes = new TextEncoder().encode(MARK);
  const hidden = Object.defineProperty({}, "x", { value: { deep: MARK } });
  for (
    const value of [
      new Error(MARK),
      new Error("x", { cause: { why: new Error(MARK) } }),
      hidden,
      { [MARK]: 1 },
      [{ bytes }],
    ]
  ) assert(shown(value).includes(MARK));
});

Deno.test("ConnectionPool shows no secret in its events, statistics, names or in itself", async () => {
  await using kit = new Kit();
  await kit.pool.exec(secretive("db1"), "true");
  const lease = await kit.pool.acquire(secretive("db1"));
  kit.connection(1).drop("cable cut");
  await errorOf(kit.pool.exec({ ...secretive("db2"), jump: [] }, "x\0y"));
  lease.release();
  await flush();
  assertTellsNothing(kit.events, "an event");
  assertEquals(kit.events.length > 3, true);
  assertTellsNothing(kit.pool.stats(), "stats()");
  assertTellsNothing(kit.pool.activeHosts, "activeHosts");
  assertTellsNothing(kit.pool, "the pool");
  assertTellsNothing(await kit.pool.warm([]), "warm()");
});

Deno.test("ConnectionPool shows no secret in any error", async () => {
  using time = new FakeTime();
  const failures: Record<string, Error | "never" | "ok"> = {
    tcp: new DialError("tcp", "Connection refused"),
    auth: new AuthenticationError("No method left"),
    never: "never",
  };
  await using kit = new Kit({
    onDial: ({ hostname }) => failures[hostname] ?? "ok",
    onOpen: (connection) => {
      if (connection.host.hostname === "lost") connection.drop("cable cut");
      if (connection.host.hostname === "refused") return new Error("refused");
    },
  }, { dialTimeoutMs: 1_000, acquireTimeoutMs: 500 });
  const errors: Error[] = [];
  for (const name of ["tcp", "tcp", "auth", "auth", "lost", "refused"]) {
    errors.push(await errorOf(kit.pool.exec(secretive(name), "true")));
  }
  const late = errorOf(kit.pool.exec(secretive("never"), "true"));
  await time.advance(2_000);
  errors.push(await late);
  kit.connector.options.onDial = ({ hostname }) =>
    hostname === "gate" ? new Error("refused") : "ok";
  await kit.pool.closeAll();
  errors.push(await errorOf(kit.pool.exec(secretive("behind"), "true")));
  const bad = { ...secretive("db"), port: 70_000 };
  errors.push(await errorOf(kit.pool.exec(bad, "true")));
  const text = `ssh://ops:${MARK}@db1`;
  errors.push(await errorOf(kit.pool.exec(text, "true")));
  await kit.pool.close();
  errors.push(await errorOf(kit.pool.exec(secretive("db1"), "true")));
  for (const error of errors) assertTellsNothing(error, error.name);
  const kinds = new Set(errors.map((error) => error.name));
  assert(kinds.size >= 7, `only ${[...kinds]}`);
  assertTellsNothing(kit.events, "an event");
});

Deno.test("A connection and a lease print where they lead, and no credential", async () => {
  await using kit = new Kit();
  const host = secretive("db1");
  const connection = await kit.pool.getConnection(host);
  using lease = await kit.pool.acquire(host);
  assertEquals(connection.host.password, host.password, "for who asks");
  for (const value of [connection, lease, lease.connection, connection.host]) {
    for (
      const text of [
        Deno.inspect(value, { depth: 20 }),
        inspect(value, { depth: 20 }),
        JSON.stringify(value),
        String(value),
      ]
    ) assert(!text.includes(MARK), text);
  }
  assert(Deno.inspect(connection.host).includes("db1"));
});
