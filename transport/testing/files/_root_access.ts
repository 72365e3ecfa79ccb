/** What a test does with files itself: as root, with errors that say what failed. */

import type { SftpFileInfo } from "../../sftp/file_info.ts";
import {
  type FileAttributes,
  FileError,
  type FileErrorCode,
  type OpenHow,
} from "../sftp_server/served_files.ts";
import { TypeBits } from "./_node.ts";

/** How a file is opened to be read. */
export const READ: OpenHow = {
  read: true,
  write: false,
  append: false,
  create: false,
  truncate: false,
  exclusive: false,
  mode: 0,
};
/** How a file is opened to be written anew. */
export const WRITE: OpenHow = {
  ...READ,
  read: false,
  write: true,
  create: true,
  truncate: true,
  mode: 0o644,
};

const WORDS: Partial<Record<FileErrorCode, string>> = {
  EEXIST: "something has this path already",
  EISDIR: "it is a folder",
  EBUSY: "it is in use",
  ELOOP: "too many links lead to each other",
  ENAMETOOLONG: "the name is too long",
  ENOENT: "there is no such file",
  ENOSPC: "no space is left",
  ENOTDIR: "a part of it is no folder",
  EROFS: "the file system is read-only",
};

/** Does something for the test, and says what it was if it fails. */
export function act<T>(what: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof FileError) || error.message !== "") throw error;
    throw new FileError(
      error.code,
      `Cannot ${what} ${JSON.stringify(path)}: ${
        WORDS[error.code] ?? error.code
      }`,
      { cause: error },
    );
  }
}

/** What SFTP tells of a file. */
export function infoOf(of: FileAttributes): SftpFileInfo {
  const kind = of.mode & 0o170000;
  return {
    isFile: kind === TypeBits.FILE,
    isDirectory: kind === TypeBits.FOLDER,
    isSymlink: kind === TypeBits.LINK,
    size: of.size,
    mtime: new Date(of.mtime * 1000),
    atime: new Date(of.atime * 1000),
    mode: of.mode,
    uid: of.uid,
    gid: of.gid,
  };
}
