import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Command } from "../../../transport/command/command.ts";
import { remoteCommand } from "../../../transport/command/remote_command.ts";
import { shellLine } from "../../../transport/command/shell_line.ts";
import {
  checkExec,
  checkShellOptions,
  checkSpawn,
} from "../../../transport/command/call_options.ts";
import { checkLength } from "../../../transport/command/line_length.ts";

/** Checks an option of `exec()`. */
function exec(options: unknown) {
  const { command: _, ...rest } = checkExec("true", options as never, "pool");
  return rest;
}

function message(options: unknown, check: (o: unknown) => unknown = exec) {
  return assertThrows(() => check(options), Error).message;
}

Deno.test("checkExec() gives a frozen copy without what is undefined", () => {
  const env = { A: "1" };
  const given = { env, timeoutMs: 5, cwd: undefined, idempotent: true };
  const { options, own } = exec(given);
  assertEquals(options, { env: { A: "1" }, timeoutMs: 5 });
  assertEquals(own, { idempotent: true });
  assert(Object.isFrozen(options) && Object.isFrozen(own));
  env.A = "2";
  assertEquals(options.env, { A: "1" });
  assert(Object.isFrozen(options.env));
  assertEquals(exec(undefined), { options: {}, own: {} });
  assertEquals(exec({}), { options: {}, own: {} });
});

Deno.test("checkExec() reads each property once, inherited ones too", () => {
  const reads: string[] = [];
  const counting = <T extends object>(target: T, prefix: string): T =>
    new Proxy(target, {
      get(target, name) {
        // What tells an object of names from others.
        if (typeof name === "string") reads.push(prefix + name);
        return Reflect.get(target, name);
      },
    });
  const options = counting({
    env: counting({ A: "1", B: "2" }, "env."),
    sudo: counting({ user: "www-data", password: "x" }, "sudo."),
    timeoutMs: 5,
  }, "");
  assertEquals(exec(options).options, {
    env: { A: "1", B: "2" },
    sudo: { user: "www-data", password: "x" },
    timeoutMs: 5,
  });
  assertEquals(new Set(reads).size, reads.length, String(reads));
  const { options: inherited } = exec(Object.create({ timeoutMs: 7 }));
  assertEquals(inherited.timeoutMs, 7);
});

Deno.test("checkExec() refuses unknown names, and says what was meant", () => {
  const cases: [string, string][] = [
    ["timeout", 'did you mean "timeoutMs"?'],
    ["timeoutms", 'did you mean "timeoutMs"?'],
    ["TIMEOUT_MS", 'did you mean "timeoutMs"?'],
    ["dir", 'did you mean "cwd"?'],
    ["input", 'did you mean "stdin"?'],
    ["stdinn", 'did you mean "stdin"?'],
    ["maxBuffer", 'did you mean "maxOutputBytes"?'],
    ["environment", 'did you mean "env"?'],
    ["tty", 'did you mean "pty"?'],
    ["abortSignal", 'did you mean "signal"?'],
    ["throwOnError", 'did you mean "check"?'],
    ["password", 'did you mean "sudo.password"?'],
    ["idempotant", 'did you mean "idempotent"?'],
    ["shell", "always runs in the shell of the user"],
    ["args", "as one array"],
    ["xyz", "allowed are signal, env, envMode, onOpen, pty, cwd,"],
    ["__proto__", "allowed are"],
    ["constructor", "allowed are"],
    ["toString", "allowed are"],
    ["", "allowed are"],
  ];
  for (const [name, end] of cases) {
    const options = JSON.parse(`{${JSON.stringify(name)}: 1}`);
    const said = message(options);
    assertEquals(
      said.startsWith(
        `Cannot run the command: there is no option ${JSON.stringify(name)}`,
      ),
      true,
      said,
    );
    assert(said.includes(end), said);
    assertThrows(() => exec(options), TypeError);
  }
  assertEquals(message({ ["x".repeat(1e5)]: 1 }).length < 500, true);
});

