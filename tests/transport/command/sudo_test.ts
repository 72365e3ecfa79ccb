import { assert, assertEquals, unreachable } from "@std/assert";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { mock } from "node:test";
import { inspect } from "node:util";
import type { SudoError } from "../../../transport/command/errors.ts";
import type { SudoQuestion } from "../../../transport/process.ts";
import {
  type SudoCommand,
  sudoCommand,
} from "../../../transport/command/sudo_command.ts";
import { isCallersError } from "../../../transport/session/callers_error.ts";
import { SudoTalk } from "../../../transport/session/sudo_talk.ts";
import { Random, replay, seed } from "../../kit/random.ts";

const PASSWORD = `p"w d'é$(id)`;

/** A talk, and all that it asked for. */
function talk(command: SudoCommand) {
  const told: string[] = [];
  const errors: SudoError[] = [];
  const it = new SudoTalk(command, "ops@db1:22", {
    write: (bytes) => void told.push(`write ${Buffer.from(bytes)}`),
    started: () => void told.push("started"),
    failed: (error) => {
      told.push("failed");
      errors.push(error as SudoError);
    },
  });
  const text = (chunk: Buffer | undefined) => chunk?.toString();
  // The line begins, after whatever the files of a login say.
  const noise = Buffer.from(`Enter your motto: ${command.begin}`);
  if (command.isMerged) it.stdout(noise);
  else it.stderr(noise);
  return {
    talk: it,
    told,
    errors,
    out: (said: string) => text(it.stdout(Buffer.from(said))),
    err: (said: string) => text(it.stderr(Buffer.from(said))),
  };
}

/** What sudo prints when it asks for a password. */
const printed = ({ ask }: SudoCommand, of = "ops", by = "ops") =>
  `${ask}%${of}%${by}%${ask}`;

const withPassword = () =>
  sudoCommand("id", { sudo: { password: PASSWORD, user: "www-data" } });

Deno.test("sudoCommand() has neither the password nor variables nor its marks in the line", () => {
  const command = sudoCommand("id", {
    sudo: { password: PASSWORD },
    env: { A: "top-secret" },
    cwd: "/tmp",
  });
  for (
    const hidden of [
      PASSWORD,
      "top-secret",
      command.begin,
      printed(command),
      command.start,
    ]
  ) {
    assert(!command.line.includes(hidden), `${hidden} in ${command.line}`);
  }
  assert(command.preamble.startsWith("export A='top-secret' || exit\n"));
  assertEquals(sudoCommand("id", { sudo: true, env: {} }).preamble, "");
});

Deno.test("sudoCommand() has its own marks each time", () => {
  const marks = new Set<string>();
  for (let i = 0; i < 50; i++) {
    const { begin, ask, start } = withPassword();
    marks.add(begin).add(ask).add(start);
  }
  assertEquals(marks.size, 150);
});

Deno.test("sudoCommand() never waits for a password that is not there, and never relies on an earlier one", () => {
  assert(
    sudoCommand("id", { sudo: true }).line.includes('sudo -H -n -u "$1" -- '),
  );
  assert(sudoCommand("id", { sudo: {} }).line.includes(" -n "));
  const { line } = withPassword();
  assert(
    /SUDO_PROMPT=(\w+)%%%p%%%u%%\1 sudo -H -k -S -u "\$1" -- sh -c .* sh 'www-data' /
      .test(line),
    line,
  );
});

Deno.test("sudoCommand() puts variables in the line if they are to be inline", () => {
  const command = sudoCommand("id", {
    sudo: true,
    env: { A: "x" },
    envMode: "inline",
  });
  assertEquals(command.preamble, "");
  assert(command.line.includes("export A="));
});

