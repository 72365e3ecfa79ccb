/**
 * What the options of the fakes may hold. They are checked when a fake is made;
 * a script may change them later.
 *
 * @module
 */

import { MAX_TIMER_MS } from "../abort.ts";
import {
  accepting,
  between,
  callback,
  flag,
  listOf,
  oneOf,
  plainText,
  secret,
  wholeNumber,
} from "../options/rules.ts";
import { OptionTable, type Rule } from "../options/table.ts";
import { RESULT } from "./scripts/script_fault.ts";
import type { MemoryConnectorOptions } from "./memory/memory_connector_options.ts";
import type { EmbeddedServerOptions } from "./server/embedded_server_options.ts";

const isObject = (value: unknown) =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const time = between(0, MAX_TIMER_MS);
const natural = wholeNumber(0);
const names = listOf("an array of names", plainText);
const keys = secret(accepting("an array of keys", Array.isArray));

const sessions: Rule = (value, at) =>
  value === Infinity ? value : natural(value, at);

/** Accepts a function, or what the rule accepts. */
function orFunction(rule: Rule): Rule {
  return (value, at) => typeof value === "function" ? value : rule(value, at);
}

const script = orFunction(accepting("an object or a function", isObject));

const result = orFunction(RESULT.asRule("an object or a function"));

/** A function, or a table of scripts. */
const commands: Rule = (value, at) => {
  script(value, at);
  for (const [line, it] of Object.entries(value as object)) {
    if (it !== undefined) result(it, at.member(line));
  }
  return value;
};

const files = accepting(
  "a MemoryFiles or false",
  (value) => value === false || isObject(value),
);

/** Of `MemoryConnector`. */
export const MEMORY_OPTIONS = new OptionTable<MemoryConnectorOptions>(
  "make the connector",
  {
    dialMs: orFunction(time),
    roundTripMs: time,
    maxSessions: orFunction(sessions),
    reapMs: time,
    reapTurns: natural,
    spareChannels: flag,
    commands,
    shell: callback,
    acceptEnv: names,
    files: orFunction(files),
    targets: script,
    onDial: callback,
    onOpen: callback,
    onExec: callback,
    onChannelClose: callback,
    onSftpRequest: callback,
    onForward: callback,
    onListen: callback,
    onClose: callback,
  },
);

/** Of `EmbeddedServer.start()`. */
export const SERVER_OPTIONS = new OptionTable<EmbeddedServerOptions>(
  "start the server",
  {
    user: plainText,
    password: secret(
      accepting("a string", (value) => typeof value === "string"),
    ),
    publicKeys: keys,
    keyboardInteractive: secret(
      accepting("an object with questions", isObject),
    ),
    requireMethods: names,
    hostKeys: keys,
    algorithms: accepting("an object with kex, cipher and mac", isObject),
    commands,
    shell: orFunction(oneOf(false)),
    files,
    onSftpRequest: callback,
    acceptEnv: names,
    maxSessions: sessions,
    delayDialsMs: time,
    dropBeforeBanner: flag,
    dropAfterBanner: flag,
    neverBanner: flag,
    refuseSessions: flag,
    neverOpen: flag,
    delayOpenMs: time,
    refuseExec: flag,
    exitWithoutStatus: flag,
    refuseForwards: flag,
  },
);
