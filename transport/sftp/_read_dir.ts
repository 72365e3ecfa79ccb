import { diagnosed, lookForFile } from "./_diagnose.ts";
import type { Call, Protocol } from "./_protocol.ts";
import type { SftpDirEntry } from "./file_info.ts";

/** How many requests are in flight for one folder. */
const REQUESTS = 4;

/** Reads a folder; the handle is closed also if the reader stops early. */
export async function* readDir(
  protocol: Protocol,
  call: Call,
): AsyncGenerator<SftpDirEntry, void, undefined> {
  const handle = await diagnosed(
    protocol,
    call,
    () => protocol.openDir(call),
    lookForFile,
    ["SSH_SFTP_FAILURE", "SSH_SFTP_NOT_FOUND"],
  );
  const stop = new AbortController();
  const signal = call.signal === undefined
    ? stop.signal
    : AbortSignal.any([call.signal, stop.signal]);
  const inFlight: Promise<SftpDirEntry[] | null>[] = [];
  try {
    for (;;) {
      while (inFlight.length < REQUESTS) {
        const entries = protocol.readDir({ ...call, signal }, handle);
        entries.catch(() => {}); // seen when its turn comes, if it comes
        inFlight.push(entries);
      }
      const entries = await inFlight.shift();
      if (entries === null || entries === undefined) return;
      yield* entries;
    }
  } finally {
    stop.abort(new DOMException("No longer needed", "AbortError"));
    protocol.closeUnobserved(handle);
  }
}
