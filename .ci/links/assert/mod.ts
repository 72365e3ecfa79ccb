// The npm build of @std/assert, for machines that reach npm alone. It ships
// JavaScript only, so the signatures in use are declared here.
// deno-lint-ignore-file no-explicit-any -- mirrors the signatures of @std/assert
import * as std from "npm:deno-std@1.4.0/assert/mod.js";

type Ctor<T> = abstract new (...args: any[]) => T;
interface Std {
  assert(expr: unknown, msg?: string): asserts expr;
  assertAlmostEquals(a: number, e: number, tol?: number, msg?: string): void;
  assertArrayIncludes<T>(a: ArrayLike<T>, e: ArrayLike<T>, msg?: string): void;
  assertEquals<T>(actual: T, expected: T, msg?: string): void;
  assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T>;
  assertFalse(expr: unknown, msg?: string): asserts expr is false;
  assertGreater<T>(actual: T, low: T, msg?: string): void;
  assertGreaterOrEqual<T>(actual: T, low: T, msg?: string): void;
  assertInstanceOf<T>(
    actual: unknown,
    type: Ctor<T>,
    msg?: string,
  ): asserts actual is T;
  assertLess<T>(actual: T, high: T, msg?: string): void;
  assertLessOrEqual<T>(actual: T, high: T, msg?: string): void;
  assertMatch(actual: string, expected: RegExp, msg?: string): void;
  assertNotEquals<T>(actual: T, expected: T, msg?: string): void;
  assertNotMatch(actual: string, expected: RegExp, msg?: string): void;
  assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void;
  assertObjectMatch(
    actual: Record<PropertyKey, any>,
    expected: Record<PropertyKey, unknown>,
    msg?: string,
  ): void;
  assertRejects<E extends Error = Error>(
    fn: () => PromiseLike<unknown>,
    type?: Ctor<E>,
    msgIncludes?: string,
    msg?: string,
  ): Promise<E>;
  assertStrictEquals<T>(
    actual: unknown,
    expected: T,
    msg?: string,
  ): asserts actual is T;
  assertStringIncludes(actual: string, expected: string, msg?: string): void;
  assertThrows<E extends Error = Error>(
    fn: () => unknown,
    type?: Ctor<E>,
    msgIncludes?: string,
    msg?: string,
  ): E;
  fail(msg?: string): never;
  unreachable(msg?: string): never;
}
const s = std as unknown as Std;
export const assert: Std["assert"] = s.assert;
export const assertAlmostEquals: Std["assertAlmostEquals"] =
  s.assertAlmostEquals;
export const assertArrayIncludes: Std["assertArrayIncludes"] =
  s.assertArrayIncludes;
export const assertEquals: Std["assertEquals"] = s.assertEquals;
export const assertExists: Std["assertExists"] = s.assertExists;
export const assertFalse: Std["assertFalse"] = s.assertFalse;
export const assertGreater: Std["assertGreater"] = s.assertGreater;
export const assertGreaterOrEqual: Std["assertGreaterOrEqual"] =
  s.assertGreaterOrEqual;
export const assertInstanceOf: Std["assertInstanceOf"] = s.assertInstanceOf;
export const assertLess: Std["assertLess"] = s.assertLess;
export const assertLessOrEqual: Std["assertLessOrEqual"] = s.assertLessOrEqual;
export const assertMatch: Std["assertMatch"] = s.assertMatch;
export const assertNotEquals: Std["assertNotEquals"] = s.assertNotEquals;
export const assertNotMatch: Std["assertNotMatch"] = s.assertNotMatch;
export const assertNotStrictEquals: Std["assertNotStrictEquals"] =
  s.assertNotStrictEquals;
export const assertObjectMatch: Std["assertObjectMatch"] = s.assertObjectMatch;
export const assertRejects: Std["assertRejects"] = s.assertRejects;
export const assertStrictEquals: Std["assertStrictEquals"] =
  s.assertStrictEquals;
export const assertStringIncludes: Std["assertStringIncludes"] =
  s.assertStringIncludes;
export const assertThrows: Std["assertThrows"] = s.assertThrows;
export const fail: Std["fail"] = s.fail;
export const unreachable: Std["unreachable"] = s.unreachable;
