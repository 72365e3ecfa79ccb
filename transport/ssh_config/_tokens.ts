/**
 * What is expanded in values: `%h` and its like, `${NAME}`, and `~`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { localHostname, localUid, readEnv } from "../host/local_user.ts";
import { errorAt, type SourceLine } from "./errors.ts";

/** What the tokens stand for. */
export interface TokenSource {
  /** The target, after `HostName`. */
  readonly hostname: string;
  /** The target as the caller named it. */
  readonly originalHost: string;
  readonly port: number;
  readonly user: string;
  readonly hostKeyAlias: string | undefined;
  /** The host of the last hop, for `%j`; empty without one. */
  readonly jumpHost: string;
  /** Asked only if a token needs them. */
  readonly localUser: () => string | undefined;
  readonly home: () => string | undefined;
}

type Token = (source: TokenSource) => string | undefined;

const firstLabel = (name: string | undefined): string | undefined =>
  name?.split(".")[0];

const TOKENS: Readonly<Record<string, Token>> = {
  h: (s) => s.hostname,
  n: (s) => s.originalHost,
  p: (s) => String(s.port),
  r: (s) => s.user,
  k: (s) => s.hostKeyAlias ?? s.originalHost,
  j: (s) => s.jumpHost,
  u: (s) => s.localUser(),
  d: (s) => s.home(),
  i: () => localUid()?.toString(),
  l: () => localHostname(),
  L: () => firstLabel(localHostname()),
  C: connectionHash,
};

function connectionHash(source: TokenSource): string | undefined {
  const local = localHostname();
  if (local === undefined) return undefined;
  const { hostname, port, user, jumpHost } = source;
  return createHash("sha1")
    .update(`${local}${hostname}${port}${user}${jumpHost}`).digest("hex");
}

/** Options for {@linkcode expand}. */
export interface ExpandOptions {
  /** The tokens that the keyword takes. Default: all. */
  readonly tokens?: string;
  /** Whether `${NAME}` is expanded. */
  readonly env?: boolean;
  /** Whether a leading `~` is. */
  readonly tilde?: boolean;
  /** The result is read by a shell: refuse what could break out of a word. */
  readonly shell?: boolean;
}

/** Expands a value. `place` is where it stands. */
export function expand(
  text: string,
  source: TokenSource,
  place: SourceLine,
  options: ExpandOptions = {},
): string {
  const start = options.tilde ? expandTilde(text, source, place) : text;
  if (!start.includes("%") && !(options.env && start.includes("$"))) {
    return start;
  }
  // A dangling "%" or "${" has no second group, and is refused below.
  return start.replace(
    /%([^]?)|\$\{([^}]*)(\}?)/g,
    (found, token?: string, name?: string, closing?: string) => {
      if (token !== undefined) {
        return expandToken(token, source, place, options);
      }
      if (!options.env) return found;
      return expandEnv(name ?? "", closing === "}", place);
    },
  );
}

function expandToken(
  token: string,
  source: TokenSource,
  place: SourceLine,
  options: ExpandOptions,
): string {
  if (token === "%") return "%";
  const known = Object.hasOwn(TOKENS, token) &&
    (options.tokens === undefined || options.tokens.includes(token));
  if (!known) throw errorAt(place, `%${token} is no token that may stand here`);
  const value = TOKENS[token]!(source);
  if (value === undefined) {
    throw errorAt(
      place,
      `%${token} cannot be found out: allow reading it (--allow-sys)`,
    );
  }
  if (options.shell) checkShellWord(token, value, place);
  return value;
}

/**
 * A host or user name may come from far away (a link, a repository), and a
 * shell is to read it: CVE-2023-51385 was this.
 */
function checkShellWord(token: string, value: string, place: SourceLine): void {
  if (
    /^[\p{L}\p{N}\p{M}_.:@%+=,\/][\p{L}\p{N}\p{M}_.:@%+=,\/-]*$/u.test(value)
  ) {
    return;
  }
  throw errorAt(
    place,
    `%${token} is ${
      JSON.stringify(value)
    }, which is not safe in a shell command`,
  );
}

function expandEnv(name: string, closed: boolean, place: SourceLine): string {
  if (!closed) throw errorAt(place, "${ has no closing }");
  if (name === "") throw errorAt(place, "${} has no name");
  const value = readEnv(name);
  if (value !== undefined) return value;
  throw errorAt(place, `the environment variable ${name} is not set`);
}

function expandTilde(
  text: string,
  source: TokenSource,
  place: SourceLine,
): string {
  const match = /^~([^/]*)(\/[^]*)?$/.exec(text);
  if (match === null) return text;
  const [, user = "", rest = ""] = match;
  if (user !== "" && user !== source.localUser()) {
    throw errorAt(place, `~${user} is another user's home, which is not known`);
  }
  const home = source.home();
  if (home !== undefined) return home.replace(/\/+$/, "") + (rest || "/");
  throw errorAt(
    place,
    "~ cannot be expanded: the home directory is not known, allow reading it " +
      "(--allow-sys or --allow-env=HOME)",
  );
}
