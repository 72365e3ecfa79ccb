/** The rendered docs: a reader sees each verb, option and error. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as sshpool from "../../mod.ts";
import { limitsOf } from "../../pool/options.ts";
import { table } from "./_readme.ts";
import { denoDoc, entryPoints, exportedSymbols, Pages } from "./_rendered.ts";

let pages: Pages;

Deno.test.beforeAll(async () => {
  pages = await Pages.render();
});

Deno.test.afterAll(() => pages[Symbol.asyncDispose]());

/** The verbs that need a connection, and the type of their options. */
const VERBS = {
  getConnection: "AcquireOptions",
  acquire: "AcquireOptions",
  exec: "ExecOptions",
  spawn: "SpawnOptions",
  shell: "ShellOptions",
  sftp: "PoolSftpOptions",
  upload: "PoolTransferOptions",
  download: "PoolTransferOptions",
  connect: "AcquireOptions",
  forward: "ForwardOptions",
};

/** What the pool of the main entry extends: there its verbs are said. */
const BASE = "BaseConnectionPool";

Deno.test("the page of ConnectionPool shows every member, and the errors of all verbs", async () => {
  const own = await pages.text("ConnectionPool");
  assertStringIncludes(own, `extends ${BASE}`);
  assertStringIncludes(own, "options ? : ConnectionPoolOptions");
  const page = await pages.text(BASE);
  const members = Object.getOwnPropertyNames(
    sshpool.BaseConnectionPool.prototype,
  )
    .filter((name) => name !== "constructor");
  assert(members.length > 18, members.join());
  for (const name of members) {
    const isShown = [" (", " :", " <"].some((sign) =>
      page.includes(` ${name}${sign}`)
    );
    assert(isShown, name);
  }
  for (const error of DIALLING_ERRORS) assertStringIncludes(page, ` ${error} `);
});

Deno.test("the pages of the options of exec(), spawn() and shell() name all that there are", async () => {
  await using pool = new sshpool.ConnectionPool();
  const unknown = { sshpoolTypo: 1 } as never;
  const verbs = {
    ExecOptions: () => pool.exec("db1", "true", unknown),
    SpawnOptions: () => pool.spawn("db1", "true", unknown),
    ShellOptions: () => pool.shell("db1", unknown),
  };
  for (const [type, call] of Object.entries(verbs)) {
    const page = await pages.text(type);
    const { message } = await call().then(() => new Error(), (error) => error);
    const [, list = ""] = /allowed are (.+)$/.exec(message) ?? [];
    const names = list.split(", ");
    assert(names.length > 7, message);
    for (const name of names) {
      assert(page.includes(` ${name} `), `${name} is not on ${type}`);
    }
  }
});

/** What every verb may throw, and the class lists once for all. */
const DIALLING_ERRORS = [
  "DialError",
  "AuthenticationError",
  "HostKeyError",
  "SshConfigError",
  "HostCooldownError",
  "AcquireTimeoutError",
  "ChannelOpenError",
  "ConnectionLostError",
  "PoolClosedError",
  "TypeError",
  "RangeError",
];

for (const [verb, options] of Object.entries(VERBS)) {
  Deno.test(`the page of ConnectionPool.${verb}() shows its options and its errors`, async () => {
    const page = await pages.text(`${BASE}.prototype.${verb}`);
    assertStringIncludes(page, options);
    assertStringIncludes(page, "Throws");
    assertStringIncludes(page, "What every call may throw: see ConnectionPool");
  });
}

Deno.test("the page of ConnectionPool.exec() names each error of a command", async () => {
  const page = await pages.text(`${BASE}.prototype.exec`);
  for (
    const error of [
      "CommandError",
      "ExecTimeoutError",
      "OutputLimitError",
      "EnvironmentRefusedError",
      "ChannelClosedError",
      "SudoError",
    ]
  ) assertStringIncludes(page, ` ${error} `);
});

Deno.test("the page of ConnectionPoolOptions shows each limit with its default", async () => {
  const page = await pages.text("ConnectionPoolOptions");
  const { backoff, maxInteractiveConnectionsPerHost: _, ...limits } = limitsOf(
    {},
  );
  for (const [name, value] of Object.entries(limits)) {
    const shown = value < 1000 ? `${value}` : value.toLocaleString("en-US")
      .replaceAll(",", "_");
    assertStringIncludes(page, `optional ${name} : number = ${shown} `);
  }
  for (
    const name of ["connector", "resolver", "config", "defaults", "backoff"]
  ) {
    assertStringIncludes(page, `optional ${name} : `);
  }
  const pauses = await pages.text("BackoffOptions");
  for (const name of Object.keys(backoff)) {
    assertStringIncludes(pauses, `optional ${name} : number = `);
  }
});

Deno.test("no signature of the docs has a name that is not exported", async () => {
  const pool = entryPoints.filter((path) => path.endsWith("pool/mod.ts"));
  assertEquals(pool.length, 1);
  // Who imports `./pool` alone has all that its signatures name.
  for (const entries of [entryPoints, pool]) {
    const { code, stderr } = await denoDoc("--lint", ...entries);
    assertEquals(code, 0, stderr);
  }
});

Deno.test("every exported class and function has an example in its docs", async () => {
  const symbols = await exportedSymbols();
  const classes = symbols.filter(({ kind }) =>
    kind === "class" || kind === "function"
  );
  assert(classes.length > 40, `${classes.length}`);
  const without = classes.filter(({ hasExample }) => !hasExample);
  assertEquals([...new Set(without.map(({ name }) => name))], []);
});

Deno.test("the table of errors has each class, its code, and whether the command may have run", () => {
  const rows = new Map(
    table("transport/README.md", "class").map(([name, code, , mayHaveRun]) => [
      name!.replaceAll("`", ""),
      { code: code!.replaceAll("`", ""), mayHaveRun: mayHaveRun! },
    ]),
  );
  const classes = errorClasses();
  assertEquals([...rows.keys()].sort(), classes.map((it) => it.name).sort());
  for (const Class of classes) {
    const { code, mayHaveRun } = rows.get(Class.name)!;
    if (Class.name === "SftpError") {
      assertEquals(code, "SSH_SFTP_...");
      continue;
    }
    const error = new Class("x", EVERYTHING);
    assertEquals(error.code, code, Class.name);
    if (mayHaveRun === "yes") assert(error.mayHaveRun, Class.name);
    if (mayHaveRun === "no") assert(!error.mayHaveRun, Class.name);
  }
});

/** What some of the errors must have. */
const EVERYTHING = {
  reason: "unknown",
  result: { success: false, code: 1, signal: null, stdout: "", stderr: "" },
};

type ErrorClass = new (...args: unknown[]) => sshpool.SshError;

function errorClasses(): ErrorClass[] {
  return Object.values(sshpool).filter((value): value is never =>
    typeof value === "function" && value.prototype instanceof sshpool.SshError
  );
}
