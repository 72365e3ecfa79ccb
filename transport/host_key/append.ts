/**
 * Adding a key to a known_hosts file while others may do the same.
 *
 * There is no lock file: it would need the right to write beside the file, it
 * would outlive a crash, and `ssh` would not heed it. Instead each writer
 * appends one line with one write, which the kernel puts at the end whoever
 * else writes, and then reads again. All writers see the same order of lines,
 * so all agree that the first key of a name is the valid one. A writer that
 * added another key later takes its own line back, or the next dial would trust
 * both.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHmac, randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { asciiLowerCase } from "../host/pattern.ts";
import { isMissing, latin1Bytes } from "./files.ts";

/** A name that means itself when it stands in a known_hosts file. */
const PLAIN_NAME = /^[\w.:[\]%-]+$/;

const queues = new Map<string, Promise<unknown>>();

/** Runs one task at a time for each file, in the order of the calls. */
export function exclusively<T>(
  path: string,
  task: () => Promise<T>,
): Promise<T> {
  const turn = (queues.get(path) ?? Promise.resolve()).then(task);
  const ended = turn.then(() => {}, () => {});
  queues.set(path, ended);
  ended.then(() => {
    if (queues.get(path) === ended) queues.delete(path);
  });
  return turn;
}

/** What goes into a new line. */
export interface NewLine {
  /** The name as it will be looked up. */
  readonly name: string;
  readonly type: string;
  /** The key in base64. */
  readonly key: string;
  /** Hash the name. */
  readonly hashed: boolean;
}

/**
 * Formats a line, without its end. A name that would be read as a pattern or
 * as several names is always hashed, so that it cannot vouch for other hosts.
 */
export function formatLine({ name, type, key, hashed }: NewLine): string {
  const lower = asciiLowerCase(name);
  const plain = !hashed && PLAIN_NAME.test(lower);
  return `${plain ? lower : hashName(lower)} ${type} ${key}`;
}

function hashName(name: string): string {
  const salt = randomBytes(20);
  const hash = createHmac("sha1", salt).update(name).digest("base64");
  return `|1|${salt.toString("base64")}|${hash}`;
}

/**
 * Appends a line with a single write. A missing file is made with mode 0600,
 * and its missing folder with mode 0700.
 *
 * @param path The file.
 * @param line The line, without its end.
 * @param options Whether the file ends in a newline now.
 */
export async function appendLine(
  path: string,
  line: string,
  options: { readonly endsInNewline: boolean },
): Promise<void> {
  const bytes = latin1Bytes(`${options.endsInNewline ? "" : "\n"}${line}\n`);
  const file = await openToAppend(path);
  try {
    const { bytesWritten } = await file.write(bytes, 0, bytes.length);
    if (bytesWritten !== bytes.length) {
      throw new Error(`only ${bytesWritten} of ${bytes.length} bytes written`);
    }
  } finally {
    await file.close();
  }
}

/** The file cannot be opened to be written; nothing was written. */
export class CannotOpen extends Error {
  override readonly name = "CannotOpen";
}

async function openToAppend(path: string): Promise<FileHandle> {
  try {
    return await open(path, "a", 0o600).catch(async (error) => {
      if (!isMissing(error)) throw error;
      await mkdir(dirname(path), { mode: 0o700 }).catch(ignoreExisting);
      return await open(path, "a", 0o600);
    });
  } catch (cause) {
    throw new CannotOpen(`Cannot open ${path}`, { cause });
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

/**
 * Makes a comment of a line that was appended: one byte is overwritten, so no
 * reader sees anything between, and nothing else moves.
 *
 * @param path The file.
 * @param line The line, without its end.
 */
export async function retractLine(path: string, line: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    const content = (await file.readFile()).toString("latin1");
    const at = `\n${content}`.lastIndexOf(`\n${line}\n`);
    if (at >= 0) await file.write(Buffer.from("#"), 0, 1, at);
  } finally {
    await file.close();
  }
}
