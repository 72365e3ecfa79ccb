/**
 * Which peers are installed here, in which version, and how each is run.
 *
 * Their packages are no dependencies: those of npm are installed into a folder
 * of this run, and what Python and Go need is used where it is there.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pack } from "../../.ci/pack.ts";

/** One way of one peer. */
export interface Peer {
  /** What its rows are called. */
  readonly name: string;
  /** How it is started; the task comes as the last argument. */
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Whether it is set by hand, rather than as its documentation shows. */
  readonly isTuned: boolean;
  /** The transport of ours. */
  readonly transport?: "ssh2" | "openssh";
}

/** What is there and what is not. */
export interface Found {
  readonly peers: readonly Peer[];
  /** Name and version of each. */
  readonly versions: readonly string[];
  /** What is missing, and why. */
  readonly missing: readonly string[];
}

/** What one of those that look for peers gives. */
type Look = Pick<Found, "peers" | "versions">;

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Versions that were the newest when the programs were written. */
const PACKAGES = ["ssh2@1.17.0", "node-ssh@13.2.1"];

/** Who else is looked for, and how. */
const LOOKS: Readonly<Record<string, (folder: string) => Promise<Look>>> = {
  "sshpool, ssh2 and node-ssh in Node": node,
  asyncssh: python,
  "x/crypto/ssh in Go": go,
  ssh: openssh,
};

/**
 * Looks for all of them.
 *
 * @param folder An empty folder, for packages and programs.
 * @param looks Whom to look for, beside sshpool in Deno.
 */
export async function findPeers(
  folder: string,
  looks: typeof LOOKS = LOOKS,
): Promise<Found> {
  const all: Look[] = [deno()];
  const missing: string[] = [];
  for (const [name, look] of Object.entries(looks)) {
    try {
      all.push(await look(folder));
    } catch (error) {
      missing.push(`${name}: ${String(error).split("\n")[0]}`);
    }
  }
  return {
    peers: all.flatMap(({ peers }) => peers),
    versions: all.flatMap(({ versions }) => versions),
    missing,
  };
}

function bothWays(
  name: string,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Peer[] {
  return [
    { name: `${name}, as documented`, command, env, isTuned: false },
    { name: `${name}, set by hand`, command, env, isTuned: true },
  ];
}

function deno(): Look {
  const command = [
    Deno.execPath(),
    "run",
    "--allow-all",
    "--quiet",
    "--no-check",
    `--config=${here("../../deno.json")}`,
    here("sshpool.mjs"),
  ];
  const isTuned = false;
  return {
    peers: [
      { name: "sshpool in Deno", command, isTuned, transport: "ssh2" },
      {
        name: "sshpool over ssh, Deno",
        command,
        isTuned,
        transport: "openssh",
      },
    ],
    versions: [`Deno ${Deno.version.deno}`],
  };
}

async function node(folder: string): Promise<Look> {
  const tarball = join(folder, "sshpool.tgz");
  await pack({ output: tarball, allowDirty: true });
  await Deno.writeTextFile(join(folder, "package.json"), `{"private": true}`);
  await outputOf("npm", [
    "install",
    "--prefix",
    folder,
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    tarball,
    ...PACKAGES,
  ]);
  for (const name of ["kit", "sshpool", "ssh2", "node_ssh"]) {
    await Deno.copyFile(here(`${name}.mjs`), join(folder, `${name}.mjs`));
  }
  const run = (name: string) => ["node", join(folder, `${name}.mjs`)];
  return {
    peers: [
      {
        name: "sshpool in Node",
        command: run("sshpool"),
        isTuned: false,
        transport: "ssh2",
      },
      ...bothWays("ssh2", run("ssh2")),
      ...bothWays("node-ssh", run("node_ssh")),
    ],
    versions: [
      `Node ${(await outputOf("node", ["--version"])).slice(1)}`,
      ...PACKAGES.map((name) => name.replace("@", " ")),
    ],
  };
}

async function python(): Promise<Look> {
  const script = "import asyncssh; print(asyncssh.__version__)";
  // What comes first on the path may be another than that of the system.
  for (const program of ["python3", "/usr/bin/python3"]) {
    try {
      const version = await outputOf(program, ["-W", "ignore", "-c", script]);
      const command = [program, "-W", "ignore", here("asyncssh_peer.py")];
      const { 1: own } = (await outputOf(program, ["--version"])).split(" ");
      return {
        peers: bothWays("asyncssh", command),
        versions: [`asyncssh ${version} in Python ${own}`],
      };
    } catch {
      // The next one.
    }
  }
  throw new Error("install python3-asyncssh");
}

/** Where Debian's packages have the sources of others. */
const DEBIAN_GOPATH = "/usr/share/gocode";

async function go(folder: string): Promise<Look> {
  const given = Deno.env.get("GOPATH") ?? "";
  const path = [...given.split(delimiter), DEBIAN_GOPATH].find((it) =>
    it !== "" && existsSync(join(it, "src/golang.org/x/crypto/ssh")) &&
    existsSync(join(it, "src/github.com/pkg/sftp"))
  );
  if (path === undefined) {
    throw new Error(
      "install golang-golang-x-crypto-dev and -github-pkg-sftp-dev",
    );
  }
  const program = join(folder, "go-peer");
  const env = { GO111MODULE: "off", GOPATH: path, GOFLAGS: "" };
  await outputOf("go", ["build", "-o", program, here("go/main.go")], env);
  const [, , version = ""] = (await outputOf("go", ["version"])).split(" ");
  const packages = await outputOf("dpkg-query", [
    "--show",
    "golang-golang-x-crypto-dev",
  ]).catch(() => "");
  const [, own = ""] = packages.split(/\s+/);
  return {
    peers: bothWays("x/crypto/ssh in Go", [program]),
    versions: [`x/crypto ${own} in ${version.replace("go", "Go ")}`],
  };
}

async function openssh(): Promise<Look> {
  const { stderr } = await new Deno.Command("ssh", { args: ["-V"] }).output();
  const command = [
    Deno.execPath(),
    "run",
    "--allow-all",
    "--quiet",
    "--no-check",
    here("openssh.mjs"),
  ];
  return {
    peers: [
      { name: "ssh, a process each", command, isTuned: false },
      { name: "ssh, ControlMaster", command, isTuned: true },
    ],
    versions: [new TextDecoder().decode(stderr).split(",")[0]!],
  };
}

/** What a program writes, or why it fails. */
async function outputOf(
  program: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    env,
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((it) =>
    new TextDecoder().decode(it).trim()
  );
  if (success) return out!;
  throw new Error(`${program} ${args[0]}: ${err || out}`);
}