Deno.test("SudoTalk writes the password when it is asked for, and lets input follow when the command has started", () => {
  const command = withPassword();
  const it = talk(command);
  assertEquals(it.err("We trust you have received the lecture\n"), undefined);
  assertEquals(it.told, []);
  assertEquals(it.err(printed(command)), undefined);
  assertEquals(it.told, [`write ${PASSWORD}\n`]);
  assertEquals(it.out(`${command.start}uid=0`), "uid=0");
  assertEquals(it.told.length, 1);
  assertEquals(it.err(`\n${command.start}oh`), "oh");
  assertEquals(it.told, [`write ${PASSWORD}\n`, "started"]);
  // From here on all is the command's, marks too.
  assertEquals(it.err(printed(command)), printed(command));
  assertEquals(it.out(command.start), command.start);
  assertEquals(it.told.length, 2);
});

Deno.test("SudoTalk writes no password where sudo does not ask", () => {
  const command = withPassword();
  const it = talk(command);
  it.out(command.start);
  it.err(`sudo: unable to resolve host\n${command.start}${printed(command)}`);
  assertEquals(it.told, ["started"]);
});

Deno.test("SudoTalk sends variables before the input of the caller", () => {
  const command = sudoCommand("id", { sudo: true, env: { A: "x" } });
  const it = talk(command);
  it.out(command.start);
  it.err(command.start);
  assertEquals(it.told, [`write ${command.preamble}`, "started"]);
});

Deno.test("SudoTalk lets the input of the caller follow once all variables are written", async () => {
  const command = sudoCommand("id", { sudo: true, env: { A: "x" } });
  const room = Promise.withResolvers<void>();
  let isStarted = false;
  const it = new SudoTalk(command, "ops@db1:22", {
    write: () => room.promise,
    started: () => isStarted = true,
    failed() {},
  });
  it.stdout(Buffer.from(command.start));
  it.stderr(Buffer.from(command.begin + command.start));
  await Promise.resolve();
  assertEquals(isStarted, false);
  room.resolve();
  await room.promise;
  assertEquals(isStarted, true);
});

Deno.test("SudoTalk finds its marks wherever the output is split, and strips nothing else", () => {
  const random = new Random(seed);
  for (let round = 0; round < 200; round++) {
    const command = withPassword();
    const it = talk(command);
    const pieces = (whole: string) => {
      const parts = [];
      let rest = whole;
      while (rest !== "") {
        const size = 1 + random.below(random.below(60) + 1);
        parts.push(rest.slice(0, size));
        rest = rest.slice(size);
      }
      return parts;
    };
    const near = printed(command).slice(0, -1);
    const err = pieces(
      `x${near}${printed(command)}\n${command.start}a\n${near}`,
    )
      .map(it.err).join("");
    const out = pieces(`noise${command.start}${command.start}`).map(it.out)
      .join("");
    assertEquals(
      [err, out],
      [`a\n${near}`, command.start],
      replay(seed),
    );
    assertEquals(it.told, [`write ${PASSWORD}\n`, "started"]);
  }
});

Deno.test("SudoTalk reads one output where a terminal merges them", () => {
  const command = sudoCommand("id", {
    sudo: { password: PASSWORD },
    pty: { rows: 5 },
  });
  const it = talk(command);
  assertEquals(it.out(`${printed(command)}\r\n`), undefined);
  assertEquals(it.out(`${command.start}uid=0`), "uid=0");
  assertEquals(it.told, [`write ${PASSWORD}\n`, "started"]);
});

Deno.test("SudoTalk takes a second question for a refusal", () => {
  const command = withPassword();
  const it = talk(command);
  it.err(printed(command));
  it.err(`\nSorry, try again.\n${printed(command)}`);
  it.err(printed(command));
  assertEquals(it.told, [`write ${PASSWORD}\n`, "failed"]);
  const [error] = it.errors as [SudoError];
  assertEquals(
    error.message,
    'Cannot run the command as "www-data" on "ops@db1:22": ' +
      "sudo refused the password",
  );
  assertEquals(
    [error.reason, error.user, error.mayHaveRun, error.code, error.phase],
    ["wrong-password", "www-data", false, "SSH_SUDO", "exec"],
  );
});

