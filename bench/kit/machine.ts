/**
 * On what machine, and with which versions, figures were taken.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };

/** A machine and its software: what it is called, and what it is. */
export type Machine = Readonly<Record<string, string>>;

/** Describes this machine. What cannot be found out is left out. */
export async function describeMachine(): Promise<Machine> {
  const facts: Record<string, string | undefined> = {
    sshpool: await ownVersion(),
    Deno: `${Deno.version.deno} (V8 ${Deno.version.v8})`,
    OpenSSH: await outputOf("ssh", ["-V"]),
    rivals: ["ssh2", "generic-pool", "lightning-pool", "tarn"]
      .map((name) => versionOf(config.imports, name)).join(", "),
    processor: `${await processor()}, ${navigator.hardwareConcurrency} cores`,
    memory: `${(Deno.systemMemoryInfo().total / 2 ** 30).toFixed(0)} GiB`,
    system: `${Deno.build.os} ${Deno.osRelease()}, ${Deno.build.arch}`,
    "load at the start": Deno.loadavg().map((l) => l.toFixed(2)).join(", "),
  };
  return Object.fromEntries(
    Object.entries(facts).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]]
    ),
  );
}

async function ownVersion(): Promise<string> {
  const commit = await outputOf("git", ["rev-parse", "--short", "HEAD"]);
  return commit === undefined
    ? config.version
    : `${config.version}, commit ${commit}`;
}

/** `"ssh2 1.17.0"`, of the specifier `"npm:ssh2@1.17.0"`. */
function versionOf(
  imports: Readonly<Record<string, string>>,
  name: string,
): string {
  return `${name} ${imports[name]?.replace(/^.*@/, "") ?? ""}`.trim();
}

async function processor(): Promise<string> {
  try {
    const text = await Deno.readTextFile("/proc/cpuinfo");
    return /^model name\s*: (.*)$/m.exec(text)?.[1] ?? Deno.build.arch;
  } catch {
    return Deno.build.arch;
  }
}

/** Returns the first line that a program writes; `undefined` if it fails. */
async function outputOf(
  program: string,
  args: string[],
): Promise<string | undefined> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args,
      cwd: import.meta.dirname!,
      stdin: "null",
    }).output();
    if (!success) return undefined;
    // `ssh -V` writes to standard error.
    const text = new TextDecoder().decode(stdout.length > 0 ? stdout : stderr);
    return text.split("\n")[0]!.trim();
  } catch {
    return undefined;
  }
}
