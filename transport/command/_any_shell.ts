/**
 * Shell text that means the same whatever the login shell of a user is.
 *
 * @module
 */

/**
 * Puts text in quotes, in a spelling that means the same to sh, bash, ksh, zsh,
 * fish and tcsh.
 *
 * Within single quotes fish reads `\` and csh reads `!`, so both stand outside,
 * behind a backslash, as `'` does. A line feed has no common spelling: csh
 * takes none in quotes.
 *
 * @param text The text, without a NUL character.
 * @returns One word, or a part of one.
 */
export function quoted(text: string): string {
  return `'${inSingleQuotes(text)}'`;
}

/**
 * Returns what {@linkcode quoted} puts between single quotes.
 *
 * @param text The text, without a NUL character.
 */
export function inSingleQuotes(text: string): string {
  return text.replace(/['\\!]/g, "'\\$&'");
}

/**
 * Makes a line that any login shell takes, and that runs a script in `/bin/sh`.
 *
 *     exec /bin/sh -c 'SCRIPT' sh 'ARGUMENT' ...
 *
 * `exec`, so that no second shell stands between sshd and the command: signals
 * and the exit code are those of the script.
 *
 * @param script POSIX shell text, without a line feed.
 * @param args Its positional parameters: any text without a NUL character.
 * @returns The line, without a line feed.
 */
export function posixLine(script: string, args: readonly string[]): string {
  // csh takes no line feed in quotes.
  const isCoded = args.some((arg) => arg.includes("\n"));
  const decode = args.every((arg) => arg.isWellFormed())
    ? DECODE
    : DECODE_BYTES;
  const [text, words] = isCoded
    ? [`${decode} ${script}`, args.map(encoded)]
    : [script, args];
  return `exec /bin/sh -c ${quoted(text)} sh ${words.map(quoted).join(" ")}`;
}

/** The `x` keeps `$()` from taking line feeds at the end away. */
const DECODE = 'for _sshpool do shift; _sshpool=$(printf %bx "$_sshpool"); ' +
  'set -- "$@" "${_sshpool%x}"; done; unset _sshpool;';

/** Where bytes are not UTF-8, bash 5.2 may give others for `%x` with UTF-8. */
const DECODE_BYTES = `_sshpool_lc=\${LC_ALL-}; LC_ALL=C; ${DECODE} ` +
  'LC_ALL=$_sshpool_lc; [ "$LC_ALL" ] || unset LC_ALL; unset _sshpool_lc;';

function encoded(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
