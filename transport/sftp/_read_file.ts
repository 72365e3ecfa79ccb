import { diagnosed, lookForFolder } from "./_diagnose.ts";
import { OpenFlag } from "./_packets.ts";
import type { Call, Protocol } from "./_protocol.ts";
import { readAhead } from "./_read_ahead.ts";

/** Reads all of a file. */
export async function readFile(
  protocol: Protocol,
  call: Call,
): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await protocol.open(call, OpenFlag.READ);
  try {
    return await diagnosed(
      protocol,
      call,
      () => collect(readAhead(protocol, call, handle)),
      lookForFolder,
    );
  } finally {
    protocol.closeUnobserved(handle);
  }
}

async function collect(
  pieces: AsyncIterable<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  const all: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    all.push(piece);
    length += piece.length;
  }
  const joined = new Uint8Array(length);
  let at = 0;
  for (const piece of all) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}
