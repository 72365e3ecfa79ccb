/** No credential is ever seen: not in events, errors, statistics, or in print. */

import { assert, assertEquals } from "@std/assert";
import { inspect } from "node:util";
import { join } from "node:path";
import {
  type Connection,
  type ConnectionPool,
  type PoolEvent,
  type ResolvedHost,
  SshConfigResolver,
  type SshHost,
} from "../../mod.ts";
import { ConnectionPool as BarePool } from "../../pool/mod.ts";
import { Ssh2Connector } from "../../transport/ssh2/mod.ts";
import {
  EmbeddedServer,
  MemoryConnector,
} from "../../transport/testing/mod.ts";
import { failure, keygen, newPool, sshdTest } from "./_kit.ts";

/** Everything that a program may do to a value to see it. */
function views(value: unknown): string {
  const parts = [
    Deno.inspect(value, { depth: 20, strAbbreviateSize: Infinity }),
    inspect(value, { depth: 20, maxStringLength: Infinity }),
    JSON.stringify(value) ?? "",
    String(value),
  ];
  for (let e = value; e instanceof Error; e = e.cause) {
    parts.push(e.message, e.stack ?? "", inspect(Object.entries(e)));
  }
  return parts.join("\n");
}

/** What must not be seen. */
class Markers {
  readonly #marks: string[] = [];

  /** Makes a secret. */
  secret(label: string): string {
    const mark = `${label}-${crypto.randomUUID()}`;
    this.#marks.push(mark);
    return mark;
  }

  /** Takes an existing text for a secret: each of its lines. */
  text(text: string): string {
    const lines = text.split("\n").filter((line) =>
      /^[\w+/=]{20,}$/.test(line)
    );
    assert(lines.length > 0);
    this.#marks.push(...lines);
    return text;
  }

  check(what: string, value: unknown): void {
    const seen = views(value);
    for (const mark of this.#marks) {
      assert(!seen.includes(mark), `${what} shows ${mark}`);
    }
  }
}

/** A login of every kind, with and without success. */
interface Scene {
  readonly good: SshHost;
  readonly bad: readonly SshHost[];
}

async function setScene(
  dir: string,
  servers: readonly EmbeddedServer[],
  marks: Markers,
): Promise<Scene> {
  const [server, gate] = servers as [EmbeddedServer, EmbeddedServer];
  const right = marks.secret("password");
  const answer = marks.secret("answer");
  for (const { options } of servers) {
    options.password = right;
    options.keyboardInteractive = {
      questions: [{ prompt: "Code: ", answer }],
    };
  }
  const passphrase = marks.secret("passphrase");
  const path = await keygen(join(dir, "encrypted"), { passphrase });
  const encrypted = marks.text(await Deno.readTextFile(path));
  const plain = marks.text(
    await Deno.readTextFile(await keygen(join(dir, "plain"))),
  );
  const env = { SSHPOOL_TOKEN: marks.secret("env") };
  const { privateKey: _, ...rest } = server.host({ agent: false, env });
  const good: SshHost = {
    ...rest,
    password: right,
    privateKey: [plain, encrypted],
    passphrase,
    keyboardInteractive: () => [answer],
    proxyCommand: `sh -c ': ${marks.secret("command")}; exec cat'`,
  };
  const { proxyCommand, ...direct } = good;
  const wrong = { ...rest, password: marks.secret("wrong-password") };
  const bad: SshHost[] = [
    wrong,
    { ...rest, privateKey: plain },
    {
      ...rest,
      privateKey: encrypted,
      passphrase: marks.secret("wrong-phrase"),
    },
    { ...rest, privateKey: encrypted.slice(0, -80), passphrase },
    { ...rest, privateKey: marks.secret("no-key") },
    { ...rest, keyboardInteractive: () => [marks.secret("wrong-answer")] },
    { ...direct, hostKey: `SHA256:${"A".repeat(43)}` },
    { ...direct, port: 1 },
    { ...direct, jump: { ...wrong, port: gate.port } },
    { ...direct, dialTimeoutMs: 200, proxyCommand: proxyCommand! },
    { ...rest, password: [marks.secret("list")] as never },
    { ...rest, pasword: marks.secret("typo") } as never,
    { ...rest, privateKey: { key: marks.secret("object") } as never },
    { ...rest, hostname: "a b", password: right },
    { ...rest, hostname: `ops:${marks.secret("in-hostname")}@h` },
    { ...rest, jump: { hostname: `ops:${marks.secret("in-hop")}@h` } },
    { ...rest, privateKey: `~/${marks.secret("in-path")}` },
  ];
  return { good: direct, bad };
}

