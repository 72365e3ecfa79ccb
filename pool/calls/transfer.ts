/**
 * `upload()` and `download()`.
 *
 * @module
 */

import { mixesUpFiles } from "../../transport/sftp/shared_session.ts";
import type { SudoOptions } from "../../transport/process.ts";
import type { SftpSudoOptions } from "../../transport/sftp/options.ts";
import type { Sftp } from "../../transport/sftp/sftp.ts";
import { downloadWith } from "../../transport/sftp/transfer/download.ts";
import type {
  TransferOptions,
  TransferResult,
} from "../../transport/sftp/transfer/options.ts";
import {
  hashBy,
  type RemoteHash,
} from "../../transport/sftp/transfer/remote_hash.ts";
import { uploadWith } from "../../transport/sftp/transfer/upload.ts";
import { POOL_TRANSFER_OPTIONS, type PoolTransferOptions } from "../options.ts";
import type { Operation } from "../telemetry/tracing.ts";
import { type CallTarget, rejecting, tracedWhole } from "./call.ts";
import { run } from "./run.ts";
import { type CheckedSftpOptions, ownSftp, sftp } from "./sftp_sessions.ts";

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
    (sftp, options, hash) => uploadWith(sftp, local, remote, options, hash),
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
    (sftp, options, hash) => downloadWith(sftp, remote, local, options, hash),
  );
}

type Copy = (
  sftp: Sftp,
  options: TransferOptions,
  hash: RemoteHash,
) => Promise<TransferResult>;

function transfer(
  target: CallTarget,
  name: "upload" | "download",
  given: PoolTransferOptions | undefined,
  copy: Copy,
): Promise<TransferResult> {
  return rejecting(() => {
    const { acquireTimeoutMs, sudo, ...options } = POOL_TRANSFER_OPTIONS.check(
      given,
    );
    const how = { sudo, acquireTimeoutMs, signal: options.signal };
    return tracedWhole(target, name, async (parent) => {
      const hash = hashOn(target, how, parent);
      const session = await sftp(target, how, parent);
      try {
        return await copy(session, options, hash);
      } catch (error) {
        if (!mixesUpFiles(session)) throw error;
      } finally {
        session.close();
      }
      return await copyOneByOne(
        await ownSftp(target, how, parent),
        options,
        hash,
        copy,
      );
    });
  });
}

/** The server takes one file for another if several are open, as Erlang's does. */
async function copyOneByOne(
  session: Sftp,
  options: TransferOptions,
  hash: RemoteHash,
  copy: Copy,
): Promise<TransferResult> {
  try {
    const one = { ...options, concurrency: 1 };
    const { notices, ...result } = await copy(session, one, hash);
    const message =
      "The server mixes up files that are open together: they were copied one by one";
    return { ...result, notices: [...notices, { path: "", message }] };
  } finally {
    session.close();
  }
}

/** As whom a command of the same user runs. */
function asCommand(sudo: boolean | SftpSudoOptions): boolean | SudoOptions {
  if (typeof sudo === "boolean") return sudo;
  const { server: _, ...how } = sudo;
  return how;
}

/** A second slot is no reason to wait: what it is for can be done without. */
const HASH_SLOT_MS = 2_000;

/** Hashes files on the host, one at a time. */
function hashOn(
  target: CallTarget,
  { sudo }: CheckedSftpOptions,
  parent: Operation | undefined,
): RemoteHash {
  const how = sudo === undefined ? {} : { sudo: asCommand(sudo) };
  let last: Promise<unknown> = Promise.resolve();
  return (...file) => {
    const [, , signal] = file;
    const next = last.then(() =>
      run(target, {
        name: "exec",
        signal,
        acquireTimeoutMs: HASH_SLOT_MS,
        kind: "command",
        start: (connection, onOpen) =>
          hashBy(connection, file, { ...how, onOpen }),
      }, parent)
    ).catch(() => {
      signal.throwIfAborted();
      return undefined;
    });
    last = next.catch(() => {});
    return next;
  };
}