Deno.test("SudoTalk.ended() says why the command did not start", () => {
  const cases: [number | null, string, SudoError["reason"]][] = [
    [1, "sudo: a password is required\n", "password-required"],
    [1, "sudo: interactive authentication is required", "password-required"],
    [1, "ops is not in the sudoers file.\n", "not-allowed"],
    [
      1,
      "Sorry, user ops is not allowed to execute '/usr/bin/sh -c ls' as root",
      "not-allowed",
    ],
    [1, "sudo: I'm sorry ops. I'm afraid I can't do that", "not-allowed"],
    [1, "sudo: sorry, you must have a tty to run sudo\n", "tty-required"],
    [1, "sudo: unknown user: nobody2\nsudo: error", "unknown-user"],
    [1, "sudo: unknown user nobody2", "unknown-user"],
    [1, "\nsudo: 1 incorrect password attempt\n", "wrong-password"],
    [127, "sh: 1: sudo: not found\n", "not-installed"],
    [127, "", "not-installed"],
    [1, "sudo: account validation failure\n", "account-expired"],
    [1, "sudo: PAM authentication error: Module is unknown\n", "failed"],
    [null, "", "failed"],
    [1, "sudo: PAM error: broken\nsudo: a password is required\n", "failed"],
  ];
  for (const [code, said, reason] of cases) {
    const command = withPassword();
    const it = talk(command);
    // What it refuses it has asked for.
    if (reason === "wrong-password") it.err(printed(command));
    it.err(said);
    const error = it.talk.ended(code);
    assertEquals([error.reason, error.mayHaveRun], [reason, false], said);
  }
});

Deno.test("SudoError has neither the password nor the command, whatever sudo said", () => {
  const command = sudoCommand("rm /top-secret", {
    sudo: { password: PASSWORD },
  });
  for (
    const said of [
      "Sorry, user ops is not allowed to execute 'sh -c rm /top-secret' as root",
      `sudo: sh -c rm /top-secret: \x1b[2Jfailed`,
      `sudo: pam_authenticate: \x1b[2Jfailed`,
      printed(command),
    ]
  ) {
    const it = talk(command);
    it.err(said);
    const error = it.talk.ended(1);
    for (
      const shown of [error.message, inspect(error), JSON.stringify(error)]
    ) {
      assert(!shown.includes("top-secret"), shown);
      assert(!shown.includes(PASSWORD), shown);
      assert(!shown.includes("\x1b"), shown);
    }
  }
  const it = talk(command);
  it.err(`sudo: pam_authenticate: \x1b[2Jfailed\n`);
  assertEquals(
    it.talk.ended(1).message,
    'Cannot run the command as "root" on "ops@db1:22": sudo failed: ' +
      "pam_authenticate: \\x1b[2Jfailed",
  );
});

/** A talk with a login shell that never gets as far as sudo. */
function talkWithShell(said: { out?: string; err?: string }) {
  const errors: SudoError[] = [];
  const options = { sudo: { password: PASSWORD } };
  const command = sudoCommand("rm /top-secret", options);
  const it = new SudoTalk(command, "ops@db1:22", {
    write: () => unreachable("nobody has asked"),
    started: () => unreachable("nothing has started"),
    failed: (error) => errors.push(error as SudoError),
  });
  it.begin();
  const pieces = (text = "") => text.match(/[^]{1,7}/g) ?? [];
  for (const piece of pieces(said.err)) it.stderr(Buffer.from(piece));
  for (const piece of pieces(said.out)) it.stdout(Buffer.from(piece));
  return { it, errors };
}

const notReached = 'Cannot run the command as "root" on "ops@db1:22": ' +
  "sudo was not reached";

Deno.test("SudoTalk.ended() has the last line of a login shell that did not get as far as sudo, and nothing of the command line", () => {
  const cases = [
    [{}, ""],
    [{ out: "Welcome!\r\nNot available.\r\n\n" }, ": Not available."],
    [
      { out: "Welcome!\n", err: "noise\nexec: restricted\n" },
      ": exec: restricted | Welcome!",
    ],
    [{ out: "\x1b[2Jno" }, ": \\x1b[2Jno"],
    [{ err: "x".repeat(9000) }, `: ${"x".repeat(200)}`],
    [{ err: "Bye\nbad word: exec /bin/sh -c" }, ""],
    [{ err: "Bye\nbad word: rm /top-secret" }, ""],
    // These would be words of PAM.
    [{ out: "Account expired" }, ": Account expired"],
  ] as const;
  for (const [said, shown] of cases) {
    const { it } = talkWithShell(said);
    const { message, reason, mayHaveRun, hint } = it.ended(1);
    it.dispose();
    assertEquals(message, `${notReached}${shown}`);
    assertEquals([reason, mayHaveRun], ["failed", false]);
    assert(hint!.startsWith("the login shell did not get as far as sudo"));
  }
});

