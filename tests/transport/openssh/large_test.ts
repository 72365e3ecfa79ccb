/** Much data at once over `ssh`: the memory of packets is used again. */

import { assertEquals } from "@std/assert";
import { sshdTest } from "./_kit.ts";

/** Bytes of which no two pieces are alike. */
function bytes(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = i * 2654435761 + seed;
  return new Uint8Array(words.buffer, 0, length);
}

sshdTest(
  "what is written over ssh arrives unchanged, also if it is taken late and in turns",
  async ({ connect }, sshd) => {
    await using connection = await connect(sshd.host());
    const inputs = [1, 2, 3].map((seed) => bytes(8_000_000 + seed, seed));
    const results = await Promise.all(
      inputs.map((stdin) =>
        connection.exec("sleep 0.2; cat", {
          stdin,
          encoding: "bytes",
          timeoutMs: 60_000,
        })
      ),
    );
    for (const [i, { stdout }] of results.entries()) {
      assertEquals(stdout.length, inputs[i]!.length);
      assertEquals(inputs[i]!.findIndex((byte, at) => byte !== stdout[at]), -1);
    }
  },
);
