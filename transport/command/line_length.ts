/**
 * How long a command line may be, and whether one is.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { ConnectionSpawnOptions } from "../process.ts";
import type { Command } from "./command.ts";

/**
 * The longest command line, in bytes as sent. OpenSSH ends the connection, and
 * with it every other command on it, at a message of more than 262,144 bytes.
 */
const MAX_LINE_BYTES = 255 * 1024;

/**
 * The most bytes that a UTF-16 unit becomes: as it is, and quoted twice with
 * its line feeds and backslashes coded.
 */
const UNIT_BYTES = { plain: 3, quoted: 24 };
/** What is put around a command beside the values of the caller, and more. */
const AROUND_BYTES = 4096;

/**
 * Returns whether a line need not be made to know that it fits.
 *
 * @param command The command.
 * @param length How long it is, in UTF-16 units.
 * @param options What is put around it.
 */
export function isSurelyShort(
  command: Command,
  length: number,
  options: ConnectionSpawnOptions,
): boolean {
  if (!changesLine(options)) return length * UNIT_BYTES.plain <= MAX_LINE_BYTES;
  const { cwd = "", envMode, sudo } = options;
  if (typeof command !== "string" || envMode === "inline") return false;
  if (sudo !== undefined && sudo !== false) return false;
  const bytes = (length + cwd.length) * UNIT_BYTES.quoted;
  return bytes + AROUND_BYTES <= MAX_LINE_BYTES;
}

function changesLine(
  { cwd, envMode, login, sudo }: ConnectionSpawnOptions,
): boolean {
  return cwd !== undefined || envMode === "inline" || login === true ||
    (sudo !== undefined && sudo !== false);
}

/**
 * Checks the length of what is sent in one message.
 *
 * @param text The text, as it is sent.
 * @param limit The most bytes that it may have.
 * @param what What it is, for the message.
 * @throws {RangeError} If it is longer.
 */
export function checkLength(
  text: string,
  limit = MAX_LINE_BYTES,
  what = "it",
): void {
  const size = Buffer.byteLength(text);
  if (size <= limit) return;
  throw new RangeError(
    `Cannot run the command: ${what} is ${size} bytes long, must be at most ` +
      `${limit}: send long data through stdin`,
  );
}
