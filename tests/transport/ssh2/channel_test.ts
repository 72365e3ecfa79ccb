/** One channel, over an ssh2 that does what a test says. */

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  Channel,
  type ChannelObserver,
} from "../../../transport/ssh2/_channel.ts";
import type {
  RawChannel,
  RawProtocol,
} from "../../../transport/ssh2/fence/internals.ts";

/** A channel that is open. */
function openChannel() {
  const sent: string[] = [];
  const broken: unknown[] = [];
  const protocol = { _destruct: () => {} };
  const observer: ChannelObserver = {
    opened() {},
    stdout: () => true,
    stderr: () => true,
    eof() {},
    closed() {},
    refused() {},
    unanswered() {},
    lost() {},
  };
  const channel = new Channel({
    protocol: protocol as unknown as RawProtocol,
    hold: { take() {}, release() {} } as never,
    onBroken: (error) => void broken.push(error),
    onClosing() {},
  }, observer);
  const raw = {
    incoming: { id: 0, state: "open", window: 0 },
    outgoing: { id: 9, state: "open" },
    _callbacks: [] as ((failed: boolean | Error) => void)[],
    _exit: {},
    stderr: { push: () => true },
    push: () => true,
    _read() {},
    _write() {},
    eof: () => void sent.push("eof"),
    close: () => void sent.push("close"),
  };
  channel.onOpen(raw as unknown as RawChannel);
  return { channel, raw, protocol, sent, broken };
}

Deno.test("Channel.request() throws what a bad value causes, ends nothing, and waits for no answer to it", () => {
  const { channel, raw, broken } = openChannel();
  const reason = new TypeError("a number is no text");
  const answers: [string, boolean][] = [];
  const thrown = assertThrows(() =>
    channel.request(() => {
      throw reason;
    }, (granted) => answers.push(["bad", granted]))
  );
  assertStrictEquals(thrown, reason);
  channel.request((_protocol, id) => assertEquals(id, 9), (granted) => {
    answers.push(["good", granted]);
  });
  assertEquals(raw._callbacks.length, 1);
  raw._callbacks.shift()?.(false);
  assertEquals(answers, [["good", true]]);
  assertEquals(broken, []);
});

Deno.test("Channel.tell() reports a connection on which nothing can be sent, and does not throw", () => {
  const { channel, protocol, broken } = openChannel();
  const reason = new Error("Instance unusable");
  (protocol as { _destruct: unknown })._destruct = undefined;
  channel.tell(() => {
    throw reason;
  });
  assertEquals(broken, [reason]);
});

Deno.test("Channel tells all who wait for its end, once, whether it was abandoned or not", () => {
  for (const isAbandoned of [false, true]) {
    const { channel } = openChannel();
    const told: string[] = [];
    channel.whenEnded(() => told.push("a"));
    channel.whenEnded(() => told.push("b"));
    if (isAbandoned) channel.close();
    channel.onEnd((observer) => observer.closed());
    channel.onEnd((observer) => observer.closed());
    channel.whenEnded(() => told.push("late"));
    assertEquals(told, ["a", "b", "late"]);
  }
});
