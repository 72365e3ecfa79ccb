import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import {
  checkExit,
  OutputTail,
} from "../../../transport/session/check_exit.ts";
import { CommandError } from "../../../transport/command/errors.ts";

const result = {
  success: false,
  code: 3,
  signal: null,
  stdout: "secret output",
  stderr: "",
};

function errorOf(
  change: Partial<Parameters<typeof checkExit>[0]>,
): CommandError {
  return assertThrows(
    () => checkExit({ ...result, ...change }, "ops@db1:22"),
    CommandError,
  );
}

Deno.test("checkExit() lets a command pass that exited with code 0", () => {
  checkExit({ ...result, success: true, code: 0 }, "ops@db1:22");
});

Deno.test("checkExit() names the exit code, the signal, or that there was neither", () => {
  assertEquals(
    errorOf({}).message,
    'The command on "ops@db1:22" failed with exit code 3',
  );
  assertEquals(
    errorOf({ code: null, signal: "KILL\x1b[2J" }).message,
    'The command on "ops@db1:22" was ended by the signal KILL\\x1b[2J',
  );
  assertEquals(
    errorOf({ code: null }).message,
    'The command on "ops@db1:22" ended without an exit code',
  );
  assertEquals(errorOf({ code: 127 }).hint?.includes("login: true"), true);
  assertEquals(errorOf({}).hint, undefined);
});

Deno.test("checkExit() has the end of standard error in its message, escaped and capped", () => {
  const tail = (stderr: string | Uint8Array) => {
    const { message } = errorOf({ stderr });
    return message.replace(/^.*exit code 3(: )?/, "");
  };
  assertEquals(tail("one\n\n  two\r\n"), "one | two");
  assertEquals(tail(new TextEncoder().encode("é\n")), "é");
  assertEquals(tail("a\x1b[31mb\u202ec\x07"), "a\\x1b[31mb\\u202ec\\x07");
  const long = tail(`${"x".repeat(5000)}END\n`);
  assertEquals([long.length, long.endsWith("xEND"), long[0]], [401, true, "…"]);
  const longBytes = tail(new TextEncoder().encode(`${"é".repeat(5000)}END`));
  assertEquals([longBytes.length, longBytes.endsWith("éEND")], [401, true]);
});

Deno.test("CommandError shows no output where it is printed, and gives it by name", () => {
  const error = errorOf({ stderr: new Uint8Array([0xc3, 0xa9]) });
  for (
    const shown of [
      inspect(error, { depth: 9 }),
      Deno.inspect(error),
      JSON.stringify(error),
    ]
  ) {
    assert(!shown.includes("secret output"), shown);
  }
  assertEquals(Object.keys(error).sort(), [
    "code",
    "exitCode",
    "host",
    "mayHaveRun",
    "phase",
    "signal",
  ]);
  assertEquals([error.stdout, error.stderr], ["secret output", "é"]);
  assertEquals(error.result.stdout, "secret output");
  assertEquals(error.toJSON(), {
    name: "CommandError",
    code: "SSH_COMMAND_FAILED",
    message: error.message,
    host: "ops@db1:22",
    phase: "exec",
    mayHaveRun: true,
  });
});

Deno.test("OutputTail keeps no memory of the pieces that it is given", () => {
  for (const size of [3, 100_000]) {
    const tail = new OutputTail();
    const piece = Buffer.alloc(size, "a");
    tail.add(piece);
    piece.fill("b");
    assertEquals(/^a{3,}$/.test(tail.text()), true);
  }
});