Deno.test("checkSpawn() and checkShellOptions() say where an option belongs", () => {
  assertEquals(
    message({ stdout: "inherit" }, (o) => checkSpawn("true", o as never)),
    'Cannot start the command: there is no option "stdout": the process has ' +
      "its output as streams",
  );
  assertEquals(
    message({ timeoutMs: 5 }, (o) => checkSpawn("true", o as never)),
    'Cannot start the command: there is no option "timeoutMs": exec() has it',
  );
  assertEquals(
    message({ cwd: "/" }, (o) => checkShellOptions(o as never)),
    'Cannot start the shell: there is no option "cwd": exec() and spawn() have it',
  );
  assertEquals(
    message({ cols: 5 }, (o) => checkShellOptions(o as never)),
    'Cannot start the shell: there is no option "cols", did you mean "columns"?',
  );
  // What is of the pool is unknown to a connection.
  assertThrows(() => checkExec("true", { idempotent: true }), TypeError);
  assertThrows(
    () => checkSpawn("true", { idempotent: true }, "pool"),
    TypeError,
  );
  assertEquals(
    checkShellOptions(
      { term: "vt100", rows: 2, columns: 3, acquireTimeoutMs: 4 },
      "pool",
    ),
    {
      options: { term: "vt100", rows: 2, columns: 3 },
      own: { acquireTimeoutMs: 4 },
    },
  );
});

const TYPE: [unknown, string][] = [
  [{ timeoutMs: "5" }, 'timeoutMs is "5", must be a number above 0'],
  [{ timeoutMs: null }, "timeoutMs is null, must be a number"],
  [{ timeoutMs: 5n }, "timeoutMs is 5n, must be a number"],
  [{ killGraceMs: [] }, "killGraceMs is an array, must be a number from 0"],
  [{ maxOutputBytes: "1" }, 'maxOutputBytes is "1", must be a whole number'],
  [{ acquireTimeoutMs: {} }, "acquireTimeoutMs is an object, must be a number"],
  [{ encoding: "utf8" }, 'encoding is "utf8", must be "text" or "bytes"'],
  [{ envMode: true }, 'envMode is true, must be "request" or "inline"'],
  [{ onOutputLimit: "x" }, 'must be "error" or "truncate"'],
  [{ check: 1 }, "check is 1, must be true or false"],
  [{ all: 1 }, "all is 1, must be true or false"],
  [{ stdout: "pipe" }, 'stdout is "pipe", must be "inherit"'],
  [{ onStderr: 5 }, "onStderr is 5, must be a function"],
  [{ login: null }, "login is null, must be true or false"],
  [{ idempotent: "yes" }, 'idempotent is "yes", must be true or false'],
  [{ onOpen: {} }, "onOpen is an object, must be a function"],
  [{ cwd: "" }, 'cwd is "", must be a string with at least one character'],
  [{ cwd: "a\0b" }, 'cwd is "a\\u0000b", must be'],
  [{ cwd: "a\ud800" }, 'cwd is "a\\ud800", must be'],
  [{ sudo: { user: "a\udce9" } }, 'sudo.user is "a\\udce9", must be'],
  [
    { sudo: { password: "hunter2\udce9" } },
    "with half of a character, must be",
  ],
  [{ cwd: new URL("file:///x") }, "cwd is a URL, must be a string"],
  [{ signal: {} }, "signal is an object, must be an AbortSignal"],
  [{ signal: new AbortController() }, "signal is an AbortController, must be"],
  [{ signal: null }, "signal is null, must be an AbortSignal"],
  [{ pty: "xterm" }, "pty is a string, must be true, false or an object with"],
  [{ pty: { cols: 5 } }, 'no option "pty.cols", did you mean "columns"?'],
  [{ pty: { term: "" } }, 'pty.term is "", must be a string with at least'],
  [{ pty: { rows: "5" } }, 'pty.rows is "5", must be a whole number from 1'],
  [{ sudo: "hunter2" }, "sudo is a string, must be true, false or an object"],
  [{ sudo: ["hunter2"] }, "sudo is an array, must be"],
  [{ sudo: { password: 5 } }, "sudo.password is a number, must be a string"],
  [{ sudo: { prompts: "hunter2" } }, "sudo.prompts is a string, must be a"],
  [{ sudo: { password: "" } }, "sudo.password is an empty string"],
  ...["\n", "\r", "\0"].map((end): [unknown, string] => [
    { sudo: { password: `hunter2${end}` } },
    "with a line break or NUL, must be one",
  ]),
  [{ sudo: { user: "" } }, 'sudo.user is "", must be'],
  [
    { sudo: { pass: "hunter2" } },
    'no option "sudo.pass", did you mean "password"',
  ],
  [{ stdin: null }, "stdin is null, must be a string, bytes, a Blob"],
  [{ stdin: 5 }, "stdin is a number, must be"],
  [{ stdin: {} }, "stdin is an object, must be"],
  [{ stdin: ["hunter2"] }, "stdin is an array, must be"],
  [{ env: null }, "env is null, must be an object of names and string values"],
  [{ env: "A=hunter2" }, "env is a string, must be"],
  [{ env: ["A=hunter2"] }, "env is an array, must be"],
  [{ env: new Map([["A", "hunter2"]]) }, "env is a Map, must be"],
  [{ env: new Date(0) }, "env is a Date, must be"],
  [{ env: { A: undefined } }, "env.A is undefined, must be a string"],
  [{ env: { A: 1 } }, "env.A is a number, must be a string"],
  [{ env: { "A b": null } }, 'env["A b"] is null, must be a string'],
  [{ env: { "A=B": "hunter2" } }, 'env has the name "A=B", must be one that'],
  [{ env: { "A\0": "hunter2" } }, 'env has the name "A\\u0000", must be'],
  [{ env: { "": "hunter2" } }, 'env has the name "", must be one that'],
  [{ env: { A: "hunter2\0" } }, "env.A is a string with NUL, must be"],
  [{ env: { A: "hunter2\ud800" } }, "env.A is a string with half of"],
  [{ env: { "A\ud800": "hunter2" } }, 'env has the name "A\\ud800", must be'],
  [
    { env: { "A-B": "hunter2" }, envMode: "inline" },
    'env has the name "A-B", must be one that a shell can set',
  ],
  [
    { env: { "A-B": "hunter2" }, sudo: true },
    'env has the name "A-B", must be one that a shell can set',
  ],
  [
    { env: { A: "hunter2" }, sudo: true, pty: true },
    'env with sudo and pty must have envMode "inline"',
  ],
  [5, "options is a number, must be an object"],
  [null, "options is null, must be an object"],
  ["hunter2", "options is a string, must be an object"],
  [[], "options is an array, must be an object"],
];