Deno.test("SudoTalk says what a login shell that waits for ever has said last", () =>
  withTimers(() => {
    const { errors } = talkWithShell({ out: "1) mail\nYour choice: " });
    mock.timers.tick(60_000);
    const [error] = errors;
    assert(error!.message.endsWith(" in 60 s: Your choice:"), error!.message);
    assertEquals([error!.reason, error!.mayHaveRun], ["timeout", true]);
    assert(error!.hint!.startsWith("the login shell did not get as far"));
  }));

Deno.test("SudoTalk gives up when sudo neither asks nor starts the command for a minute", () => {
  mock.timers.enable({ apis: ["setTimeout"] } as never);
  try {
    const it = talk(withPassword());
    it.talk.begin();
    it.err("sudo: unable to resolve host\n");
    mock.timers.tick(59_999);
    assertEquals(it.told, []);
    mock.timers.tick(1);
    assertEquals(it.told, ["failed"]);
    // It may have started at that very moment.
    assertEquals(
      it.errors.map(({ reason, mayHaveRun }) => [reason, mayHaveRun]),
      [["timeout", true]],
    );
    const command = withPassword();
    const started = talk(command);
    started.talk.begin();
    started.out(command.start);
    started.err(command.start);
    const left = talk(withPassword());
    left.talk.begin();
    left.talk.dispose();
    mock.timers.tick(100_000);
    assertEquals([started.told, left.told], [["started"], []]);
  } finally {
    mock.timers.reset();
  }
});

/** Runs a body whose timers are those of a test. */
async function withTimers(body: () => void | Promise<void>): Promise<void> {
  mock.timers.enable({ apis: ["setTimeout"] } as never);
  try {
    await body();
  } finally {
    mock.timers.reset();
  }
}

