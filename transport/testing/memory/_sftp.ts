/** SFTP sessions of a memory connection: the real client, and a server here. */

import { abortable, onAbort } from "../../abort.ts";
import type { SftpRequest } from "../sftp_server/request.ts";
import type { Sftp } from "../../sftp/sftp.ts";
import { startSftp } from "../../sftp/open_session.ts";
import type { MemoryFiles } from "../files/memory_files.ts";
import { pass } from "../scripts/outcome.ts";
import type { MemoryChannels } from "./_channels.ts";
import type { Ending } from "./_spares.ts";
import { lost, noSubsystem } from "./_errors.ts";
import { SftpPipe, SftpPipeTunnel } from "./_sftp_pipe.ts";
import type { Tunnel } from "../../connector.ts";
import type { ChannelOpenError } from "../../errors.ts";

/**
 * Opens a session channel and starts SFTP on it.
 *
 * @param channels The channels of the connection.
 * @param files Gives the files; `undefined` if the server has no SFTP.
 * @param signal Ends it, as long as it has not started.
 */
export async function openMemorySftp(
  channels: MemoryChannels,
  files: () => MemoryFiles | undefined,
  signal: AbortSignal | undefined,
): Promise<Sftp> {
  const pipe = await openPipe(
    channels,
    files,
    signal,
    () => noSubsystem(channels.name, "sftp", "SFTP"),
  );
  return await startSftp(pipe, { host: channels.name, signal });
}

/** The same, as bytes. */
export async function openMemorySubsystem(
  channels: MemoryChannels,
  name: string,
  files: () => MemoryFiles | undefined,
  signal: AbortSignal | undefined,
): Promise<Tunnel> {
  const what = `the subsystem ${JSON.stringify(name)}`;
  return new SftpPipeTunnel(
    await openPipe(
      channels,
      files,
      signal,
      () => noSubsystem(channels.name, name, what),
    ),
  );
}

async function openPipe(
  channels: MemoryChannels,
  files: () => MemoryFiles | undefined,
  signal: AbortSignal | undefined,
  refused: () => ChannelOpenError,
): Promise<SftpPipe> {
  signal?.throwIfAborted();
  const slot = channels.take();
  if (slot === undefined) return await channels.refuse();
  const over = new AbortController();
  let pipe: SftpPipe | undefined;
  const ending: Ending = {
    lost(message) {
      const error = lost(channels.name, message);
      over.abort(error);
      if (pipe === undefined) end();
      else pipe.end(error);
    },
  };
  const end = () => {
    channels.remove(ending);
    slot.give();
    over.abort();
  };
  channels.add(ending);
  const stop = onAbort(signal, () => over.abort(signal?.reason));
  try {
    await (slot.opened === undefined
      ? channels.open(over.signal)
      : abortable(slot.opened, over.signal));
    over.signal.throwIfAborted();
    await channels.roundTrip(over.signal);
    const served = files();
    if (served === undefined) throw refused();
    return pipe = makePipe(channels, served, { over: over.signal, end });
  } catch (error) {
    end();
    throw error;
  } finally {
    stop();
  }
}

function makePipe(
  channels: MemoryChannels,
  files: MemoryFiles,
  { over, end }: { over: AbortSignal; end: () => void },
): SftpPipe {
  const { options, connection, freeze } = channels;
  const gate = (request: SftpRequest) => {
    const outcome = options.onSftpRequest?.(request, connection);
    if (outcome === undefined || outcome === "ok") return;
    return pass(outcome, over);
  };
  return new SftpPipe({
    files: files.served(),
    gate,
    delayMs: () => (options.roundTripMs ?? 0) / 2,
    hold: () => freeze.isFrozen ? freeze.wait(over) : undefined,
    onEnd: end,
  });
}