for (const [options, end] of TYPE) {
  Deno.test(`checkExec() refuses ${Deno.inspect(options)}`, () => {
    const error = assertThrows(() => exec(options), TypeError);
    assert(error.message.startsWith("Cannot run the command: "), error.message);
    assert(error.message.includes(end), error.message);
    assert(!error.message.includes("hunter2"), error.message);
  });
}

const LONG = "é".repeat(130_000);
const RANGE: [unknown, string][] = [
  ...[NaN, 0, -1, Infinity, 2 ** 31, 1e300].map((timeoutMs) =>
    [
      { timeoutMs },
      `timeoutMs is ${timeoutMs}, must be a number above 0 to 2147483647 ` +
      "(24.8 days, the most that a timer takes)",
    ] as [unknown, string]
  ),
  [{ killGraceMs: -1 }, "killGraceMs is -1, must be a number from 0 to 2147"],
  [{ killGraceMs: NaN }, "killGraceMs is NaN"],
  [{ acquireTimeoutMs: 2 ** 31 }, "acquireTimeoutMs is 2147483648, must be"],
  [{ maxOutputBytes: -1 }, "maxOutputBytes is -1, must be a whole number of"],
  [{ maxOutputBytes: 0.5 }, "maxOutputBytes is 0.5"],
  [{ maxOutputBytes: NaN }, "maxOutputBytes is NaN"],
  [{ pty: { columns: 0 } }, "pty.columns is 0, must be a whole number from 1"],
  [{ pty: { rows: 65_536 } }, "pty.rows is 65536, must be"],
  [
    { sudo: { password: "p".repeat(512) } },
    "sudo.password is a string of 512 bytes, must be at most 511 bytes long",
  ],
  [
    { env: { A: LONG } },
    "env.A is 260001 bytes long, must be at most 250000 bytes long",
  ],
];

for (const [options, end] of RANGE) {
  const shown = Deno.inspect(options, { strAbbreviateSize: 20 });
  Deno.test(`checkExec() refuses ${shown} as out of range`, () => {
    const error = assertThrows(() => exec(options), RangeError);
    assert(error.message.includes(end), error.message);
    assert(!error.message.includes("ppp"), error.message);
  });
}

