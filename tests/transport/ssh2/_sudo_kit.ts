/**
 * Tests of `sudo` as it is: Debian's, behind a real sshd, with an account that
 * is made for the test.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { SudoError } from "../../../transport/command/errors.ts";
import type { Connection } from "../../../transport/connector.ts";
import { noSshd, startSshd } from "../../kit/sshd.ts";
import {
  makeSudoAccount,
  noSudo,
  type SudoAccount,
  type SudoAccountOptions,
  sudoHint,
} from "../../kit/sudo.ts";
import { connect } from "./_kit.ts";

/** What a shell, or a line, would change. */
const PASSWORD = `p"w d'é\u{1f600}$(id)\\`;

interface Parts {
  readonly connection: Connection;
  readonly user: string;
  readonly password: string;
  readonly account: SudoAccount;
}

/** A test with an account that may do all, unless the options say otherwise. */
export function sudoTest(
  name: string,
  options: SudoAccountOptions,
  fn: (parts: Parts) => Promise<void>,
  missing?: string,
): void {
  const ignore = missing !== undefined || noSudo || noSshd;
  Deno.test({
    name: ignore ? `${name} (${missing ?? sudoHint})` : name,
    ignore,
    async fn() {
      await using account = await makeSudoAccount({
        rules: ["ALL=(ALL) ALL"],
        password: PASSWORD,
        ...options,
      });
      const { user, password } = account;
      await using sshd = await startSshd();
      await using connection = await connect(sshd.host({ user }));
      await fn({ connection, user, password, account });
    },
  });
}

/** The command lines of all processes. */
export function commandLines(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8")];
      } catch {
        return []; // It has ended.
      }
    });
}

/** The error that a call must reject with. */
export async function sudoError(
  promise: Promise<unknown>,
  reason: SudoError["reason"],
): Promise<SudoError> {
  const error = await assertRejects(() => promise, SudoError);
  assertEquals([error.reason, error.mayHaveRun], [reason, false]);
  return error;
}
