/**
 * `upload()` and `download()`.
 *
 * @module
 */

import type { Sftp } from "../../transport/sftp/sftp.ts";
import { download } from "../../transport/sftp/transfer/download.ts";
import type {
  TransferOptions,
  TransferResult,
} from "../../transport/sftp/transfer/options.ts";
import { upload } from "../../transport/sftp/transfer/upload.ts";
import { POOL_TRANSFER_OPTIONS, type PoolTransferOptions } from "../options.ts";
import { type CallTarget, rejecting, tracedWhole } from "./call.ts";
import { sftp } from "./sftp_sessions.ts";

/** Copies a local file or a tree to the host. */
export function uploadFiles(
  target: CallTarget,
  local: string,
  remote: string,
  options?: PoolTransferOptions,
): Promise<TransferResult> {
  return transfer(
    target,
    "upload",
    options,
    (sftp, options) => upload(sftp, local, remote, options),
  );
}

/** Copies a file or a tree of the host to this side. */
export function downloadFiles(
  target: CallTarget,
  remote: string,
  local: string,
  options?: PoolTransferOptions,
): Promise<TransferResult> {
  return transfer(
    target,
    "download",
    options,
    (sftp, options) => download(sftp, remote, local, options),
  );
}

function transfer(
  target: CallTarget,
  name: "upload" | "download",
  given: PoolTransferOptions | undefined,
  copy: (sftp: Sftp, options: TransferOptions) => Promise<TransferResult>,
): Promise<TransferResult> {
  return rejecting(() => {
    const { acquireTimeoutMs, ...options } = POOL_TRANSFER_OPTIONS.check(given);
    const { signal } = options;
    return tracedWhole(target, name, async (parent) => {
      const session = await sftp(target, { signal, acquireTimeoutMs }, parent);
      try {
        return await copy(session, options);
      } finally {
        session.close();
      }
    });
  });
}