sshdTest(
  "ConnectionPool shows no credential in events, statistics, errors, or in print",
  async (dir) => {
    await using server = await EmbeddedServer.start();
    const marks = new Markers();
    await using gate = await EmbeddedServer.start();
    const { good, bad } = await setScene(dir, [server, gate], marks);
    const events: PoolEvent[] = [];
    await using pool: ConnectionPool = newPool({
      config: false,
      defaults: { passphrase: marks.secret("default-passphrase") },
      observer: (event) => events.push(event),
      leakDetectionMs: 1,
    });
    const token = marks.secret("call-env");
    const host = {
      ...good,
      jump: { ...good, port: gate.port, env: { A: token } },
    };
    for (const target of [good, host]) {
      const connection = await pool.getConnection(target);
      marks.check("a shared connection", connection);
      marks.check("its host", connection.host);
      marks.check("its hops", connection.host.jump);
      using lease = await pool.acquire(target);
      marks.check("a lease", lease);
      marks.check("a leased connection", lease.connection);
      marks.check("the host of a leased connection", lease.connection.host);
      const process = await pool.spawn(target, "echo hello", {
        env: { SSHPOOL_A: token },
      });
      marks.check("a process", process);
      marks.check("a result", await process.output());
      marks.check("the pool", pool);
    }
    for (const [index, target] of bad.entries()) {
      const calls = [
        pool.exec(target, "true", { env: { SSHPOOL_A: token } }),
        pool.getConnection(target),
      ];
      for (const call of calls) {
        marks.check(`error ${index}`, await failure(call, `Host ${index}`));
      }
    }
    const { promise: isOpen, resolve: onOpen } = Promise.withResolvers<void>();
    const lost = failure(
      pool.exec(good, "sleep 600", { env: { SSHPOOL_A: token }, onOpen }),
    );
    await isOpen;
    server.dropAll();
    marks.check("a lost connection's error", await lost);
    marks.check("statistics", pool.stats());
    const hosts = [good, ...bad];
    const warmed = await pool.warm(hosts);
    assertEquals(warmed.map((it) => it.host), hosts);
    marks.check("how warming went", warmed);
    for await (
      const result of pool.fanOut(hosts, (it) => pool.exec(it, "true"))
    ) {
      assert(hosts.includes(result.host as SshHost));
      marks.check("the result of a fan-out", result);
    }
    marks.check("the names of hosts", pool.activeHosts);
    await pool.close();
    marks.check("events", events);
    for (const event of events) marks.check(event.type, event);
    assert(events.length > 20);
  },
);

sshdTest(
  "ConnectionPool shows no credential of a configuration",
  async (dir) => {
    const marks = new Markers();
    const file = join(dir, "config");
    await Deno.writeTextFile(
      file,
      [
        "Host web-1",
        "HostName 127.0.0.1",
        "Port 1",
        "User ops",
        `SetEnv TOKEN=${marks.secret("env")}`,
        `ProxyCommand sh -c ': ${marks.secret("command")}; exit 1'`,
        "IgnoreUnknown UnknownKeyword",
        "UnknownKeyword yes",
        "",
      ].join("\n"),
    );
    const host = await new SshConfigResolver({ files: [file] }).resolve(
      "web-1",
    );
    marks.check("a resolved host", host);
    // It is all there, for who asks.
    assert(host.env?.["TOKEN"]?.startsWith("env-"));
    const events: PoolEvent[] = [];
    await using pool = newPool({
      config: { files: [file] },
      defaults: { password: marks.secret("default") },
      observer: (event) => events.push(event),
    });
    marks.check("an error", await failure(pool.exec("web-1", "true")));
    // A password does not belong into a URL, and is not repeated. Where there is
    // none a colon is a part of the user's name, as for ssh: no place for one.
    const url = `ssh://ops:${marks.secret("in-url")}@web-1`;
    for (const text of [url, `${url}:22`, new URL(url)]) {
      marks.check("an error", await failure(pool.exec(text, "true")));
    }
    await pool.close();
    marks.check("events", events);
  },
);

Deno.test("Connections of every adapter show their host, and no credential of it", async () => {
  await using server = await EmbeddedServer.start();
  const marks = new Markers();
  const host: ResolvedHost = {
    ...server.host({
      privateKey: marks.text(server.clientKey),
      password: marks.secret("password"),
      env: { TOKEN: marks.secret("env") },
    }),
    user: "ops",
    port: server.port,
    jump: [],
  };
  const { jump: _, ...direct } = host;
  for (const connector of [new Ssh2Connector(), new MemoryConnector()]) {
    await using connection: Connection = await connector.connect(direct);
    marks.check("a connection", connection);
    marks.check("a connector", connector);
    const text = Deno.inspect(connection);
    assert(text.includes('hostname: "127.0.0.1"'), text);
    assertEquals(connection.host.password, direct.password);
  }
  // Also where a resolver of the caller's own made the host.
  await using pool = new BarePool({
    connector: {
      connect: (host, o) => new MemoryConnector().connect({ ...host }, o),
    },
    resolver: { resolve: () => direct },
  });
  const connection = await pool.getConnection("any");
  marks.check("the host of a connection", connection.host);
});
