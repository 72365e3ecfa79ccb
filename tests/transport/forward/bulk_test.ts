import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { listenLocal } from "../../../transport/forward/listen.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import { connect } from "../ssh2/_kit.ts";
import { dialForward, exchange, hashOf, TestServer } from "./_kit.ts";

const CHUNK = new Uint8Array(1024 * 1024).map((_, i) => (i * 31) >> 5);
const CHUNKS = 96;

Deno.test({
  name: "a forward over sshd carries 96 MiB unchanged",
  ignore: noSshd,
  async fn() {
    const expected = createHash("sha256");
    for (let i = 0; i < CHUNKS; i++) expected.update(CHUNK);
    await using sshd = await startSshd();
    await using connection = await connect(sshd.host());
    await using server = await TestServer.start(async (socket) => {
      for (let i = 0; i < CHUNKS; i++) {
        if (socket.write(CHUNK)) continue;
        await new Promise((resolve) => socket.once("drain", resolve));
      }
      socket.end();
    });
    await using forward = await listenLocal(
      (target, options) => connection.forwardOut!(target, options),
      { listen: 0, to: server.target },
    );
    const client = await dialForward(forward);
    assertEquals(await hashOf(client), {
      hash: expected.digest("hex"),
      bytes: CHUNKS * CHUNK.length,
    });
    client.end();
  },
});

Deno.test({
  name: "a stuck stream blocks none of nine others on the same SSH connection",
  ignore: noSshd,
  async fn() {
    await using sshd = await startSshd();
    await using connection = await connect(sshd.host());
    await using server = await TestServer.start();
    await using forward = await listenLocal(
      (target, options) => connection.forwardOut!(target, options),
      { listen: 0, to: server.target },
    );
    // The echo fills every buffer of the way back, as nobody reads it.
    const stuck = await dialForward(forward);
    stuck.pause().write(new Uint8Array(64 * 1024 * 1024));
    const texts = Array.from({ length: 9 }, (_, i) => `client ${i}`);
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(
        texts.map(async (text) => exchange(await dialForward(forward), text)),
      );
      assertEquals(answers, texts);
    }
    assertEquals(stuck.writableLength > 0, true);
    stuck.destroy();
  },
});
