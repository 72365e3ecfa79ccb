/** A session channel with a command on it, over a transport in memory. */

import { assertEquals } from "@std/assert";
import { Session } from "../../../transport/channels/_session.ts";
import type { SessionRequest } from "../../../transport/channels/_session_request.ts";
import * as wire from "../../../transport/channels/_wire.ts";
import { sudoCommand } from "../../../transport/command/sudo_command.ts";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { fieldsOf, memoryTable } from "./_memory_transport.ts";

Deno.test("Session.terminate() sends the signals that reach a command with sudo, and then closes", async () => {
  const { transport, table, say } = memoryTable();
  const context = {
    table,
    name: "ops@web-1:22",
    env: {},
    acceptedEnv: new Map(),
    onEnvRefused() {},
    stallMs: 0,
    agent: undefined,
    lost: (doing: string) => new ConnectionLostError(doing, { host: "web-1" }),
    namesStatus: true,
    endsToo: () => Promise.resolve(false),
  };
  const sudo = sudoCommand("sleep 60", { sudo: true });
  const request: SessionRequest = {
    what: "command",
    line: sudo.line,
    env: {},
    pty: undefined,
    sudo,
  };
  const failed = Promise.withResolvers<unknown>();
  const session = new Session(context, request, {}, {
    onStarted() {},
    onSent() {},
    onStdout: () => true,
    onStderr: () => true,
    onEof() {},
    onFinished() {},
    onFailed: failed.resolve,
    output: () => undefined,
  });
  session.open();
  say(wire.CHANNEL_OPEN_CONFIRMATION, 0, 50, 2 ** 21, 2 ** 15);
  say(wire.CHANNEL_SUCCESS, 0);
  transport.taken();
  const reason = new Error("too late");
  const closed = new Promise<void>((resolve) =>
    transport.onSend = ([type]) => type === wire.CHANNEL_CLOSE && resolve()
  );
  session.terminate(() => reason, 1);
  assertEquals(await failed.promise, reason);
  await closed;
  const signals = transport.sent.filter(([type]) =>
    type === wire.CHANNEL_REQUEST
  ).map((payload) => {
    const fields = fieldsOf(payload);
    fields.uint32();
    const name = fields.string();
    fields.boolean();
    return `${name} ${fields.string()}`;
  });
  // sudo does not hand on a KILL.
  assertEquals(signals, ["signal TERM", "signal QUIT"]);
  say(wire.CHANNEL_CLOSE, 0);
  await session.ended;
});
