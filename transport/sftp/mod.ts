/**
 * Files on a server over SFTP version 3, over any byte channel.
 *
 * @module
 */

export * from "./sftp.ts";
export * from "./open_session.ts";
export { SftpError, type SftpErrorCode } from "./errors.ts";
export * from "./file.ts";
export { decodeFileName, encodeFileName, isUnicodeFileName } from "./names.ts";
export * from "./options.ts";
export * from "./transport.ts";
export { download } from "./transfer/download.ts";
export type {
  TransferOptions,
  TransferProgress,
  TransferResult,
} from "./transfer/options.ts";
export { upload } from "./transfer/upload.ts";
