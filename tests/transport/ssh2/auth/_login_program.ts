// Run by auth_test.ts with an environment of its own: logs in to each host, one
// after the other, and answers how that went.

import type { SshHost } from "../../../../transport/host/host.ts";
import { answer } from "../../../kit/child.ts";
import { login } from "./_login.ts";

/** How one login went. */
export interface LoginAnswer {
  readonly ok: boolean;
  readonly tried: readonly string[];
  readonly hint: string;
  /** Why it did not even begin. */
  readonly cause: string;
}

await answer(async (hosts: readonly SshHost[]) => {
  const answers: LoginAnswer[] = [];
  for (const host of hosts) {
    try {
      const { ok, tried, error } = await login(host);
      answers.push({ ok, tried, hint: error.hint ?? "", cause: "" });
    } catch (error) {
      const cause = String((error as Error).cause);
      answers.push({ ok: false, tried: [], hint: "", cause });
    }
  }
  return answers;
});
