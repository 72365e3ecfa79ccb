// What of errors and commands is recorded: nothing that a user wrote.

import { SpanStatusCode } from "@opentelemetry/api";
import { assert, assertEquals } from "@std/assert";
import { DialError } from "../../../transport/errors.ts";
import { errorOf, flush, Kit } from "../_kit.ts";
import { otelTest, pick, Recording } from "./_otel_kit.ts";

const host = "ops@db1";

otelTest(
  "instrument() marks what failed with the code of the error and its phase, and with no text",
  async () => {
    await using recording = new Recording();
    const refused = new DialError("auth", "hunter2 was refused");
    await using kit = new Kit({ onDial: () => refused });
    await errorOf(kit.pool.exec(host, "true"));
    for (const span of await recording.spans()) {
      assertEquals(span.status, { code: SpanStatusCode.ERROR });
      assertEquals(
        pick(span, "error.type", "ssh.error.phase"),
        ["SSH_DIAL", "auth"],
      );
      assertEquals(span.events, []);
    }
  },
);

otelTest(
  "instrument() takes a code other than 0 for an error only with check",
  async () => {
    await using recording = new Recording();
    await using kit = new Kit({
      commands: { fail: { code: 7, stderr: "hunter2" } },
    });
    await errorOf(kit.pool.exec(host, "fail", { check: true }));
    const exec = await recording.one("ssh exec");
    assertEquals(exec.status, { code: SpanStatusCode.ERROR });
    assertEquals(
      pick(exec, "error.type", "process.exit.code"),
      ["SSH_COMMAND_FAILED", 7],
    );
  },
);

otelTest(
  "instrument() tells of an abort by the name of its reason, and nothing of another reason",
  async () => {
    const reasons: [unknown, string][] = [
      [undefined, "AbortError"],
      [new DOMException("hunter2", "TimeoutError"), "TimeoutError"],
      ["hunter2", "_OTHER"],
      [Object.assign(new Error(), { code: "hunter2", name: "a b" }), "_OTHER"],
      [Object.assign(new Error(), { code: "EPIPE" }), "EPIPE"],
    ];
    for (const [reason, type] of reasons) {
      await using recording = new Recording();
      await using kit = new Kit({ onDial: () => "never" });
      const controller = new AbortController();
      const { signal } = controller;
      const running = kit.pool.exec(host, "true", { signal }).catch(() => {});
      await flush();
      controller.abort(reason);
      await running;
      const exec = await recording.one("ssh exec");
      assertEquals(pick(exec, "error.type", "ssh.error.phase"), [
        type,
        undefined,
      ]);
      assert(!(await recording.everything()).includes("hunter2"));
    }
  },
);

otelTest(
  "instrument() records command lines only if it is asked to",
  async () => {
    for (const recordCommands of [false, true]) {
      await using recording = new Recording({ recordCommands });
      await using kit = new Kit();
      await kit.pool.exec(host, ["echo", "hunter2"], {
        env: { LC_A: "sesame" },
      });
      await (await kit.pool.spawn(host, "echo hunter2")).output();
      const lines = (await recording.spans()).flatMap((span) =>
        span.attributes["process.command_line"] ?? []
      );
      assertEquals(
        lines,
        recordCommands ? ["echo hunter2", "echo hunter2"] : [],
      );
      const everything = await recording.everything();
      assertEquals(everything.includes("hunter2"), recordCommands);
      assert(!everything.includes("sesame"));
    }
  },
);

otelTest(
  "no span and no metric shows a credential, a user name or output",
  async () => {
    const MARK = "hunter2";
    await using recording = new Recording({ metricsPerHost: true });
    const refused = new DialError("tcp", `Refused ${MARK}`);
    await using kit = new Kit({
      onDial: ({ hostname }) => hostname === "bad" ? refused : "ok",
      commands: { [`echo ${MARK}`]: { stdout: MARK, stderr: MARK, code: 1 } },
    });
    const secretive = {
      hostname: "db1",
      user: `user-${MARK}`,
      password: MARK,
      jump: { hostname: "gate", user: "ops", password: MARK },
    };
    const command = `echo ${MARK}`;
    await kit.pool.exec(secretive, command, { env: { LC_A: MARK } });
    await errorOf(kit.pool.exec(secretive, command, { check: true }));
    await (await kit.pool.spawn(secretive, command)).output();
    (await kit.pool.acquire(secretive)).release();
    await errorOf(kit.pool.exec({ ...secretive, hostname: "bad" }, command));
    await errorOf(kit.pool.exec(`ssh://ops:${MARK}@db1`, command));
    const everything = await recording.everything();
    assert((await recording.spans()).length > 10);
    assert(everything.includes("server.address"));
    assert(!everything.includes(MARK), everything);
  },
);
