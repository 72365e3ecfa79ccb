/**
 * Scripted commands: what the hosts of this folder answer instead of a shell.
 *
 * @module
 */

import { nearestNames } from "../../options/nearest.ts";
import { builtin, BUILTINS, firstWord } from "./_builtins.ts";
import type { Commands, CommandScript } from "./command_script.ts";
import { checkResult } from "./script_fault.ts";

/**
 * A `MemoryConnector` that has scripts was asked for a command that has none,
 * so the test has met something that its author did not expect.
 *
 * @example Name the command that nobody thought of
 * ```ts
 * import {
 *   MemoryConnector,
 *   UnscriptedCommandError,
 * } from "@sshpool/sshpool/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const connector = new MemoryConnector({
 *   commands: { "systemctl restart app": {} },
 * });
 * const host = { hostname: "web-1", port: 22, user: "ops" };
 * await using connection = await connector.connect(host);
 * const error = await assertRejects(
 *   () => connection.exec("systemctl restrat app"),
 *   UnscriptedCommandError,
 * );
 * assertEquals(error.near, ["systemctl restart app"]);
 * ```
 */
export class UnscriptedCommandError extends Error {
  static {
    this.prototype.name = "UnscriptedCommandError";
  }

  /** The command line. */
  readonly command: string;
  /** The host that was asked, as `user@host:port`. */
  readonly host: string;
  /** Names of scripts that are like it, the nearest first. */
  readonly near: readonly string[];

  /**
   * Makes the error.
   *
   * @param command The command line.
   * @param host The host that was asked.
   * @param names The names of the scripts that there are.
   */
  constructor(command: string, host: string, names: Iterable<string> = []) {
    const known = [...names];
    const near = nearestNames(command, known);
    if (near.length === 0) {
      near.push(...nearestNames(firstWord(command), known));
    }
    const also = near.length === 0
      ? ""
      : `, did you mean ${near.map((it) => JSON.stringify(it)).join(" or ")}?`;
    super(
      `Cannot run ${shown(command)} on ${JSON.stringify(host)}: it has no ` +
        `script${also}${also === "" ? ": " : " "}${howTo(command)}, or "*" ` +
        "for all that have none",
    );
    this.command = command;
    this.host = host;
    this.near = near;
  }
}

/** As much of a command line as a message needs. */
function shown(line: string): string {
  return JSON.stringify(line.length > 200 ? `${line.slice(0, 200)}...` : line);
}

function howTo(line: string): string {
  const name = JSON.stringify(firstWord(line));
  return `add it to the option \`commands\`, such as { ${name}: { stdout: "..." } }`;
}

/** Finds the script of a command line; the answer of a shell if there is none. */
export function findScript(
  line: string,
  commands: Commands | undefined,
  host: string,
): CommandScript {
  return scriptOf(line, commands, host) ?? {
    code: 127,
    stderr: `sh: ${firstWord(line)}: not found\n` +
      `No script for ${shown(line)}: ${howTo(line)}\n`,
  };
}

/**
 * Finds the script of a command line.
 *
 * @throws {TypeError} If what is found is no script.
 * @throws {UnscriptedCommandError} If there are scripts, and none is its own.
 */
export function requireScript(
  line: string,
  commands: Commands | undefined,
  host: string,
): CommandScript {
  if (commands === undefined) return findScript(line, commands, host);
  const script = scriptOf(line, commands, host);
  if (script !== undefined) return script;
  const names = typeof commands === "function" ? [] : Object.keys(commands);
  throw new UnscriptedCommandError(line, host, [...names, ...BUILTINS]);
}

function scriptOf(
  line: string,
  commands: Commands | undefined,
  host: string,
): CommandScript | undefined {
  if (typeof commands === "function") {
    return checked(commands(line, host)) ?? builtin(line);
  }
  if (commands !== undefined) {
    if (Object.hasOwn(commands, line)) return checked(commands[line]);
    const name = firstWord(line);
    if (Object.hasOwn(commands, name)) return checked(commands[name]);
    if (Object.hasOwn(commands, "*")) return checked(commands["*"]);
  }
  return builtin(line);
}

/** The script of a user, who may have changed it since the host was made. */
function checked(script: CommandScript | undefined): CommandScript | undefined {
  return typeof script === "function" || script == undefined
    ? script
    : checkResult(script);
}
