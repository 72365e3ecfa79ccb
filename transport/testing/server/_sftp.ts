/** The SFTP subsystem of the embedded server: one session on a channel. */

import type { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type { ServerChannel } from "ssh2";
import { onAbort } from "../../abort.ts";
import type { SftpRequest } from "../sftp_server/request.ts";
import type { MemoryTree } from "../files/memory_tree.ts";
import { SftpServer } from "../sftp_server/sftp_server.ts";
import { type Outcome, pass } from "../scripts/outcome.ts";

/** What an SFTP session is made of. */
export interface SftpParts {
  readonly files: MemoryTree;
  /** Aborts when the client has closed the channel or is gone. */
  readonly signal: AbortSignal;
  /** Asked before each request. */
  readonly onRequest: (request: SftpRequest) => Outcome;
}

/** What OpenSSH's sftp-server ends with at something that it cannot read. */
const BAD_MESSAGE_CODE = 11;

/** Serves files on a channel until the client ends it. */
export function serveSftp(
  channel: ServerChannel,
  { files, signal, onRequest }: SftpParts,
): void {
  // A socket that dies under a channel is no error of the server.
  channel.on("error", () => {});
  const finish = (code: number) => {
    channel.exit(code);
    channel.end();
    // What still comes is not read any more.
    channel.resume();
  };
  const server = new SftpServer({
    files,
    send: (bytes) => channel.write(bytes) ? undefined : drained(channel),
    end: () => finish(BAD_MESSAGE_CODE),
    gate(request) {
      const outcome = onRequest(request);
      if (outcome === undefined || outcome === "ok") return;
      if (outcome instanceof Error) throw outcome;
      return pass(outcome, signal);
    },
  });
  onAbort(signal, () => server.close());
  channel.on("data", (chunk: Buffer) => {
    const room = server.receive(chunk);
    if (room === undefined) return;
    channel.pause();
    room.then(() => channel.resume());
  });
  channel.once("end", () => {
    if (signal.aborted) return;
    server.close();
    finish(0);
  });
}

/** Room for more, or no channel any more: ssh2 then never says `drain`. */
function drained(channel: ServerChannel): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      channel.off("drain", done).off("close", done);
      resolve();
    };
    channel.on("drain", done).on("close", done);
  });
}
