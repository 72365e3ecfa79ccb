import { assertEquals, assertFalse, assertMatch } from "@std/assert";
import {
  AcquireTimeoutError,
  AuthenticationError,
  ChannelOpenError,
  ConnectionLostError,
  DialError,
  ExecTimeoutError,
  HostCooldownError,
  HostKeyError,
  OutputLimitError,
  PoolClosedError,
  SshConfigError,
  type SshError,
} from "../../mod.ts";

const host = "ops@db1:22";

Deno.test("SshError.toJSON() gives name, code, message, host, phase, mayHaveRun and hint", () => {
  const error = new DialError("dns", "Cannot connect", { host, hint: "set x" });
  assertEquals(JSON.parse(JSON.stringify({ error })).error, {
    name: "DialError",
    code: "SSH_DIAL",
    message: "Cannot connect",
    host,
    phase: "dns",
    mayHaveRun: false,
    hint: "set x",
  });
  const bare = new OutputLimitError("Cannot run");
  assertEquals(Object.keys(bare.toJSON()), [
    "name",
    "code",
    "message",
    "phase",
    "mayHaveRun",
  ]);
  assertFalse("hint" in bare);
});

Deno.test("DialError says what to do where no file can be opened, unless it has a better hint", () => {
  const files = Object.assign(new Error("too many files"), { code: "EMFILE" });
  const cause = new Error("cannot run ssh", { cause: files });
  assertMatch(new DialError("config", "x", { cause }).hint!, /ulimit -n/);
  const hint = "set x";
  assertEquals(new DialError("config", "x", { cause, hint }).hint, hint);
  const other = Object.assign(new Error("no"), { code: "ECONNREFUSED" });
  assertEquals(new DialError("tcp", "x", { cause: other }).hint, undefined);
});

Deno.test("SshError.toJSON() leaves out output and causes", () => {
  const output = { stdout: new Uint8Array([7]), stderr: new Uint8Array([8]) };
  const errors = [
    new ConnectionLostError("x", { output, cause: new Error("inner") }),
    new ExecTimeoutError("x", { output, timeoutMs: 1 }),
  ];
  for (const error of errors) {
    const json = JSON.stringify(error);
    assertFalse(/7|8|inner|output|cause/.test(json), json);
  }
});

Deno.test("SshError has its name in every class, and in its stack", () => {
  const snapshot = {} as never;
  const errors: Record<string, SshError> = {
    DialError: new DialError("tcp", "x"),
    HostKeyError: new HostKeyError("x", {
      fingerprint: "",
      reason: "unknown",
    }),
    AuthenticationError: new AuthenticationError("x"),
    ChannelOpenError: new ChannelOpenError("x", { reason: 1 }),
    ConnectionLostError: new ConnectionLostError("x"),
    ExecTimeoutError: new ExecTimeoutError("x", { timeoutMs: 1 }),
    OutputLimitError: new OutputLimitError("x"),
    SshConfigError: new SshConfigError("x"),
    PoolClosedError: new PoolClosedError("x"),
    AcquireTimeoutError: new AcquireTimeoutError("x", { snapshot }),
    HostCooldownError: new HostCooldownError("x", { retryAfterMs: 1 }),
  };
  for (const [name, error] of Object.entries(errors)) {
    assertEquals(error.name, name);
    assertEquals(String(error), `${name}: x`);
    assertEquals(error.stack?.split("\n")[0], `${name}: x`);
    // A minifier renames classes: the name must not come from one.
    class Renamed extends (error.constructor as typeof DialError) {}
    assertEquals(Renamed.prototype.name, name);
  }
});
