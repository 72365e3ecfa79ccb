/**
 * What the tests of the treaty are made of.
 *
 * @module
 */

import * as assertions from "node:assert/strict";
import type { Connection, Connector } from "../../connector.ts";
import type { ResolvedHost } from "../../host/host.ts";

/**
 * A connector with a server behind it, made for one test of the treaty. The
 * server allows two sessions on a connection, and its host has a POSIX shell
 * with `cat`, `head`, `printenv`, `sleep` and `stty`, or a script that stands in
 * for it: see {@linkcode contractCommands}. It accepts variables `LC_*` and no
 * others.
 */
export interface ContractRig extends AsyncDisposable {
  /** The connector that is tested. */
  readonly connector: Connector;
  /** The host. The connector logs in to it without any question. */
  readonly host: ResolvedHost;
  /** A folder of the host in which the user may write. */
  readonly folder: string;
  /** A folder in which the host may make unix sockets. */
  readonly sockets: string;
  /**
   * Gives a host that takes the dial and never answers. Without it the deadline
   * of a dial is not tested.
   */
  silent?(): ResolvedHost | Promise<ResolvedHost>;
  /** Loses every connection, from the server's side. */
  lose(): unknown;
}

/** The members that a connection may lack; what needs one is not tested then. */
export type Optional =
  | "forwardIn"
  | "forwardOut"
  | "sftp"
  | "shell"
  | "subsystem";

/** Registers one test, which gets a connection of its own. */
export type Contract = (
  name: string,
  body: (connection: Connection, rig: ContractRig) => Promise<void>,
  needs?: Optional,
) => void;

/** `await using`, which Node 20 lacks: uses something, and disposes of it. */
export async function disposing<T>(
  it: AsyncDisposable,
  use: () => T | Promise<T>,
): Promise<T> {
  try {
    return await use();
  } finally {
    await it[Symbol.asyncDispose]();
  }
}

type Constructor<T> = abstract new (...args: never[]) => T;

/** Holds if the condition does. */
export function assert(
  condition: unknown,
  message?: string,
): asserts condition {
  assertions.ok(condition, message);
}

/** Holds if the two are equal in depth. */
export function assertEquals(actual: unknown, expected: unknown): void {
  assertions.deepStrictEqual(actual, expected);
}

/** Holds if the two are one. */
export function assertStrictEquals(actual: unknown, expected: unknown): void {
  assertions.strictEqual(actual, expected);
}

/** Holds if it is of the class. */
export function assertInstanceOf<T>(
  value: unknown,
  Class: Constructor<T>,
): asserts value is T {
  if (value instanceof Class) return;
  assertions.fail(`It is no ${Class.name}, but: ${value}`);
}

/** Holds if the promise rejects with an error of the class that says the text. */
export async function assertRejects<T extends Error = Error>(
  start: () => PromiseLike<unknown>,
  Class?: Constructor<T>,
  text = "",
): Promise<T> {
  let error: unknown;
  try {
    await start();
  } catch (thrown) {
    error = thrown;
    if (Class !== undefined) assertInstanceOf(error, Class);
    const { message } = error as Error;
    assert(message.includes(text), `It does not say ${text}: ${message}`);
    return error as T;
  }
  return assertions.fail("It did not reject");
}
