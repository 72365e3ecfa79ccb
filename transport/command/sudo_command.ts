/**
 * The command line of a command with `sudo`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { posixLine } from "./_any_shell.ts";
import type { ConnectionSpawnOptions, SudoOptions } from "../process.ts";
import { exportLine, posixText } from "./shell_line.ts";

/** A command line with `sudo`, and what is sent to its standard input. */
export interface SudoCommand {
  /** The line for the shell of the user who logs in. */
  readonly line: string;
  /** The user to become. */
  readonly user: string;
  /** What is printed where sudo begins: before it the files of a login speak. */
  readonly begin: string;
  /**
   * What stands around the question for a password: `ASK%OF%BY%ASK`, with the
   * user whose password it is and the one who runs sudo.
   */
  readonly ask: string;
  /** What the command prints, on both outputs, when it has started. */
  readonly start: string;
  readonly password: string | undefined;
  /** Answers what else is asked. */
  readonly prompts: SudoOptions["prompts"];
  /** Whether sudo may ask at all. */
  readonly mayAsk: boolean;
  /** What the command reads before the input of the caller. */
  readonly preamble: string;
  /** Whether both outputs come as one, through a terminal. */
  readonly isMerged: boolean;
}

/**
 * Makes the command line. Neither the password nor a variable of the caller is
 * in it, unless `envMode` is `"inline"`.
 *
 * @param command The command.
 * @param options How to run it; with `sudo`.
 */
export function sudoCommand(
  command: string,
  options: ConnectionSpawnOptions,
): SudoCommand {
  const { cwd, env = {}, envMode, login, pty, sudo } = options;
  const given: SudoOptions = typeof sudo === "object" ? sudo : {};
  const { user = "root", password, prompts } = given;
  const mayAsk = password !== undefined || prompts !== undefined;
  const isMerged = pty !== undefined && pty !== false;
  const isInline = envMode === "inline";
  const secretEnv = isInline || Object.keys(env).length === 0 ? undefined : env;
  const [begin, ask, start, end] = [random(), random(), random(), random()];
  const script = [
    KEEP_LOCALE,
    startLine(start, isMerged),
    ...secretEnv === undefined ? [] : [readLine(end)],
    isMerged ? 'exec /bin/sh -c "$2" sh' : RUN_AND_FORWARD,
  ].join("\n");
  const text = posixText(command, {
    cwd,
    login,
    env: isInline ? env : undefined,
  });
  // Not by -p: that stands in the place of what PAM asks too, and a password
  // would be given to a question for a code.
  //
  // The marks do not stand in the line as they are printed: sudo, or a shell
  // that traces, may print the line itself.
  const print = `printf '%s-%s' ${begin} ${begin}${isMerged ? "" : " >&2"}`;
  const [asks, how] = mayAsk
    ? [`SUDO_PROMPT=${ask}%%%p%%%u%%${ask} `, "-k -S"]
    : ["", "-n"];
  return {
    line: posixLine(
      `${print}; exec env LC_ALL=C ${asks}sudo -H ${how} -u "$1" -- ` +
        'sh -c "$2" sh "${LC_ALL-}" "$3"',
      [user, script, text],
    ),
    user,
    begin: `${begin}-${begin}`,
    ask,
    start: `${start}-${start}`,
    password,
    prompts,
    mayAsk,
    preamble: secretEnv === undefined
      ? ""
      : `${exportLine(secretEnv)}\n${end}\n`,
    isMerged,
  };
}

/** sudo speaks English (its messages are read); the command need not. */
const KEEP_LOCALE =
  'if [ "${LC_ALL+x}" ]; then if [ "$1" ]; then LC_ALL=$1; else ' +
  "unset LC_ALL; fi; fi";

/**
 * sshd signals the process group, in which it may not signal those of another
 * user, and sudo hands a signal on to its child alone. That is this shell,
 * which hands it on to the group. It has to wait meanwhile, so the command
 * runs in the background, where it ignores `INT` with some shells: `TERM` is
 * sent instead. `QUIT` stands for `KILL`, which would end sudo alone. After a
 * signal this shell ends as its command did.
 */
const RUN_AND_FORWARD = `
_sshpool_traps() {
  for _sshpool_name in HUP TERM USR1 USR2; do
    trap "_sshpool_forward $_sshpool_name" $_sshpool_name
  done
  trap "_sshpool_forward TERM" INT
  trap "kill -KILL 0" QUIT
}
_sshpool_forward() {
  _sshpool_got=$1
  trap "" HUP INT TERM USR1 USR2
  kill -"$1" 0
  _sshpool_traps
}
_sshpool_got=
_sshpool_traps
exec 3<&0
(exec /bin/sh -c "$2" sh) <&3 3<&- &
_sshpool_pid=$!
exec </dev/null 3<&-
wait "$_sshpool_pid"
_sshpool_code=$?
while [ "$_sshpool_got" ] && kill -0 "$_sshpool_pid" 2>/dev/null; do
  wait "$_sshpool_pid"
  _sshpool_code=$?
done
if [ "$_sshpool_got" ] && [ "$_sshpool_code" -gt 128 ]; then
  trap - "$_sshpool_got"
  kill -"$_sshpool_got" $$
fi
exit "$_sshpool_code"`.trim();

function startLine(mark: string, isMerged: boolean): string {
  const print = `printf '%s-%s' ${mark} ${mark}`;
  return isMerged ? print : `${print}; ${print} >&2`;
}

/** Reads variables up to a mark. `read` takes no byte beyond a line. */
function readLine(mark: string): string {
  return "_sshpool_env=; while :; do IFS= read -r _sshpool_line || exit 1; " +
    `[ "$_sshpool_line" = ${mark} ] && break; ` +
    '_sshpool_env="$_sshpool_env$_sshpool_line\n"; done; ' +
    'eval "$_sshpool_env"';
}

function random(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `sshpool${Buffer.from(bytes).toString("hex")}`;
}
