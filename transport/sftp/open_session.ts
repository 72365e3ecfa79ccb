/**
 * How an SFTP session begins.
 *
 * @module
 */

import { onAbort } from "../abort.ts";
import { plainText, signal as abortSignal } from "../options/rules.ts";
import { OptionTable } from "../options/table.ts";
import { Protocol } from "./_protocol.ts";
import { SftpSession } from "./_session.ts";
import type { SftpCallOptions } from "./file.ts";
import type { Sftp } from "./sftp.ts";
import type { SftpTransport } from "./transport.ts";

/** Options for {@linkcode startSftp}. */
export interface SftpOptions extends SftpCallOptions {
  /** The name of the host for errors, as `user@host:port`. */
  readonly host?: string | undefined;
}

const OPTIONS = new OptionTable<SftpOptions>("start SFTP", {
  signal: abortSignal,
  host: plainText,
});

/**
 * Starts an SFTP session on a byte channel.
 *
 * @example Over the `sftp-server` program of this machine
 * ```ts ignore
 * import { startSftp } from "@sshpool/sshpool/sftp";
 *
 * const sftp = await startSftp(transport, { host: "root@web-1:22" });
 * console.log(await sftp.readTextFile("/etc/hostname"));
 * sftp.close();
 * ```
 *
 * @param transport The channel. The session owns it from here on, and closes
 * it also when this fails.
 * @param options The signal, and the name of the host.
 * @returns The session, when the server has answered.
 * @throws {SftpError} If the server does not speak SFTP version 3.
 * @throws {ConnectionLostError} If the channel ends first.
 */
export async function startSftp(
  transport: SftpTransport,
  options: SftpOptions = {},
): Promise<Sftp> {
  const { signal, host } = OPTIONS.check(options);
  if (signal?.aborted) {
    transport.close();
    throw signal.reason;
  }
  const protocol = new Protocol(transport, host);
  const stop = onAbort(signal, () => protocol.requests.end());
  try {
    await protocol.ready;
    return new SftpSession(protocol);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    stop();
  }
}
