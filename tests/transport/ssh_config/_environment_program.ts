// Run by config_test.ts with an environment of its own: resolves a host by each
// configuration, and answers what became of its agent and its variables.

import { SshConfigError } from "../../../transport/ssh_config/mod.ts";
import { answer } from "../../kit/child.ts";
import { hostOf } from "./_home.ts";

/** What a configuration made of the host "h". */
export interface EnvironmentAnswer {
  readonly agent?: unknown;
  readonly env?: Readonly<Record<string, string>>;
  /** The message of an `SshConfigError`. */
  readonly error?: string;
}

await answer((texts: readonly string[]) =>
  Promise.all(texts.map(async (text): Promise<EnvironmentAnswer> => {
    try {
      const { agent, env } = (await hostOf(text)).host;
      return { agent, ...env && { env } };
    } catch (error) {
      if (error instanceof SshConfigError) return { error: error.message };
      throw error;
    }
  }))
);
