// Errors that another process throws again: the class, the fields, the causes,
// and nothing else; and what a peer may make of that.

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import * as sshpool from "../../mod.ts";
import {
  AcquireTimeoutError,
  AuthenticationError,
  ChannelClosedError,
  ChannelOpenError,
  CommandError,
  ConnectionLostError,
  DialError,
  EnvironmentRefusedError,
  errorFromJson,
  errorToJson,
  ExecTimeoutError,
  ForwardError,
  HostCooldownError,
  HostKeyError,
  OutputLimitError,
  PoolClosedError,
  RemoteError,
  SftpError,
  SshConfigError,
  SshError,
  SudoError,
} from "../../mod.ts";
import { Random, seed } from "../kit/random.ts";

const host = "ops@db1:22";
const hint = "set x";
const base = { host, hint };
const output = {
  stdout: new TextEncoder().encode("hunter2"),
  stderr: new TextEncoder().encode("hunter2"),
};
const result = {
  success: false,
  code: 3,
  signal: null,
  stdout: "hunter2",
  stderr: "hunter2",
};
const snapshot = {
  reason: "busy",
  waitedMs: 12.5,
  connections: 1,
  slotsInUse: 10,
  slots: 10,
  waiting: 3,
  dialing: 0,
  poolConnections: 7,
  maxConnections: 100,
} as const;

/** One error of each class, each field set to what is not its default. */
const ERRORS: readonly SshError[] = [
  new DialError("banner", "m", { ...base, throttled: true }),
  new HostKeyError("m", {
    ...base,
    fingerprint: "SHA256:a",
    expected: ["SHA256:b"],
    location: "known_hosts:3",
    reason: "mismatch",
  }),
  new AuthenticationError("m", {
    ...base,
    tried: ["publickey id"],
    offered: ["password"],
  }),
  new ChannelOpenError("m", { ...base, reason: 2 }),
  new ConnectionLostError("m", { ...base, mayHaveRun: true, output }),
  new ExecTimeoutError("m", {
    ...base,
    timeoutMs: 1.5,
    mayHaveRun: false,
    output,
  }),
  new OutputLimitError("m", base),
  new CommandError("m: line one\nline two", { ...base, result }),
  new SudoError("m", { ...base, reason: "timeout", user: "root" }),
  new ChannelClosedError("m", { ...base, output }),
  new EnvironmentRefusedError("m", {
    ...base,
    names: ["A", "B"],
    mayHaveRun: true,
  }),
  new SftpError("SSH_SFTP_NO_SPACE", "m", {
    ...base,
    path: "/srv/é",
    status: 4,
    mayHaveRun: true,
  }),
  new ForwardError("m", base),
  new SshConfigError("m", { ...base, file: "config", line: 7 }),
  new SshConfigError("m", { ...base, file: "config" }),
  new PoolClosedError("m", base),
  new AcquireTimeoutError("m", { ...base, snapshot }),
  new HostCooldownError("m", { ...base, retryAfterMs: 200 }),
  new RemoteError("m", { ...base, code: "SSH_NEW", mayHaveRun: false }),
];

const overTheWire = (error: unknown): Error =>
  errorFromJson(JSON.parse(JSON.stringify(errorToJson(error))));

/** All that is seen of an error, but for its stack, cause and output. */
function seen(error: Error): Record<string, unknown> {
  const { message, name } = error;
  const { stack: _, cause: _c, output: _o, ...fields } = Object.fromEntries(
    Object.getOwnPropertyNames(error).map((
      key,
    ) => [key, Reflect.get(error, key)]),
  );
  return { message, name, ...fields };
}

Deno.test("errorFromJson() gives the class and every field that errorToJson() was given", () => {
  for (const error of ERRORS) {
    const back = overTheWire(error);
    assertEquals(back.constructor, error.constructor);
    assertEquals(seen(back), seen(error), error.name);
    assert(String(back.stack).includes("error_json"), "the stack is ours");
  }
});

