import type { SftpCall } from "./_call.ts";
import { SftpError } from "./errors.ts";
import { PacketType } from "./packets.ts";

/**
 * Makes a symbolic link. The draft has its two paths in one order, OpenSSH in
 * the other, and most servers follow OpenSSH. Of a server that is not known to,
 * the first link tells: where it is not what it should be, the one that was made
 * the wrong way round is removed, and the other order is kept.
 *
 * @param call Names the link.
 * @param target What the link says.
 */
export async function makeLink(call: SftpCall, target: string): Promise<void> {
  const { protocol } = call;
  await call.symlink(target, protocol.linkOrder ?? "target first");
  if (protocol.linkOrder !== undefined) return;
  if (await readLink(call) === target) {
    protocol.linkOrder = "target first";
    return;
  }
  const wrong = call.at(target);
  if (await readLink(wrong) !== call.path) return; // cannot be told
  protocol.linkOrder = "link first";
  await wrong.entry(PacketType.REMOVE);
  await call.symlink(target, protocol.linkOrder);
}

async function readLink(call: SftpCall): Promise<string | undefined> {
  try {
    return await call.name(PacketType.READLINK);
  } catch (error) {
    if (error instanceof SftpError && error.status !== undefined) {
      return undefined;
    }
    throw error;
  }
}
