import { diagnosed, lookForExisting, lookForFolder } from "./_diagnose.ts";
import { OpenFile } from "./_open_file.ts";
import { OpenFlag, PacketType } from "./packets.ts";
import type { Call, Protocol } from "./_protocol.ts";
import type { SftpOpenOptions } from "./options.ts";

/** Opens a file. */
export async function openFile(
  protocol: Protocol,
  call: Call,
  options: SftpOpenOptions,
): Promise<OpenFile> {
  const flags = openFlags(options);
  const handle = await diagnosed(
    protocol,
    call,
    () => protocol.open(call, flags, options.mode),
    flags & OpenFlag.EXCLUSIVE ? lookForExisting : lookForFolder,
  );
  if (!options.append) return new OpenFile(protocol, call, handle);
  // Servers other than OpenSSH may heed the offset of an append.
  try {
    const { size } = await protocol.stat(call, PacketType.FSTAT, handle);
    return new OpenFile(protocol, call, handle, size);
  } catch (error) {
    protocol.closeUnobserved(handle);
    throw error;
  }
}

function openFlags(options: SftpOpenOptions): number {
  const { write = false, append = false, truncate = false } = options;
  const { create = false, createNew = false } = options;
  const { read = !write && !append } = options;
  if (!read && !write && !append) {
    throw new TypeError(
      "Cannot open a file: one of read, write and append must be true",
    );
  }
  if ((create || createNew || truncate) && !write && !append) {
    throw new TypeError(
      "Cannot open a file: create, createNew and truncate need write or append",
    );
  }
  if (append && truncate) {
    throw new TypeError("Cannot open a file: append excludes truncate");
  }
  return (read ? OpenFlag.READ : 0) |
    (write || append ? OpenFlag.WRITE : 0) |
    (append ? OpenFlag.APPEND : 0) |
    (truncate ? OpenFlag.TRUNCATE : 0) |
    (create || createNew ? OpenFlag.CREATE : 0) |
    (createNew ? OpenFlag.EXCLUSIVE : 0);
}