Deno.test("no class of error is left out of JSON", () => {
  const known = new Set(ERRORS.map((error) => error.constructor));
  const all = Object.values(sshpool).filter((value) =>
    typeof value === "function" && value.prototype instanceof SshError
  );
  assert(all.length >= 17);
  assertEquals(all.filter((one) => !known.has(one)), []);
});

Deno.test("errorToJson() takes causes along, and no output, stack or secret", () => {
  const foreign = Object.assign(new Error("token hunter2"), {
    code: "ECONNREFUSED",
    secret: "hunter2",
  });
  const cause = new AuthenticationError("refused", { cause: foreign });
  const error = new HostCooldownError("cooling", { cause, retryAfterMs: 5 });
  const back = overTheWire(error);
  assertInstanceOf(back.cause, AuthenticationError);
  assertInstanceOf(back.cause.cause, Error);
  assertEquals(back.cause.cause.message, "ECONNREFUSED");
  assertEquals(Reflect.get(back.cause.cause, "code"), "ECONNREFUSED");
  for (const one of [...ERRORS, error]) {
    const text = JSON.stringify(errorToJson(one));
    assert(!/hunter2|stack|\.ts/.test(text), text);
  }
  const loop = new DialError("tcp", "loop");
  Object.defineProperty(loop, "cause", { value: loop });
  assert(JSON.stringify(errorToJson(loop)).length < 3_000);
});

Deno.test("errors of the language cross too", () => {
  for (
    const error of [new TypeError("a"), new RangeError("b"), new Error("c")]
  ) {
    const back = overTheWire(error);
    assertEquals(back.constructor, error.constructor);
    assertEquals(back.message, error.message);
  }
  const abort = overTheWire(new DOMException("left", "AbortError"));
  assertEquals([abort.name, abort.message], ["AbortError", "left"]);
  assertEquals(overTheWire("secret").message, "Another process failed");
});

Deno.test("errorFromJson() makes a RemoteError of what it does not know", () => {
  const odd: [unknown, string, boolean][] = [
    [{ name: "NewError", code: "SSH_NEW", message: "x" }, "SSH_NEW", true],
    [
      { name: "NewError", code: "SSH_NEW", mayHaveRun: false },
      "SSH_NEW",
      false,
    ],
    [
      { name: "DialError", phase: "lunch", throttled: true },
      "SSH_REMOTE",
      true,
    ],
    [{ name: "ChannelOpenError", reason: -1 }, "SSH_REMOTE", true],
    [{ name: "AcquireTimeoutError", snapshot: null }, "SSH_REMOTE", true],
    [
      { name: "HostKeyError", expected: Array(1e4).fill("x") },
      "SSH_REMOTE",
      true,
    ],
  ];
  for (const [json, code, mayHaveRun] of odd) {
    const error = errorFromJson(json);
    assertInstanceOf(error, RemoteError, JSON.stringify(json).slice(0, 80));
    assertEquals([error.code, error.mayHaveRun], [code, mayHaveRun]);
  }
  for (const json of [null, 5, "x", [], {}, { __proto__: { name: "x" } }]) {
    assertInstanceOf(errorFromJson(json), Error);
  }
  const { message } = errorFromJson({
    name: "TypeError",
    message: "\x1b[2J" + "x".repeat(1e6),
  });
  assert(message.length < 5_000 && !message.includes("\x1b"));
});

Deno.test("errorFromJson() makes an error of whatever a peer sends", () => {
  const random = new Random(seed);
  const values = [null, -1, 1e99, "x", "", true, [], ["x"], {}, [[]], [1]];
  for (let i = 0; i < 5_000; i++) {
    const error = ERRORS[i % ERRORS.length]!;
    const json = { ...errorToJson(error) } as Record<string, unknown>;
    const names = [...Object.keys(json), "cause", "constructor"];
    json[random.pick(names)] = random.pick(values);
    if (random.chance(0.3)) delete json[random.pick(names)];
    const back = errorFromJson(json);
    assertInstanceOf(back, Error);
    assertEquals(typeof back.message, "string");
    if (back instanceof SshError) JSON.stringify(back.toJSON());
  }
});
