/**
 * What happens where `deno bench` was typed, and not `deno task bench`.
 *
 * Its own table times whole runs: 100 callers together have one row there, and
 * "each" is the time of all. So `run.ts` runs instead, with the same files and
 * filter, and its table is the only one.
 *
 * @module
 */

const RUN = new URL("../run.ts", import.meta.url).href;

/**
 * Runs `run.ts`, and ends the process with its exit code. Where it cannot be
 * known what was typed, the one file is run, and the process goes on.
 *
 * @param file The URL of the bench file that is being loaded.
 */
export function runInstead(file: string): void {
  const typed = typedArguments();
  const { code } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", RUN, ...typed ?? [new URL(file).pathname]],
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).outputSync();
  if (typed !== undefined || code !== 0) Deno.exit(code);
}

/**
 * Returns the bench files and the filter that were typed, if the system tells.
 */
function typedArguments(): string[] | undefined {
  try {
    return benchArguments(Deno.readTextFileSync("/proc/self/cmdline"));
  } catch {
    return undefined;
  }
}

/**
 * Picks the arguments for `run.ts` out of a command line of `deno bench`.
 *
 * @param line As Linux gives it: each argument ends with a zero byte.
 */
export function benchArguments(line: string): string[] {
  return line.replace(/\0--filter\0/, "\0--filter=").split("\0").filter((arg) =>
    arg.startsWith("--filter=") || arg.endsWith(".ts")
  );
}
