/** SFTP sessions of a memory connection: the real client, and a server here. */

import type { ChannelOpenError } from "../../errors.ts";
import type { SftpRequest } from "../sftp_server/request.ts";
import type { MemoryFiles } from "../files/memory_files.ts";
import { passAtOnce } from "../scripts/outcome.ts";
import type { Ending, MemoryChannels } from "./_channels.ts";
import { lost } from "./_errors.ts";
import { SftpPipe } from "./_sftp_pipe.ts";

/**
 * Opens a session channel and starts an SFTP server on it.
 *
 * @param channels The channels of the connection.
 * @param files Gives the files; `undefined` if the server has no SFTP.
 * @param signal Ends it, as long as it has not started.
 * @param refused Makes the error if there are no files.
 */
export async function openSftpPipe(
  channels: MemoryChannels,
  files: () => MemoryFiles | undefined,
  signal: AbortSignal | undefined,
  refused: () => ChannelOpenError,
): Promise<SftpPipe> {
  signal?.throwIfAborted();
  const slot = channels.take();
  const give = () => slot?.give();
  let pipe: SftpPipe | undefined;
  try {
    return await channels.ask(signal, async (over) => {
      await channels.opened(slot, over);
      over.throwIfAborted();
      await channels.roundTrip(over);
      const served = files();
      if (served === undefined) throw refused();
      return pipe = makePipe(channels, served, give);
    });
  } catch (error) {
    pipe?.close();
    give();
    throw error;
  }
}

function makePipe(
  channels: MemoryChannels,
  files: MemoryFiles,
  give: () => void,
): SftpPipe {
  const { options, connection } = channels;
  const over = new AbortController();
  const gate = (request: SftpRequest) =>
    passAtOnce(options.onSftpRequest?.(request, connection), over.signal);
  const pipe = new SftpPipe({
    files: files.served(),
    gate,
    delayMs: () => (options.roundTripMs ?? 0) / 2,
    hold: () => channels.thawed(over.signal),
    onEnd() {
      channels.remove(ending);
      give();
      over.abort();
    },
  });
  const ending: Ending = {
    lost(message) {
      const error = lost(channels.name, message);
      over.abort(error);
      pipe.end(error);
    },
  };
  channels.add(ending);
  return pipe;
}
