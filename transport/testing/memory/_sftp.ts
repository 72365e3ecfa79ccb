/** SFTP sessions of a memory connection: the real client, and a server here. */

import type { MemoryFiles } from "../files/memory_files.ts";
import { passAtOnce } from "../scripts/outcome.ts";
import type { MemoryChannels } from "./_channels.ts";
import { SftpPipe } from "./_sftp_pipe.ts";

/**
 * Opens a session channel and starts an SFTP server on it.
 *
 * @param channels The channels of the connection.
 * @param files Gives the files, or throws what refuses them.
 * @param signal Ends it, as long as it has not started.
 */
export async function openSftpPipe(
  channels: MemoryChannels,
  files: () => MemoryFiles,
  signal: AbortSignal | undefined,
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
      return pipe = makePipe(channels, files(), give);
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
  const pipe: SftpPipe = new SftpPipe({
    files: files.served(),
    gate: (request) =>
      passAtOnce(options.onSftpRequest?.(request, connection), pipe.signal),
    delayMs: () => (options.roundTripMs ?? 0) / 2,
    hold: () => channels.thawed(pipe.signal),
    onEnd() {
      stop();
      give();
    },
  });
  const stop = channels.onEnd(() => pipe.end(channels.lost()));
  return pipe;
}
