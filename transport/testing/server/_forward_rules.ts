/** Which forwards the embedded server allows, as sshd_config says it. */

import { type ForwardTarget, targetName } from "../../host/target.ts";
import type {
  EmbeddedServerOptions,
  ForwardPermission,
} from "./embedded_server_options.ts";

/** Whether a client may open a channel to there. */
export function mayOpen(
  options: EmbeddedServerOptions,
  target: ForwardTarget,
): boolean {
  if ("path" in target) {
    return allows(options.allowStreamLocalForwarding, "local");
  }
  return allows(options.allowTcpForwarding, "local") &&
    (options.permitOpen?.some((pattern) => fits(pattern, target)) ?? true);
}

/** Whether a client may let the server listen there. */
export function mayListen(
  options: EmbeddedServerOptions,
  address: ForwardTarget,
): boolean {
  if ("path" in address) {
    return allows(options.allowStreamLocalForwarding, "remote");
  }
  const fitsOne = (pattern: string) =>
    fits(pattern.includes(":") ? pattern : `*:${pattern}`, address);
  return allows(options.allowTcpForwarding, "remote") &&
    (options.permitListen?.some(fitsOne) ?? true);
}

function allows(
  permission: ForwardPermission = true,
  direction: "local" | "remote",
): boolean {
  return permission === true || permission === direction;
}

/** Compares with `host:port`, of which either part may be `*`. */
function fits(
  pattern: string,
  { hostname, port }: { readonly hostname: string; readonly port: number },
): boolean {
  const colon = pattern.lastIndexOf(":");
  const [host, number] = [pattern.slice(0, colon), pattern.slice(colon + 1)];
  const [own] = [targetName({ hostname, port }).slice(0, -`:${port}`.length)];
  return (host === "*" || host === own) &&
    (number === "*" || Number(number) === port);
}
