/**
 * What the options of the operations on files may hold.
 *
 * @module
 */

import {
  byteLimit,
  callback,
  count,
  fileMode,
  flag,
  signal,
  wholeNumber,
} from "../options/rules.ts";
import { OptionTable, type Rule } from "../options/table.ts";
import type {
  SftpAttributes,
  SftpCallOptions,
  SftpRangeOptions,
  SftpWriteFromOptions,
} from "./file.ts";
import type {
  SftpGlobOptions,
  SftpMkdirOptions,
  SftpOpenOptions,
  SftpReadFileOptions,
  SftpRemoveOptions,
  SftpWalkOptions,
  SftpWriteFileOptions,
} from "./options.ts";

const bytes = wholeNumber(0);

/** Of `Sftp.open()`. */
export const OPEN_OPTIONS = new OptionTable<SftpOpenOptions>("open the file", {
  signal,
  read: flag,
  write: flag,
  append: flag,
  truncate: flag,
  create: flag,
  createNew: flag,
  mode: fileMode,
});

/** Of `Sftp.writeFile()` and `writeTextFile()`. */
export const WRITE_FILE_OPTIONS = new OptionTable<SftpWriteFileOptions>(
  "write the file",
  {
    signal,
    append: flag,
    create: flag,
    createNew: flag,
    mode: fileMode,
    atomic: flag,
  },
);

/** Of `Sftp.mkdir()`. */
export const MKDIR_OPTIONS = new OptionTable<SftpMkdirOptions>(
  "make the folder",
  { signal, recursive: flag, mode: fileMode },
);

/** Of `Sftp.remove()`. */
export const REMOVE_OPTIONS = new OptionTable<SftpRemoveOptions>(
  "remove the file",
  { signal, recursive: flag },
);

/** Where `SftpFile.readAt()`, `writeAt()` and `writeFrom()` begin. */
export const POSITION = new OptionTable<{ readonly offset: number }>(
  "work on the file",
  { offset: bytes },
);

/** What says which entries of a tree are taken. */
export const entryFilter: Rule = (value, at) => {
  if (typeof value === "function" || typeof value === "string") return value;
  const isList = Array.isArray(value) &&
    value.every((it) => typeof it === "string");
  if (isList) return Object.freeze([...value]);
  return at.reject(value, "a function, or patterns as in a .gitignore");
};

/** Of `Sftp.walk()`. */
export const WALK_OPTIONS = new OptionTable<SftpWalkOptions>(
  "walk through the folder",
  {
    signal,
    maxDepth: count,
    maxEntries: count,
    followSymlinks: flag,
    filter: entryFilter,
  },
);

/** Of `Sftp.glob()`. */
export const GLOB_OPTIONS = new OptionTable<SftpGlobOptions>(
  "find the files",
  { signal, dot: flag, maxDepth: count, maxEntries: count },
);

/** Of `Sftp.readFile()` and `Sftp.readTextFile()`. */
export const READ_FILE_OPTIONS = new OptionTable<SftpReadFileOptions>(
  "read the file",
  { signal, maxBytes: byteLimit },
);

/** Of all other operations. */
export const CALL_OPTIONS = new OptionTable<SftpCallOptions>(
  "work on the file",
  { signal },
);

/** Of `SftpFile.readRange()`. */
export const RANGE_OPTIONS = new OptionTable<SftpRangeOptions>(
  "read the file",
  { signal, onSent: callback, offset: bytes, end: bytes, reuse: flag },
);

/** Of `SftpFile.writeFrom()`. */
export const WRITE_FROM_OPTIONS = new OptionTable<SftpWriteFromOptions>(
  "write the file",
  { signal, onSent: callback, onWritten: callback },
);

const id = wholeNumber(0);
const time: Rule = (value, at) =>
  typeof value === "number" || value instanceof Date
    ? value
    : at.reject(value, "a Date or a number of seconds since 1970");

/** Of `SftpFile.setAttributes()`. */
export const ATTRIBUTES = new OptionTable<SftpAttributes>(
  "set the attributes",
  {
    mode: fileMode,
    owner: new OptionTable<NonNullable<SftpAttributes["owner"]>>(
      "set the attributes",
      { uid: id, gid: id },
    ).asRule("an object with uid and gid"),
    times: new OptionTable<NonNullable<SftpAttributes["times"]>>(
      "set the attributes",
      { atime: time, mtime: time },
    ).asRule("an object with atime and mtime"),
  },
);
