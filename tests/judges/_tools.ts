/**
 * The ways to copy that are compared: ours, and those of OpenSSH and rsync.
 *
 * @module
 */

import { join } from "node:path";
import {
  type ConnectionPool,
  type PoolTransferOptions,
  SshError,
} from "../../mod.ts";
import type { Sshd } from "../kit/sshd.ts";

/** One copy: from one side to the other, as the user of the server names it. */
export interface Copy {
  readonly direction: "up" | "down";
  readonly from: string;
  readonly to: string;
  /** The source is a folder, which goes into the folder `to`. */
  readonly isTree: boolean;
  /** Options of ours. */
  readonly options: PoolTransferOptions;
  /** Options of rsync that mean the same. */
  readonly rsync: readonly string[];
}

/** One column of the table. */
export interface Tool {
  readonly name: string;
  /**
   * Copies; resolves with whether it was reported as done, `undefined` if it is
   * not for such copies.
   */
  copy(copy: Copy): Promise<boolean | undefined>;
}

/** How long a tool may take: some wait for a pipe for ever. */
const TIMEOUT_S = "10";

/** Runs a program. */
export async function run(
  command: string,
  args: readonly string[],
): Promise<{ success: boolean; stdout: string }> {
  const { success, stdout } = await new Deno.Command(command, {
    args: [...args],
    stdin: "null",
  }).output();
  return { success, stdout: new TextDecoder().decode(stdout) };
}

/** Ours: the transfers, and the files of an SFTP session. */
export function ours(pool: ConnectionPool, sshd: Sshd): readonly Tool[] {
  const host = sshd.host();
  return [
    {
      name: "`upload`",
      copy({ direction, from, to, isTree, options }) {
        const target = isTree ? join(to, from.split("/").at(-1)!) : to;
        const verb = direction === "up" ? "upload" : "download";
        return isDone(async () => {
          const { failures } = await pool[verb](host, from, target, options);
          return failures.length === 0;
        });
      },
    },
    {
      name: "`writeFile`",
      async copy({ direction, from, to, isTree }) {
        if (direction === "down" || isTree) return undefined;
        const bytes = await Deno.readFile(from);
        return await isDone(async () => {
          await using sftp = await pool.sftp(host);
          await sftp.writeFile(to, bytes);
          return true;
        });
      },
    },
  ];
}

async function isDone(copy: () => Promise<boolean>): Promise<boolean> {
  try {
    return await copy();
  } catch (error) {
    // Those of files of this side are Node's.
    const isOfFiles = error instanceof SshError ||
      (error as { code?: string }).code !== undefined;
    if (!isOfFiles) throw error;
    return false;
  }
}

/** Those of OpenSSH, and rsync, over one connection. */
export function judges(sshd: Sshd): readonly Tool[] {
  const options = [
    ...["-F", "/dev/null", "-i", sshd.privateKeyPath],
    ...["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"],
    ...["-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"],
    ...["-o", "UserKnownHostsFile=/dev/null"],
    ...["-o", "ControlMaster=auto", "-o", "ControlPersist=20"],
    ...["-o", `ControlPath=${sshd.dir}/cm`],
  ];
  const port = String(sshd.port);
  const there = `${sshd.user}@127.0.0.1`;
  const timed = async (command: string, args: readonly string[]) =>
    (await run("timeout", [TIMEOUT_S, command, ...args])).success;
  return [
    {
      name: "`sftp`",
      async copy({ direction, from, to, isTree }) {
        const batch = await Deno.makeTempFile();
        const verb = direction === "up" ? "put" : "get";
        const how = isTree ? "-r " : "";
        await Deno.writeTextFile(batch, `${verb} ${how}"${from}" "${to}"\n`);
        try {
          return await timed("sftp", [
            ...options,
            ...["-q", "-P", port, "-b", batch, there],
          ]);
        } finally {
          await Deno.remove(batch);
        }
      },
    },
    {
      name: "`scp`",
      copy: ({ direction, from, to, isTree }) =>
        timed("scp", [
          ...options,
          ...["-q", "-P", port, ...isTree ? ["-r"] : []],
          ...direction === "up"
            ? [from, `${there}:${to}`]
            : [`${there}:${from}`, to],
        ]),
    },
    {
      name: "`rsync -a`",
      copy: ({ direction, from, to, rsync }) =>
        timed("rsync", [
          ...rsync,
          ...["-a", "-e", ["ssh", "-p", port, ...options].join(" ")],
          ...direction === "up"
            ? [from, `${there}:${to}`]
            : [`${there}:${from}`, to],
        ]),
    },
  ];
}

/** Ends the connection that they share. */
export async function endJudges(sshd: Sshd): Promise<void> {
  await run("ssh", [
    ...["-F", "/dev/null", "-o", `ControlPath=${sshd.dir}/cm`],
    ...["-O", "exit", "x"],
  ]);
}
