/**
 * What is wrong with a configuration, and where.
 *
 * @module
 */

import { SshError, type SshErrorOptions } from "../errors.ts";

/**
 * A configuration cannot be read or used. Nothing was dialled.
 *
 * @example Where the problem is
 * ```ts
 * import { ConnectionPool, SshConfigError } from "@sshpool/sshpool";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const file = await Deno.makeTempFile();
 * await Deno.writeTextFile(file, "Host web-1\n  Port http\n");
 * await using pool = new ConnectionPool({ config: { files: [file] } });
 * const error = await assertRejects(
 *   () => pool.exec("web-1", "uptime"),
 *   SshConfigError,
 * );
 * assertEquals(error.line, 2);
 * await Deno.remove(file);
 * ```
 */
export class SshConfigError extends SshError {
  static {
    this.prototype.name = "SshConfigError";
  }

  /** A stable identifier. */
  override readonly code = "SSH_CONFIG";
  /** The step that failed. */
  override readonly phase = "config";
  /** The file that the problem is in, if it is in one. */
  readonly file: string | undefined;
  /** The number of the line, the first being 1, if it is in one. */
  readonly line: number | undefined;

  /**
   * Makes the error.
   *
   * @param message What is wrong; the place is put before it.
   * @param options Where it is, and the cause.
   */
  constructor(message: string, options: SshErrorOptions & {
    /** The file that the problem is in, if it is in one. */
    readonly file?: string | undefined;
    /** The number of the line, the first being 1, if it is in one. */
    readonly line?: number | undefined;
  } = {}) {
    const { file, line } = options;
    const place = file === undefined
      ? ""
      : line === undefined
      ? `${file}: `
      : `${file}:${line}: `;
    super(place + message, options);
    this.file = file;
    this.line = line;
  }
}

/** A place in a file. */
export interface SourceLine {
  /** The file. */
  readonly file: string;
  /** The number of the line, the first being 1. */
  readonly line: number;
}

/** Makes an error at a place. */
export function errorAt(
  place: SourceLine,
  message: string,
  options: ErrorOptions = {},
): SshConfigError {
  return new SshConfigError(message, {
    ...options,
    file: place.file,
    line: place.line,
  });
}
