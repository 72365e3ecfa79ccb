/**
 * What clients see of the errors of a worker.
 *
 * @module
 */

import { type ErrorJson, errorToJson } from "../error_json.ts";
import { ConnectionLostError, DialError, SshError } from "../errors.ts";
import { PoolClosedError } from "../pool_errors.ts";
import type { FleetRequest } from "./options.ts";
import { hostLabel, type ResolvedHost } from "../host/host.ts";

/** What is told of a message, in characters: it has to fit into one of the bus. */
const MAX_MESSAGE = 2_000;

/** Which failures are no affair of a client: files and options of the worker. */
function isOwn(error: unknown): boolean {
  return !(error instanceof SshError) || error.code === "SSH_CONFIG" ||
    (error instanceof DialError && error.phase === "config");
}

/**
 * Makes JSON of an error for a client: without causes and hints, which speak of
 * the worker's files and options, and with the name of the host that the client
 * knows in the place of its address.
 *
 * @param error The error.
 * @param request Whom it is for.
 * @param host The host, once it is known.
 * @param isDial Whether it failed before anything of the client's was begun.
 */
export function publicError(
  error: unknown,
  { name }: FleetRequest,
  host: ResolvedHost | undefined,
  isDial: boolean,
): ErrorJson {
  const shown = JSON.stringify(name);
  if (isDial && isOwn(error)) {
    return errorToJson(
      new DialError(
        "config",
        `Cannot connect to ${shown}: its worker is not set up for it`,
        { host: name },
      ),
    );
  }
  if (error instanceof PoolClosedError) {
    const why = "its worker is ending";
    return errorToJson(
      isDial
        ? new DialError("tcp", `Cannot connect to ${shown}: ${why}`, {
          host: name,
          throttled: true,
        })
        : new ConnectionLostError(`Cannot go on with ${shown}: ${why}`, {
          host: name,
        }),
    );
  }
  const {
    cause: _cause,
    hint: _hint,
    location: _location,
    host: label,
    tried,
    ...rest
  } = errorToJson(error);
  const secret = [label, host && hostLabel(host), host?.hostname];
  const message = secret.reduce<string>(
    (text, part) => part ? text.replaceAll(part, () => name) : text,
    rest.message,
  );
  return {
    ...rest,
    message: message.slice(0, MAX_MESSAGE),
    host: name,
    // The names of key files are the worker's; those of methods are not.
    ...Array.isArray(tried) && {
      tried: tried.map((it) => String(it).split(" ")[0]),
    },
  };
}
