/**
 * What the options of a configuration and of its resolver may hold.
 *
 * @module
 */

import {
  duration,
  flag,
  listOf,
  plainText,
  wholeNumber,
} from "../options/rules.ts";
import { OptionTable, type Rules } from "../options/table.ts";
import type {
  ComputeOptions,
  SshConfigOptions,
  SshConfigResolverOptions,
} from "./config.ts";

const CONFIG: Rules<SshConfigOptions> = {
  files: listOf("an array of paths", plainText),
  allowMatchExec: flag,
  home: plainText,
};

/** Of `loadSshConfig()`. */
export const CONFIG_OPTIONS = new OptionTable<SshConfigOptions>(
  "read ssh_config",
  CONFIG,
);

/** Of `SshConfigResolver`, and the option `config` of a pool. */
export const RESOLVER_OPTIONS = new OptionTable<SshConfigResolverOptions>(
  "make the resolver",
  { ...CONFIG, recheckMs: duration({ zero: true }) },
);

/** Of `SshConfig.compute()`. */
export const COMPUTE_OPTIONS = new OptionTable<ComputeOptions>(
  "look up the host",
  { user: plainText, port: wholeNumber(1, 65_535) },
);
