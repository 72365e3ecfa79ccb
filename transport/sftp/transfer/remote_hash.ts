/**
 * Hashes of files where they are, by a command of the host.
 *
 * @module
 */

import type { Connection } from "../../connector.ts";
import type { SudoOptions } from "../../process.ts";

/**
 * Hashes the beginning of a file on the host.
 *
 * @param path The file, as an absolute path.
 * @param bytes How much of it.
 * @returns Its SHA-256 in hex digits; `undefined` if the host cannot.
 */
export type RemoteHash = (
  path: string,
  bytes: number,
  signal: AbortSignal,
) => Promise<string | undefined>;

/** What systems call it: GNU and busybox, Perl, the BSDs, OpenSSL. */
const SCRIPT = [
  "if command -v sha256sum >/dev/null 2>&1; then s=sha256sum;",
  'elif command -v shasum >/dev/null 2>&1; then s="shasum -a 256";',
  'elif command -v sha256 >/dev/null 2>&1; then s="sha256 -q";',
  'else s="openssl dgst -sha256 -r"; fi;',
  'head -c "$2" <"$1" | $s',
].join(" ");

/** How long it may take: so long, and as many milliseconds for each of so many bytes. */
const [START_MS, BYTES_OF_MS] = [30_000, 10_000];

/**
 * Hashes a file by a command. Whatever fails, a file can still be read back.
 *
 * @param connection The connection; it may have no shell.
 * @param how As whom.
 */
export async function hashBy(
  connection: Pick<Connection, "exec">,
  [path, bytes, signal]: Parameters<RemoteHash>,
  how: { readonly sudo?: boolean | SudoOptions; readonly onOpen: () => void },
): Promise<string | undefined> {
  try {
    const { code, stdout } = await connection.exec(
      ["/bin/sh", "-c", SCRIPT, "sh", path, String(bytes)],
      {
        ...how,
        signal,
        timeoutMs: START_MS + bytes / BYTES_OF_MS,
        maxOutputBytes: 64 * 1024,
        onOutputLimit: "truncate",
      },
    );
    if (code !== 0) return undefined;
    // A login may print something before it.
    return /(?:^|\n)([0-9a-f]{64})\b[^\n]*\n?$/.exec(stdout)?.[1];
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}