/** Lets promises settle. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

const questions = [
  ["Verification code: ", "question", ': "Verification code:"'],
  ["Einmalkennwort:", "question", ': "Einmalkennwort:"'],
  ["Duo\n1. Push\nPasscode or option (1-1): ", "question", "option (1-1):"],
  [
    "sudo: Account or password is expired, reset your password and try again\n" +
    "Current password: ",
    "password-expired",
    "has expired",
  ],
  [
    "The account is locked due to 3 failed logins.\nPIN? ",
    "locked-out",
    "lock",
  ],
] as const;

for (const [said, reason, shown] of questions) {
  Deno.test(`SudoTalk gives no password to ${JSON.stringify(said)}, and fails soon`, () =>
    withTimers(() => {
      for (const isAfter of [false, true]) {
        const command = withPassword();
        const it = talk(command);
        it.talk.begin();
        if (isAfter) it.err(printed(command));
        it.err(said);
        const before = isAfter ? [`write ${PASSWORD}\n`] : [];
        assertEquals(it.told, before);
        mock.timers.tick(1_000);
        assertEquals(it.told, [...before, "failed"]);
        const [error] = it.errors;
        assertEquals([error!.reason, error!.mayHaveRun], [reason, false]);
        assert(error!.message.includes(shown), error!.message);
        assert(error!.hint !== undefined);
      }
    }));
}

Deno.test("SudoTalk takes a line that goes on, and one of the files of a login, for no question", () =>
  withTimers(() => {
    const command = withPassword();
    // The files of the login ask for a motto before.
    const it = talk(command);
    mock.timers.tick(5_000);
    it.err("think of these things:");
    mock.timers.tick(999);
    it.err("\n  #1) Respect");
    mock.timers.tick(5_000);
    it.err(`\nsudo: a line without end`);
    mock.timers.tick(5_000);
    assertEquals(it.told, []);
    it.err(`\n${printed(command)}`);
    it.out(command.start);
    it.err(command.start);
    mock.timers.tick(100_000);
    assertEquals(it.told, [`write ${PASSWORD}\n`, "started"]);
  }));

Deno.test("SudoTalk gives the password once: to no second module that asks for one", () => {
  const command = withPassword();
  const it = talk(command);
  it.err(printed(command));
  it.err(printed(command));
  assertEquals(it.told, [`write ${PASSWORD}\n`, "failed"]);
  assertEquals(it.errors[0]!.reason, "question");
});

Deno.test("SudoTalk gives no password where the account is locked, and says so where nothing was asked", () => {
  const command = withPassword();
  const it = talk(command);
  it.err(`The account is locked due to 3 failed logins.\n${printed(command)}`);
  assertEquals(it.told, ["failed"]);
  assertEquals(it.errors[0]!.reason, "locked-out");
  const unasked = talk(withPassword());
  unasked.err("Sorry, try again.\nsudo: 3 incorrect password attempts\n");
  assertEquals(unasked.talk.ended(1).reason, "locked-out");
});

Deno.test("SudoTalk says whose password sudo wants where it is another's", () => {
  const command = withPassword();
  const it = talk(command);
  it.err(printed(command, "root", "ops"));
  it.err(`Sorry, try again.\n${printed(command, "root", "ops")}`);
  const [error] = it.errors;
  assertEquals(error!.reason, "wrong-password");
  assertEquals(
    error!.hint,
    'sudo asks for the password of "root", not of "ops": sudoers has rootpw, ' +
      "targetpw or runaspw",
  );
});

Deno.test("SudoTalk asks the caller what it has no answer for, while no time runs out", () =>
  withTimers(async () => {
    const asked: SudoQuestion[] = [];
    let answer!: (line: string | undefined) => void;
    const command = sudoCommand("id", {
      sudo: {
        prompts: (question) => {
          asked.push(question);
          return new Promise((resolve) => answer = resolve);
        },
      },
    });
    const it = talk(command);
    it.talk.begin();
    it.err(printed(command, "root", "ops"));
    await settle();
    mock.timers.tick(1_000_000);
    answer("first");
    await settle();
    it.err("Sorry, \x1b[2Jtry again. \r\n \r\n Once more.\r\nToken: ");
    mock.timers.tick(1_000);
    await settle();
    mock.timers.tick(1_000_000);
    answer("");
    await settle();
    it.out(command.start);
    it.err(command.start);
    assertEquals(it.told, ["write first\n", "write \n", "started"]);
    const host = "ops@db1:22";
    assertEquals(asked, [
      {
        text: "[sudo] password for root: ",
        passwordOf: "root",
        instructions: "",
        host,
      },
      {
        text: "Token: ",
        passwordOf: undefined,
        instructions: "Sorry, \\x1b[2Jtry again.\nOnce more.",
        host,
      },
    ]);
    // From now on it has to answer in time again.
    const late = talk(command);
    late.talk.begin();
    late.err(printed(command));
    await settle();
    answer("x");
    await settle();
    mock.timers.tick(60_000);
    assertEquals(late.errors.map(({ reason }) => reason), ["timeout"]);
  }));

Deno.test("SudoTalk fails when the caller gives up, throws, or answers what is no line", () =>
  withTimers(async () => {
    const thrown = new Error("of the caller");
    const ask = async (prompts: () => unknown) => {
      const it = talk(sudoCommand("id", {
        sudo: { password: PASSWORD, prompts: prompts as () => string },
      }));
      it.err("Token: ");
      mock.timers.tick(1_000);
      await settle();
      assertEquals(it.told, ["failed"]);
      return it.errors[0]!;
    };
    assertEquals((await ask(() => undefined)).reason, "question");
    assertEquals(
      await ask(() => {
        throw thrown;
      }) as unknown,
      thrown,
    );
    // It is no loss of this connection, if it is one of another.
    assert(isCallersError(thrown));
    for (const bad of ["two\nlines", 5, "x".repeat(512)]) {
      const error = await ask(() => bad) as unknown;
      assert(error instanceof TypeError || error instanceof RangeError);
      assert(!error.message.includes("two") && !error.message.includes("xx"));
    }
    // Nobody waits any more: the answer goes nowhere.
    let answer!: (line: string) => void;
    const it = talk(sudoCommand("id", {
      sudo: { prompts: () => new Promise((resolve) => answer = resolve) },
    }));
    it.err("Token: ");
    mock.timers.tick(1_000);
    await settle();
    it.talk.dispose();
    answer("late");
    await settle();
    assertEquals(it.told, []);
  }));

Deno.test("SudoTalk holds little of what comes before the command, however much it is", () => {
  const command = withPassword();
  const it = talk(command);
  const chunk = "x".repeat(1 << 20);
  for (let i = 0; i < 50; i++) assertEquals(it.err(chunk), undefined);
  it.err(printed(command));
  assertEquals(it.told.length, 1);
  const { message } = it.talk.ended(1);
  assert(message.length < 500);
});

Deno.test("SudoTalk sends a variable with a file name that is not UTF-8 as its bytes", () => {
  const command = sudoCommand("ls", {
    sudo: true,
    env: { NAME: "caf\udce9 \u{1f600}" },
  });
  const sent: Uint8Array[] = [];
  const it = new SudoTalk(command, "ops@db1:22", {
    write: (bytes) => void sent.push(bytes),
    started() {},
    failed(error) {
      throw error;
    },
  });
  it.stderr(Buffer.from(command.begin + command.start));
  it.stdout(Buffer.from(command.start));
  assert(Buffer.concat(sent).includes(Buffer.from("caf\xe9 ", "latin1")));
  assert(Buffer.concat(sent).includes("\u{1f600}"));
});

/** Asks for a password as sudo does, and becomes nobody. */
const FAKE_SUDO = `#!/bin/sh
while [ "$1" != -- ]; do
  shift
done
shift
if [ "$SUDO_PROMPT" ]; then
  printf '%s' "$SUDO_PROMPT" | sed 's/%p/ops/; s/%u/ops/; s/%%/%/g' >&2
  IFS= read -r password
  [ "$password" = "$EXPECTED" ] || exit 1
fi
exec "$@"
`;

