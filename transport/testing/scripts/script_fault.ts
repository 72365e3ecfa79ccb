/** What scripts give, and the error of a script that gives something else. */

import { accepting, plainText } from "../../options/rules.ts";
import { Field, OptionTable } from "../../options/table.ts";
import type { CommandResult } from "./command_script.ts";

/** A mistake of the test itself, which is no answer of the host. */
export class ScriptFault extends TypeError {}

/** Throws what a check throws as the mistake of the script. */
export function checkScript<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new ScriptFault((error as Error).message, { cause: error });
  }
}

const output = accepting(
  "a string or a Uint8Array",
  (value) => typeof value === "string" || value instanceof Uint8Array,
);

/** Of a scripted command. */
export const RESULT = new OptionTable<CommandResult>("play the script", {
  code: accepting(
    "a whole number or null",
    (value) => value === null || Number.isSafeInteger(value),
  ),
  signal: plainText,
  stdout: output,
  stderr: output,
}, { noun: "field", synonyms: { exitcode: "code", output: "stdout" } });

const AT = new Field(RESULT.doing, "result");

/** Returns a copy of the result of a command. */
export function checkResult(result: CommandResult): CommandResult {
  return checkScript(() => RESULT.check(result, AT));
}
