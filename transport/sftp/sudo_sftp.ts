/**
 * SFTP as another user: the host's sftp-server, run through `sudo`.
 *
 * @module
 */

import type { Connection } from "../connector.ts";
import { ChannelOpenError } from "../errors.ts";
import { hostLabel } from "../host/host.ts";
import type { RemoteProcess } from "../process.ts";
import { lastWords, OutputTail } from "../session/check_exit.ts";
import type { SftpSudoOptions } from "./options.ts";
import { sftpOver } from "./over_tunnel.ts";
import type { Sftp } from "./sftp.ts";

/** Where systems have it. */
const PATHS = [
  "/usr/lib/openssh/sftp-server", // Debian, Ubuntu
  "/usr/libexec/openssh/sftp-server", // Fedora, Red Hat, Amazon
  "/usr/lib/ssh/sftp-server", // Alpine, Arch, SUSE
  "/usr/libexec/ssh/sftp-server", // SUSE
  "/usr/libexec/sftp-server", // the BSDs, macOS, OpenWrt
  "/usr/lib64/misc/sftp-server", // Gentoo
  "/usr/lib/misc/sftp-server",
  "/usr/lib/sftp-server",
  "/usr/local/libexec/sftp-server",
  "/run/current-system/sw/libexec/sftp-server", // NixOS
];

/** What stands before the path, behind whatever else a login prints. */
const MARK = "sshpool-sftp-server:";

const FIND = `printf '\\n${MARK}'; for p do ` +
  `if [ -f "$p" ] && [ -x "$p" ]; then echo "$p"; exit; fi; done; ` +
  "command -v sftp-server || echo";

/** How long the account may take for its answer: a login script may be slow. */
const FIND_MS = 20_000;

/** What a session with `sudo` needs. */
export interface SudoSftpOptions {
  readonly sudo: true | SftpSudoOptions;
  readonly signal: AbortSignal | undefined;
  /** Called when the channel of the session is open. */
  readonly onOpen: () => void;
}

/**
 * Starts the host's sftp-server through `sudo`.
 *
 * @param connection The connection: one channel after the other.
 * @returns The session, and when its channel has ended.
 * @throws {SudoError} If `sudo` refuses.
 * @throws {ChannelOpenError} If the account runs no commands, or the host has
 * no sftp-server.
 * @throws {SftpError} If what was started does not speak SFTP.
 */
export async function startSudoSftp(
  connection: Connection,
  { sudo, signal, onOpen }: SudoSftpOptions,
): Promise<{ readonly sftp: Sftp; readonly ended: Promise<unknown> }> {
  const { server, ...how } = sudo === true ? {} as SftpSudoOptions : sudo;
  const withSignal = signal ? { signal } : {};
  const found = await findServer(connection, server, withSignal);
  const process = await connection.spawn([found], {
    ...withSignal,
    sudo: how,
    onOpen,
  });
  const [words, ended] = watch(process);
  const tunnel = {
    readable: process.stdout,
    writable: process.stdin,
    close: () => void process[Symbol.asyncDispose](),
    lastWords: words,
    ended,
  };
  const host = hostLabel(connection.host);
  const sftp = await sftpOver(tunnel, { host, signal });
  return { sftp, ended };
}

/**
 * Asks the account for the path. One that runs something else than commands,
 * such as `internal-sftp`, ends with its input and says nothing of the kind,
 * where `sudo` would be waited for in vain.
 */
async function findServer(
  connection: Connection,
  server: string | undefined,
  options: { readonly signal?: AbortSignal },
): Promise<string> {
  const paths = server === undefined ? PATHS : [server];
  const { stdout } = await connection.exec(
    ["/bin/sh", "-c", FIND, "sh", ...paths],
    {
      ...options,
      timeoutMs: FIND_MS,
      maxOutputBytes: 64 * 1024,
      onOutputLimit: "truncate",
    },
  );
  const at = stdout.lastIndexOf(MARK);
  const refused = (why: string, hint: string) => {
    const host = hostLabel(connection.host);
    const message = `Cannot start SFTP with sudo on ${JSON.stringify(host)}`;
    return new ChannelOpenError(`${message}: ${why}`, {
      host,
      reason: 0,
      hint,
    });
  };
  if (at === -1) {
    throw refused(
      "the account runs no commands",
      "sudo needs an account with a shell, and no ForceCommand",
    );
  }
  // One that only the other user may see cannot be looked for.
  if (server !== undefined) return server;
  const [path = ""] = stdout.slice(at + MARK.length).split("\n");
  if (path.startsWith("/")) return path;
  throw refused(
    "there is no sftp-server where it is looked for",
    "give its path: sudo: { server }",
  );
}

/** Reads what a program complains of, and waits for its end. */
function watch(
  process: RemoteProcess,
): readonly [words: () => string, ended: Promise<unknown>] {
  const tail = new OutputTail();
  let ending = "";
  const reading = (async () => {
    for await (const chunk of process.stderr) tail.add(chunk);
  })().catch(() => {}); // the session is told
  const ended = process.status.then(({ code, signal }) => {
    ending = signal === null ? `exit code ${code}` : `signal ${signal}`;
  }, () => {}).then(() => reading);
  const words = () => {
    const said = lastWords(tail.text());
    return [ending, said].filter((part) => part !== "").join(": ");
  };
  return [words, ended];
}
