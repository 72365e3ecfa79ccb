/**
 * Errors as JSON and back, so that another process can throw what this one
 * caught: the same class, with its fields.
 *
 * @module
 */

import {
  ERROR_KINDS,
  type FieldCheck,
  MalformedField,
  ownCode,
  plainLines,
  yesOrNo,
} from "./_error_kinds.ts";
import {
  RemoteError,
  SshError,
  type SshErrorJson,
  type SshErrorOptions,
} from "./errors.ts";

/** What {@linkcode errorToJson} returns: no output, no stack and no secret. */
export interface ErrorJson extends Partial<Omit<SshErrorJson, "phase">> {
  /** The name of the class. */
  readonly name: string;
  /** What failed. */
  readonly message: string;
  /** The step that failed, of an error of this library. */
  readonly phase?: string;
  /** The error that led to it. */
  readonly cause?: ErrorJson;
  /** The fields of its class. */
  readonly [field: string]: unknown;
}

/** How many causes are taken along. */
const MAX_CAUSES = 8;

/**
 * Makes what another process needs to throw the same error: its class, its
 * fields, and those of its causes. Output, stacks and values that are no part
 * of the class stay here. Of a cause that is not of this library only the name
 * and the code are given, since its message may hold a secret.
 *
 * @param error The error; anything else becomes one without a message.
 * @returns A plain object, for `JSON.stringify()`.
 *
 * @example Pass a failure on to another process
 * ```ts
 * import { DialError, errorFromJson, errorToJson } from "@sshpool/sshpool";
 * import { assertEquals, assertInstanceOf } from "@std/assert";
 *
 * const text = JSON.stringify(errorToJson(new DialError("dns", "no such host")));
 * const error = errorFromJson(JSON.parse(text));
 * assertInstanceOf(error, DialError);
 * assertEquals(error.phase, "dns");
 * ```
 */
export function errorToJson(error: unknown): ErrorJson {
  return toJson(error, 0);
}

function toJson(error: unknown, depth: number): ErrorJson {
  if (!(error instanceof SshError)) return foreignToJson(error, depth > 0);
  const { checks = {} } = ERROR_KINDS[error.name] ?? {};
  const fields: Record<string, unknown> = {};
  for (const name of Object.keys(checks)) {
    const value = (error as unknown as Record<string, unknown>)[name];
    if (value !== undefined) fields[name] = value;
  }
  const { cause } = error;
  const hasCause = cause !== undefined && depth < MAX_CAUSES;
  return {
    ...error.toJSON(),
    ...fields,
    ...hasCause && { cause: toJson(cause, depth + 1) },
  };
}

/** Names of errors that any JavaScript has. */
const FOREIGN = ["TypeError", "RangeError", "AbortError", "TimeoutError"];

function foreignToJson(error: unknown, isCause: boolean): ErrorJson {
  if (!(error instanceof Error)) return { name: "Error", message: "" };
  const { code } = error as { code?: unknown };
  const name = FOREIGN.includes(error.name) ? error.name : "Error";
  const isCode = typeof code === "string" &&
    /^[A-Z][A-Z0-9_]{1,40}$/.test(code);
  return {
    name,
    message: isCause ? isCode ? code : name : error.message,
    ...isCode && { code },
  };
}

/**
 * Makes an error from what {@linkcode errorToJson} gave, which is checked: it
 * comes from elsewhere. A class that is not known, or whose fields are not what
 * they must be, becomes a {@linkcode RemoteError}. What is not of this library
 * becomes a `TypeError`, a `RangeError`, an `AbortError` or an `Error`.
 *
 * @param json What came, parsed.
 * @returns The error, whose stack is of this process.
 *
 * @example Take what a newer version may have sent
 * ```ts
 * import { errorFromJson, RemoteError } from "@sshpool/sshpool";
 * import { assertEquals, assertInstanceOf } from "@std/assert";
 *
 * const json = { name: "NewError", code: "SSH_NEW", message: "Cannot do it" };
 * const error = errorFromJson(JSON.parse(JSON.stringify(json)));
 * assertInstanceOf(error, RemoteError);
 * assertEquals([error.code, error.message], ["SSH_NEW", "Cannot do it"]);
 * ```
 */
export function errorFromJson(json: unknown): Error {
  return fromJson(json, 0);
}

function fromJson(json: unknown, depth: number): Error {
  const given = typeof json === "object" && json !== null
    ? json as Record<string, unknown>
    : {};
  const own = (name: string) =>
    Object.hasOwn(given, name) ? given[name] : undefined;
  const read = <T>(name: string, check: FieldCheck<T>): T | undefined => {
    try {
      return check(own(name));
    } catch {
      return undefined;
    }
  };
  const name = read("name", plainLines) ?? "";
  const message = read("message", plainLines) || "Another process failed";
  const host = read("host", plainLines);
  const hint = read("hint", plainLines);
  const hasCause = Object.hasOwn(given, "cause") && depth < MAX_CAUSES;
  const options: SshErrorOptions = {
    host,
    hint,
    ...hasCause && { cause: fromJson(given.cause, depth + 1) },
  };
  const known = Object.hasOwn(ERROR_KINDS, name)
    ? ERROR_KINDS[name]
    : undefined;
  if (known !== undefined) {
    try {
      const fields = Object.entries(known.checks)
        .map(([name, check]) => [name, check(own(name))]);
      return known.make(message, Object.fromEntries(fields), options);
    } catch (error) {
      if (!(error instanceof MalformedField)) throw error;
    }
  }
  const code = read("code", ownCode);
  if (known === undefined && code === undefined) {
    return foreign(name, message, read("code", plainLines));
  }
  const mayHaveRun = read("mayHaveRun", yesOrNo) ?? true;
  return new RemoteError(message, {
    ...options,
    mayHaveRun,
    ...code !== undefined && { code },
  });
}

function foreign(
  name: string,
  message: string,
  code: string | undefined,
): Error {
  switch (name) {
    case "TypeError":
      return new TypeError(message);
    case "RangeError":
      return new RangeError(message);
    case "AbortError":
    case "TimeoutError":
      return new DOMException(message, name);
    default:
      return Object.assign(
        new Error(message),
        code === undefined ? {} : { code },
      );
  }
}
