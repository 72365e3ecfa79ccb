/**
 * A throwaway account that may use `sudo`, as a rule of sudoers says.
 *
 * @example
 * ```ts
 * await using account = await makeSudoAccount({ rules: ["ALL=(ALL) ALL"] });
 * await using sshd = await startSshd();
 * await pool.exec(sshd.host({ user: account.user }), "id", {
 *   sudo: { password: account.password },
 * });
 * ```
 *
 * @module
 */

import { existsSync } from "node:fs";

const SUDOERS = "/etc/sudoers.d";

/** Whether tests with a real sudo have to be ignored. */
export const noSudo: boolean = Deno.build.os !== "linux" ||
  Deno.uid() !== 0 || !existsSync("/usr/bin/sudo") || !existsSync(SUDOERS);

/** What to tell whoever sees such a test ignored. */
export const sudoHint = "install sudo, and be root, to run this test";

/** Options of {@linkcode makeSudoAccount}. */
export interface SudoAccountOptions {
  /**
   * The password of the account.
   *
   * @default {"pass word"}
   */
  password?: string;
  /** What it may do, as in sudoers behind the name of the user. */
  rules?: string[];
  /** `Defaults` of sudoers for this user alone. */
  defaults?: string[];
  /** Lines of a PAM service for its `sudo` alone. Default: that of all. */
  pam?: string[];
  /**
   * Its shell.
   *
   * @default {"/bin/sh"}
   */
  shell?: string;
}

/** An account; dispose of it to take it away. */
export interface SudoAccount extends AsyncDisposable {
  readonly user: string;
  readonly password: string;
  /** Changes what expires, by options of `chage`. */
  chage(...options: string[]): Promise<void>;
}

const PAM = "/etc/pam.d";

/** Whether PAM has all of these modules, such as `pam_stress`. */
export function hasPamModules(...names: string[]): boolean {
  const folders = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"]
    .flatMap((root) => {
      try {
        return [...Deno.readDirSync(root)].map((it) => `${root}/${it.name}`)
          .concat(root);
      } catch {
        return [];
      }
    });
  return names.every((name) =>
    folders.some((folder) => existsSync(`${folder}/security/${name}.so`))
  );
}

/** Makes an account, and its file in sudoers.d. */
export async function makeSudoAccount(
  options: SudoAccountOptions = {},
): Promise<SudoAccount> {
  const { password = "pass word", rules = [], pam } = options;
  const defaults = [...options.defaults ?? []];
  const user = `sshpool-sudo-${crypto.randomUUID().slice(0, 8)}`;
  // A name with a dot is passed over.
  const file = `${SUDOERS}/${user}`;
  const service = `${PAM}/${user}`;
  if (pam !== undefined) defaults.push(`pam_service=${user}`);
  const account = {
    user,
    password,
    // One writer at a time: another fails, and does not wait for the lock.
    chage: (...args: string[]) => again(["chage", ...args, user]),
    async [Symbol.asyncDispose]() {
      await Deno.remove(file).catch(() => {});
      await Deno.remove(service).catch(() => {});
      await retried(["userdel", "-r", user], async () => !await exists(user));
    },
  };
  try {
    await retried(
      ["useradd", "-m", "-s", options.shell ?? "/bin/sh", user],
      () => exists(user),
    );
    await run(["chpasswd"], `${user}:${password}\n`);
    if (pam !== undefined) {
      await Deno.writeTextFile(service, `${pam.join("\n")}\n`);
    }
    const lines = [
      ...defaults.map((it) => `Defaults:${user} ${it}`),
      ...rules.map((it) => `${user} ${it}`),
      "",
    ];
    // sudo refuses everything while a file is broken: it comes in one piece.
    const draft = `${SUDOERS}/.${user}`;
    await Deno.writeTextFile(draft, lines.join("\n"), { mode: 0o440 });
    try {
      await run(["visudo", "-cqf", draft]);
      await Deno.rename(draft, file);
    } catch (error) {
      await Deno.remove(draft);
      throw error;
    }
    return account;
  } catch (error) {
    await account[Symbol.asyncDispose]();
    throw error;
  }
}

async function exists(user: string): Promise<boolean> {
  try {
    await run(["getent", "passwd", user]);
    return true;
  } catch {
    return false;
  }
}

/** Test files run in parallel, and the tools do not wait for the lock. */
async function retried(
  command: string[],
  isDone: () => Promise<boolean>,
): Promise<void> {
  let last: unknown;
  for (let attempt = 0; attempt < 50; attempt++) {
    await run(command).catch((error) => last = error);
    if (await isDone()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw last;
}

async function again(command: string[]): Promise<void> {
  let isDone = false;
  const once = () => run(command).then(() => isDone = true);
  for (let left = 50; !isDone; left--) {
    if (left === 0) return void await once();
    await once().catch(() => {});
    if (!isDone) await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function run([name, ...args]: string[], stdin = ""): Promise<void> {
  const child = new Deno.Command(name!, {
    args,
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(stdin)).catch(() => {});
  await writer.close().catch(() => {});
  const { success, stderr } = await child.output();
  if (success) return;
  throw new Error(`${name}: ${new TextDecoder().decode(stderr)}`);
}
