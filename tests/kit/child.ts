/**
 * What needs another environment or another folder runs in a process of its
 * own: test files are threads of one process, and share both.
 *
 * @module
 */

/** Options of {@linkcode runInChild}. */
export interface ChildOptions {
  /** Variables that are set, or with `undefined` are not there. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /**
   * What it may do.
   *
   * @default {["--allow-all"]}
   */
  readonly permissions?: readonly string[];
}

/**
 * Runs a module with {@linkcode answer} in it, and gives what that answers.
 *
 * @param module The module.
 * @param question What it is given; goes as JSON, as does the answer.
 */
export async function runInChild<T>(
  module: URL,
  question: unknown,
  { env = {}, permissions = ["--allow-all"] }: ChildOptions = {},
): Promise<T> {
  const all = { ...Deno.env.toObject(), DENO_DIR: await denoDir(), ...env };
  const set = Object.entries(all).filter((it): it is [string, string] =>
    it[1] !== undefined
  );
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-check", "--no-prompt", ...permissions],
      ...[module.href, JSON.stringify(question)],
    ],
    env: Object.fromEntries(set),
    clearEnv: true,
    stdin: "null",
  }).output();
  if (success) return JSON.parse(new TextDecoder().decode(stdout));
  throw new Error(`${module.pathname}: ${new TextDecoder().decode(stderr)}`);
}

/** In the module of a child: prints what the question is answered with. */
export async function answer<Q>(
  work: (question: Q) => Promise<unknown>,
): Promise<void> {
  const answered = await work(JSON.parse(Deno.args[0] ?? "null"));
  const text = new TextEncoder().encode(JSON.stringify(answered));
  for (let at = 0; at < text.length;) {
    at += await Deno.stdout.write(text.subarray(at));
  }
}

/** Where Deno keeps packages, which depends on `HOME` if nothing is said. */
export async function denoDir(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json"],
    stdin: "null",
  }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}
