import { collectBytes } from "../bytes.ts";
import { diagnosed, lookForFolder } from "./_diagnose.ts";
import { OpenFlag } from "./packets.ts";
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
      () => collectBytes(readAhead(protocol, call, handle)),
      lookForFolder,
    );
  } finally {
    protocol.closeUnobserved(handle);
  }
}
