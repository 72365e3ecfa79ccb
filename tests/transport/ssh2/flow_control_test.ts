import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
} from "@std/assert";
import { ConnectionLostError } from "../../../transport/errors.ts";
import { noSshd, sshdHint, startSshd } from "../../kit/sshd.ts";
import { connect, rejection } from "./_kit.ts";
import { type RawCommand, startRawServer } from "./_raw_server.ts";

const WINDOW = 2 * 1024 * 1024;
const CHUNK = new Uint8Array(32_000);

/** Sends so many bytes whatever the window says. */
function flood(bytes: number, to: "stdout" | "stderr") {
  return ({ id, protocol }: RawCommand) => {
    for (let left = bytes; left > 0; left -= CHUNK.length) {
      const chunk = CHUNK.subarray(0, Math.min(left, CHUNK.length));
      if (to === "stdout") protocol.channelData(id, chunk);
      else protocol.channelExtData(id, chunk, 1);
    }
  };
}

for (const output of ["stdout", "stderr"] as const) {
  Deno.test(`RemoteProcess.${output} of a server that sends beyond its window ends the connection`, async () => {
    await using server = await startRawServer(flood(3 * WINDOW, output));
    await using connection = await connect(server.host);
    const process = await connection.spawn("flood");
    const reason = await connection.closed;
    assert(reason.kind === "lost", reason.kind);
    assertMatch(reason.message, /more on a channel than its window allows/);
    const error = await rejection(process.status);
    assertInstanceOf(error, ConnectionLostError);
    assertMatch(error.message, /than its window allows/);
    await process[Symbol.asyncDispose]();
  });

  Deno.test(`RemoteProcess.${output} takes all of a full window, and the tenth more that OpenSSH tolerates`, async () => {
    const bytes = WINDOW + 200_000;
    await using server = await startRawServer((command) => {
      flood(WINDOW, output)(command);
      flood(200_000, output)(command);
      flood(0, output)(command);
      command.channel.exit(0);
      command.channel.end();
    });
    await using connection = await connect(server.host);
    const process = await connection.spawn("flood");
    assertEquals((await process.status).code, 0);
    let got = 0;
    for await (const chunk of process[output]) got += chunk.length;
    assertEquals(got, bytes);
  });
}

Deno.test({
  name: `RemoteProcess is never cut off for reading slowly${
    noSshd ? ` (${sshdHint})` : ""
  }`,
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd({ config: ["RekeyLimit 3M"] });
    await using connection = await connect(sshd.host());
    const bytes = 8_000_000;
    const process = await connection.spawn(
      `head -c ${bytes} /dev/zero & head -c ${bytes} /dev/zero >&2; wait`,
    );
    const count = async (stream: ReadableStream<Uint8Array>) => {
      let got = 0;
      for await (const chunk of stream) {
        got += chunk.length;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return got;
    };
    assertEquals(
      await Promise.all([count(process.stdout), count(process.stderr)]),
      [bytes, bytes],
    );
    assertEquals((await process.status).code, 0);
  },
});
