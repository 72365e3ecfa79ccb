/**
 * Assertions that hold in every runtime.
 *
 * @module
 */

import * as assertions from "node:assert/strict";

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
