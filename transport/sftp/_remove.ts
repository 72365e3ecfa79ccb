import { diagnosed, lookForEntries } from "./_diagnose.ts";
import { SftpError } from "./errors.ts";
import { PacketType } from "./packets.ts";
import type { Call, Protocol } from "./_protocol.ts";
import { readDir } from "./_read_dir.ts";

/** How many entries of one folder are removed at a time. */
const AT_A_TIME = 64;

/** Removes a file, a link or an empty folder. */
export async function remove(protocol: Protocol, call: Call): Promise<void> {
  // The kind decides the request: on some systems REMOVE damages a folder.
  const { isDirectory } = await protocol.stat(call, PacketType.LSTAT);
  if (isDirectory) await removeFolder(protocol, call);
  else await protocol.entry(call, PacketType.REMOVE);
}

/** Removes whatever it is, with all that is in it. */
export async function removeTree(
  protocol: Protocol,
  call: Call,
): Promise<void> {
  const { isDirectory } = await protocol.stat(call, PacketType.LSTAT);
  if (isDirectory) await removeContent(protocol, call);
  else await protocol.entry(call, PacketType.REMOVE);
}

async function removeContent(protocol: Protocol, call: Call): Promise<void> {
  const folders: string[] = [];
  const removals: Promise<void>[] = [];
  try {
    for await (const entry of readDir(protocol, call)) {
      const path = `${call.path}/${entry.name}`;
      if (entry.isDirectory) folders.push(path);
      else removals.push(removeEntry(protocol, { ...call, path }));
      if (removals.length >= AT_A_TIME) await settled(removals);
    }
  } finally {
    // Also if the folder cannot be read on: they would reject with nobody there.
    await settled(removals);
  }
  for (const path of folders) await removeContent(protocol, { ...call, path });
  await removeFolder(protocol, call);
}

/** Waits for all of them, so that nothing runs on behind a failure. */
async function settled(removals: Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(removals.splice(0));
  const failed = results.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

/** Removes an entry; one that is gone meanwhile is no failure. */
async function removeEntry(protocol: Protocol, call: Call): Promise<void> {
  try {
    await protocol.entry(call, PacketType.REMOVE);
  } catch (error) {
    if (error instanceof SftpError && error.code === "SSH_SFTP_NOT_FOUND") {
      return;
    }
    throw error;
  }
}

function removeFolder(protocol: Protocol, call: Call): Promise<void> {
  return diagnosed(
    protocol,
    call,
    () => protocol.entry(call, PacketType.RMDIR),
    lookForEntries,
  );
}
