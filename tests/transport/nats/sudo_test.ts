// `sudo` as it is, over a worker as it is: who has the password, and who sees it.

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { ConnectionPool } from "../../../pool/mod.ts";
import { fleetPool, type FleetPoolOptions } from "../../../pool/nats.ts";
import { SudoError } from "../../../transport/command/errors.ts";
import { NatsServer, SHARDS } from "../../kit/nats.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { makeSudoAccount, noSudo } from "../../kit/sudo.ts";
import { until } from "../../kit/until.ts";
import { Ends, testNats } from "./_kit.ts";
import { WorkerProcess, writeInventory } from "../../kit/nats_workers.ts";

const PASSWORD = "hunter2-4711";
const WRONG = "hunter2-0815";

interface Site {
  readonly worker: WorkerProcess;
  /** All that has crossed the bus. */
  readonly heard: () => string;
  /** Makes a client, of which all events are kept. */
  connect(options?: Partial<FleetPoolOptions>): Promise<ConnectionPool>;
  /** What observers were told. */
  readonly events: () => string;
}

/** A worker in a process, with an account that may use sudo, and a tap on the bus. */
function sudoTest(
  name: string,
  sudoPassword: string | undefined,
  fn: (site: Site) => Promise<void>,
): void {
  if (noSudo || noSshd) return;
  testNats(name, async () => {
    await using ends = new Ends();
    const dispose = <T extends AsyncDisposable>(it: T): T =>
      ends.add(it, (it) => it[Symbol.asyncDispose]());
    const account = dispose(
      await makeSudoAccount({
        password: PASSWORD,
        rules: ["ALL=(ALL) ALL"],
        defaults: ["timestamp_timeout=0"],
      }),
    );
    const sshd = dispose(await startSshd());
    const server = dispose(await NatsServer.start());
    const folder = ends.add(
      await Deno.makeTempDir(),
      (it) => Deno.remove(it, { recursive: true }),
    );
    const inventory = await writeInventory(folder, {
      default: {
        "web-1": { ...sshd.host({ user: account.user }), sudoPassword },
      },
    });
    const worker = dispose(
      await WorkerProcess.start([
        ...["--servers", `127.0.0.1:${server.port}`],
        ...["--inventory", inventory, "--shards", String(SHARDS)],
        ...["--index", "0"],
      ]),
    );
    const heard: string[] = [];
    const tap = await server.connect();
    tap.subscribe(">", {
      callback: (_error, message) => void heard.push(message.string()),
    });
    await tap.flush();
    const events: unknown[] = [];
    await fn({
      worker,
      heard: () => heard.join("\n"),
      events: () => Deno.inspect(events, { depth: 20, strAbbreviateSize: 1e6 }),
      async connect(options) {
        const pool = fleetPool(await server.connect(), {
          ...options,
          observer: (event) => void events.push(event),
        });
        return ends.add(pool, (it) => it.close({ drainTimeoutMs: 0 }));
      },
    });
  });
}

sudoTest(
  "a worker has the passwords of sudo by name, and they cross no bus, log or event",
  PASSWORD,
  async ({ worker, heard, events, connect }) => {
    const pool = await connect();
    const { stdout } = await pool.exec("web-1", "id -un; cat", {
      sudo: true,
      stdin: "input",
    });
    assertEquals(stdout, "root\ninput");
    const other = await pool.exec("web-1", ["id", "-un"], {
      sudo: { user: "www-data" },
    });
    assertEquals(other.stdout, "www-data\n");
    const sftp = await pool.sftp("web-1", { sudo: true });
    assertStringIncludes(await sftp.readTextFile("/etc/shadow"), "root:");
    sftp.close();
    const error = await assertRejects(
      () => pool.exec("web-1", "id", { sudo: { user: "no-such-user" } }),
    );
    await until(() => heard().includes("no-such-user"));
    const all = heard() + worker.log + events() + Deno.inspect(error) +
      JSON.stringify(error);
    assertStringIncludes(all, "www-data");
    assert(!all.includes(PASSWORD));
  },
);

sudoTest(
  "a password of sudo is sent if the client insists, and its worker logs none",
  undefined,
  async ({ worker, heard, events, connect }) => {
    const careful = await connect();
    const missing = await assertRejects(
      () => careful.exec("web-1", "id", { sudo: true }),
      SudoError,
    );
    assertEquals(missing.mayHaveRun, false);
    await assertRejects(
      () => careful.exec("web-1", "id", { sudo: { password: PASSWORD } }),
      TypeError,
      "sendSudoPasswords",
    );
    const insisting = await connect({ sendSudoPasswords: true });
    const wrong = await assertRejects(
      () => insisting.exec("web-1", "id", { sudo: { password: WRONG } }),
      SudoError,
    );
    assertEquals(wrong.mayHaveRun, false);
    const { stdout } = await insisting.exec("web-1", "id -un", {
      sudo: { password: PASSWORD },
    });
    assertEquals(stdout, "root\n");
    // The tap hears it: TLS is what keeps it.
    await until(() => heard().includes(PASSWORD));
    assertEquals(heard().split(PASSWORD).length, 2);
    const kept = worker.log + events() + Deno.inspect(wrong) +
      JSON.stringify(wrong);
    assertStringIncludes(worker.log, '"failed"');
    assert(!kept.includes(PASSWORD) && !kept.includes(WRONG), kept);
  },
);
