import { assertEquals } from "@std/assert";
import { judge, type LocatedKey } from "../../../transport/host_key/_judge.ts";
import type { Marker } from "../../../transport/host_key/parser.ts";
import { ed25519, wire } from "./_generator.ts";

const SHOWN = ed25519(new Uint8Array(32).fill(7));

function known(key: string, marker: Marker = "plain", type = "ssh-ed25519") {
  return { path: "kh", line: 1, marker, type, key } satisfies LocatedKey;
}

Deno.test("judge() trusts no key that differs from the known one in one bit, wherever it is", () => {
  assertEquals(judge([known(SHOWN)], SHOWN).kind, "trusted");
  for (let bit = 0; bit < 256; bit++) {
    const bytes = new Uint8Array(32).fill(7);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    const other = ed25519(bytes);
    assertEquals(judge([known(other)], SHOWN).kind, "changed", `bit ${bit}`);
    assertEquals(judge([known(other, "revoked")], SHOWN).kind, "new");
  }
});

Deno.test("judge() takes a known key of another type for a change: ssh refuses it too, where it is strict", () => {
  const rsa = wire(
    "ssh-rsa",
    new Uint8Array([1, 0, 1]),
    new Uint8Array(256).fill(9),
  );
  const verdict = judge([known(rsa, "plain", "ssh-rsa")], SHOWN);
  assertEquals(verdict.kind, "changed");
});

Deno.test("judge() refuses a revoked key, whatever else is known of it", () => {
  const plain = known(SHOWN);
  const revoked = known(SHOWN, "revoked");
  const authority = known(SHOWN, "cert-authority");
  for (
    const list of [[revoked], [plain, revoked], [revoked, plain], [
      authority,
      plain,
      revoked,
    ]]
  ) {
    assertEquals(judge(list, SHOWN).kind, "revoked");
  }
});

Deno.test("judge() takes an authority for no key of the host", () => {
  assertEquals(judge([known(SHOWN, "cert-authority")], SHOWN).kind, "new");
});