Deno.test("checkExec() takes all that is allowed", () => {
  const controller = new AbortController();
  const options = {
    signal: controller.signal,
    env: { LANG: "C", "A.B": "" },
    envMode: "request",
    onOpen: () => {},
    pty: { term: "vt100", columns: 1, rows: 65_535 },
    cwd: "a b\udce9",
    login: true,
    sudo: { user: "#1000", password: "p".repeat(511) },
    stdin: "",
    encoding: "bytes",
    check: false,
    timeoutMs: 0.5,
    killGraceMs: 0,
    maxOutputBytes: Infinity,
    onOutputLimit: "truncate",
  };
  const { env: _, ...rest } = options;
  assertEquals({ ...exec(rest).options }, rest as never);
  assertEquals(exec({ env: options.env }).options.env, options.env);
  assertEquals(exec({ timeoutMs: 2 ** 31 - 1 }).options.timeoutMs, 2 ** 31 - 1);
  assertEquals(exec({ env: Object.create(null) }).options, { env: {} });
  for (const it of [true, false]) {
    assertEquals(exec({ sudo: it, pty: it }).options, { sudo: it, pty: it });
  }
  assertEquals(
    exec(JSON.parse('{"env": {"__proto__": "x"}}')).options.env,
    JSON.parse('{"__proto__": "x"}'),
  );
});

Deno.test("checkExec() takes a signal of another realm", () => {
  const signal = {
    aborted: false,
    reason: undefined,
    addEventListener() {},
    removeEventListener() {},
    throwIfAborted() {},
  };
  assert(exec({ signal }).options.signal as unknown === signal);
});

Deno.test("checkExec() hands on what the caller's own objects throw", () => {
  const throwing = (trap: "ownKeys" | "get" | "getPrototypeOf") =>
    new Proxy({ timeoutMs: 5 }, {
      [trap]() {
        throw new EvalError("by the caller");
      },
    });
  for (const trap of ["ownKeys", "get"] as const) {
    assertThrows(() => exec(throwing(trap)), EvalError, "by the caller");
    assertThrows(
      () => exec({ env: throwing(trap) }),
      EvalError,
      "by the caller",
    );
  }
  assertThrows(() => exec({ sudo: throwing("ownKeys") }), EvalError);
  assertThrows(() => exec({ stdin: throwing("getPrototypeOf") }), EvalError);
  assertThrows(() => exec({ signal: throwing("get") }), EvalError);
});

Deno.test("checkExec() gives the command as one line", () => {
  const call = checkExec(
    ["ls", "a b"],
    { check: true, idempotent: true },
    "pool",
  );
  assertEquals(call, {
    command: "ls 'a b'",
    options: { check: true },
    own: { idempotent: true },
  });
  // What has no line for any shell stays an array, of its own.
  const items = ["ls", "a\nb"];
  const { command: kept } = checkExec(items, undefined);
  items[1] = "changed";
  assertEquals([kept, Object.isFrozen(kept)], [["ls", "a\nb"], true]);
  for (const command of ["", [], null, 5, ["a", 5], "a\0"]) {
    assertThrows(() => checkExec(command as Command, undefined), TypeError);
    assertThrows(() => checkSpawn(command as Command, {}), TypeError);
  }
});

Deno.test("checkExec() refuses a command that is too long for one message, as it is sent", () => {
  const fits = "x".repeat(261_120);
  assertEquals(checkExec(fits, undefined).command, fits);
  const cases: [string, object, number | undefined][] = [
    [`${fits}x`, {}, 261_121],
    ["é".repeat(130_561), {}, 261_122],
    [fits, { cwd: "/" }, 261_120 + shellLine("", { cwd: "/" }).length],
    [fits, { login: true }, undefined],
    [fits, { sudo: true }, undefined],
    ["ls", { env: { A: "'".repeat(66_000) }, envMode: "inline" }, undefined],
  ];
  for (const [command, options, size] of cases) {
    const error = assertThrows(() => checkExec(command, options), RangeError);
    assert(error.message.includes("must be at most 261120"), error.message);
    if (size !== undefined) assert(error.message.includes(`${size} bytes`));
    assert(!error.message.includes("xxx"));
    assertThrows(() => checkSpawn(command, options), RangeError);
  }
  // These do not stand in the line.
  checkExec("ls", { env: { A: "'".repeat(66_000) }, sudo: true });
  checkExec("ls", { env: { A: "'".repeat(66_000) } });
  assertThrows(() => checkLength("x".repeat(11), 10), RangeError, "11 bytes");
});

Deno.test("checkExec() makes no line of a short command to measure it, and none of these is too long", () => {
  // The longest that are not measured, each character at its worst.
  for (const unit of ["'", "\\", "!", "\n", "é", "\u{1f600}", "\u2028"]) {
    const [command, cwd] = [5300, 5400].map((length) =>
      unit.repeat(length / unit.length)
    ) as [string, string];
    for (const login of [false, true]) {
      const call = checkExec(command, { cwd, login });
      const { line } = remoteCommand(call.command, call.options);
      checkLength(line);
    }
  }
});
