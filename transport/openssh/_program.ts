/**
 * The program `ssh`: whether it is there, and which version it has.
 *
 * @module
 */

import { execFile } from "node:child_process";
import process from "node:process";
import { flagsFor, isForbidden } from "../host/forbidden.ts";
import { serverText } from "../session/server_text.ts";

/** A version of OpenSSH. */
export interface Version {
  readonly major: number;
  readonly minor: number;
}

/** The first with proxy mode. */
const OLDEST: Version = { major: 7, minor: 4 };
/**
 * The first with KnownHostsCommand. It is also the first that sets apart what
 * a server asks from what ssh asks by itself, so that no server can ask for a
 * passphrase.
 */
export const ASKS_US: Version = { major: 8, minor: 5 };

const INSTALL = "install OpenSSH's client (openssh-client on Debian and " +
  "Ubuntu, openssh-clients on Fedora and RHEL, openssh on Alpine and Arch), " +
  "or leave transport at ssh2";

/** What keeps `ssh` from being used: the reason, and what can be done. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
}

/** Whether a version is as new as another. */
export function isAtLeast(version: Version, least: Version): boolean {
  return version.major === least.major
    ? version.minor >= least.minor
    : version.major > least.major;
}

/** One `ssh`. It is looked at when it is first needed. */
export class Program {
  readonly path: string;
  #version: Promise<Version> | undefined;

  /** @param path The path, or a name to look for in PATH. */
  constructor(path: string) {
    this.path = path;
  }

  /**
   * Its version, which is asked for once. A failure is not kept.
   *
   * @throws {ProgramError} If it cannot be used.
   */
  version(): Promise<Version> {
    if (this.#version !== undefined) return this.#version;
    const asked = this.#version = askVersion(this.path);
    asked.catch(() => this.#version = undefined);
    return asked;
  }
}

async function askVersion(path: string): Promise<Version> {
  if (process.platform === "win32") {
    throw new ProgramError(
      "OpenSSH for Windows has no ControlMaster, which transport openssh " +
        "needs; leave transport at ssh2",
    );
  }
  const text = await run(path);
  const found = /^OpenSSH_(\d+)\.(\d+)/m.exec(text);
  if (found === null) {
    throw new ProgramError(
      `${JSON.stringify(path)} is not OpenSSH, it says ` +
        `${JSON.stringify(serverText(text.trim(), 80))}; ${INSTALL}`,
    );
  }
  const version = { major: Number(found[1]), minor: Number(found[2]) };
  if (isAtLeast(version, OLDEST)) return version;
  throw new ProgramError(
    `${JSON.stringify(path)} is OpenSSH ${version.major}.${version.minor}, ` +
      `must be ${OLDEST.major}.${OLDEST.minor} or later; ${INSTALL}`,
  );
}

/** Gives what `ssh -V` prints. */
function run(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(unusable(path, error));
    try {
      execFile(path, ["-V"], { timeout: 10_000 }, (error, stdout, stderr) => {
        if (error === null) resolve(`${stderr}${stdout}`);
        else fail(error);
      });
    } catch (error) {
      // Deno throws where it may not run it.
      fail(error);
    }
  });
}

/** What to say of a program that could not be started. */
export function unusable(path: string, error: unknown): ProgramError {
  const { code, message } = error as NodeJS.ErrnoException;
  const name = JSON.stringify(path);
  const why = isForbidden(error)
    ? `the runtime does not permit to run ${name}, run with ` +
      flagsFor(error, "run", path)
    : code === "ENOENT"
    ? `there is no program ${name}: ${INSTALL}`
    : code === "EACCES"
    ? `${name} may not be executed: ${INSTALL}`
    : `${name} cannot be run: ${message.split("\n")[0]}`;
  return new ProgramError(why, { cause: error });
}