const shells = [
  "/bin/dash",
  "/bin/bash",
  "/bin/ksh",
  "/bin/zsh",
  "/bin/busybox",
]
  .filter((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });

for (const shell of shells) {
  Deno.test(`sudoCommand() gives a line that works where sh is ${shell}`, async () => {
    const dir = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(`${dir}/sudo`, FAKE_SUDO, { mode: 0o755 });
      await Deno.symlink(shell, `${dir}/sh`);
      const value = 'it\'s\n\n"two" $lines\\ é\n';
      const command = sudoCommand(
        'printf "%s." "$VALUE"; pwd; cat; (: <&3) 2>/dev/null && echo "fd 3"; ' +
          'echo "$LC_ALL" >&2; exit 7',
        {
          sudo: { password: PASSWORD },
          env: { VALUE: value, OTHER: "" },
          cwd: "/usr",
        },
      );
      const child = spawn("/bin/sh", ["-c", command.line], {
        env: {
          PATH: `${dir}:/usr/bin:/bin`,
          EXPECTED: PASSWORD,
          LC_ALL: "C.UTF-8",
        },
      });
      let [out, err] = ["", ""];
      const it = new SudoTalk(command, "host", {
        write: (bytes) => void child.stdin.write(bytes),
        started: () => void child.stdin.end("input\0"),
        failed: (error) => void child.stdin.destroy(error as Error),
      });
      child.stdout.on("data", (chunk) => out += it.stdout(chunk) ?? "");
      child.stderr.on("data", (chunk) => err += it.stderr(chunk) ?? "");
      const code = await new Promise((resolve) => child.on("close", resolve));
      assertEquals(
        [code, out, err],
        [7, `${value}./usr\ninput\0`, "C.UTF-8\n"],
      );
      assert(it.isStarted);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
}
