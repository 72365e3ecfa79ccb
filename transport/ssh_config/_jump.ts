/**
 * The argument of ProxyJump.
 *
 * @module
 */

import { errorAt, type SourceLine } from "./errors.ts";

/**
 * Takes apart `host1,user@host2:port,ssh://host3`.
 *
 * @returns The hops, the first one dialled first; `["none"]` for none.
 * @throws {SshConfigError} If a hop is malformed.
 */
export function checkJump(text: string, place: SourceLine): readonly string[] {
  const list = text.replace(/^[ \t\r\n=]+/, "").replace(/#[^]*$/, "").trim();
  if (list.toLowerCase() === "none") return ["none"];
  const hops = list.split(",");
  for (const hop of hops) {
    if (!isHop(hop)) {
      throw errorAt(
        place,
        `ProxyJump has ${JSON.stringify(hop.slice(0, 60))}, must be ` +
          "[user@]host[:port] or ssh://..., with commas between",
      );
    }
  }
  return hops;
}

// Looser than a host string: tokens such as %h may stand in it, and what they
// expand to is checked when the hop is resolved.
function isHop(hop: string): boolean {
  const uri = /^ssh:\/\//i.test(hop);
  const rest = uri ? hop.slice(6).replace(/\/$/, "") : hop;
  const address = rest.slice(rest.lastIndexOf("@") + 1);
  const user = rest.slice(0, Math.max(0, rest.lastIndexOf("@")));
  if (rest.includes("@") && user === "") return false;
  if (uri && user.includes(":")) return false;
  const match = /^(?:\[([^\[\]\s]+)\]|([^\s:\[\]/]+))(?::(\d+))?$/.exec(
    address,
  );
  if (match === null) return false;
  const port = match[3];
  return port === undefined || (Number(port) >= 1 && Number(port) <= 65535);
}
