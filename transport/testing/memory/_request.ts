/** What is asked for on a session channel of a memory connection. */

import type {
  ConnectionShellOptions,
  ConnectionSpawnOptions,
  PtyOptions,
} from "../../process.ts";

/** What is asked for on a session channel. */
export interface MemoryRequest {
  /** The command line; `undefined` for a shell. */
  readonly line: string | undefined;
  /** The terminal, if it gets one. */
  readonly pty: PtyOptions | undefined;
  /** Variables that the server must set. */
  readonly env: Readonly<Record<string, string>>;
  /** Variables that reach the command without the server's consent. */
  readonly inlineEnv: Readonly<Record<string, string>>;
}

const NO_ENV: Readonly<Record<string, string>> = Object.freeze({});

/** The request of a command, whose options were checked. */
export function requestOfCommand(
  line: string,
  options: ConnectionSpawnOptions,
): MemoryRequest {
  const { env = NO_ENV, envMode, sudo, pty } = options;
  // sudo gets them through its standard input.
  const isSudo = sudo !== undefined && sudo !== false;
  const isInline = isSudo || envMode === "inline";
  return {
    line,
    pty: typeof pty === "boolean" ? pty ? {} : undefined : pty,
    env: isInline ? NO_ENV : env,
    inlineEnv: isInline ? env : NO_ENV,
  };
}

/** The request of a shell, whose options were checked. */
export function requestOfShell(options: ConnectionShellOptions): MemoryRequest {
  const { env = NO_ENV, envMode, term, columns, rows } = options;
  const isInline = envMode === "inline";
  return {
    line: undefined,
    pty: {
      ...term === undefined ? {} : { term },
      ...columns === undefined ? {} : { columns },
      ...rows === undefined ? {} : { rows },
    },
    env: isInline ? NO_ENV : env,
    inlineEnv: isInline ? env : NO_ENV,
  };
}
