/**
 * Servers of others, each on a free port of loopback, with a key that is let
 * in: what a Debian package brings, started by hand.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Dropbear, dropbearHint, noDropbear } from "../kit/dropbear.ts";
import { noSshd, sshdHint, startSshd } from "../kit/sshd.ts";
import { freePort, greets } from "../kit/ports.ts";

/** A server that runs; dispose of it to end it. */
export interface Running extends AsyncDisposable {
  readonly port: number;
  readonly user: string;
  /** The path of the private key that is let in. */
  readonly identityFile: string;
}

/** A kind of server. */
export interface Kind {
  /** What it is called in the table. */
  readonly name: string;
  /** What to tell whoever sees its test ignored; `undefined` if it is there. */
  readonly missing: string | undefined;
  start(): Promise<Running>;
}

/** Debian's own, whatever else is called `python3` on the way. */
const PYTHON = "/usr/bin/python3";
const PYTHON_PACKAGES = "/usr/lib/python3/dist-packages";
const TINY = "/usr/sbin/tinysshd";
const PROFTPD = ["/usr/sbin/proftpd", "/usr/lib/proftpd/mod_sftp.so"];
const GO = ["/usr/bin/go", "/usr/share/gocode/src/golang.org/x/crypto/ssh"]
  .concat("/usr/share/gocode/src/github.com/pkg/sftp");
const ERLANG = ["/usr/bin/escript"];
const SFTP_SERVER = "/usr/lib/openssh/sftp-server";

const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;

/** All of them, the one to compare with first. */
export const KINDS: readonly Kind[] = [
  {
    name: "OpenSSH",
    missing: noSshd ? sshdHint : undefined,
    start: startOpenSsh,
  },
  {
    name: "dropbear",
    missing: noDropbear ? dropbearHint : undefined,
    start: startDropbear,
  },
  {
    name: "TinySSH",
    missing: isRoot && existsSync(TINY) ? undefined : hint("tinysshd"),
    start: startTiny,
  },
  {
    name: "asyncssh",
    missing: needs(
      [PYTHON, join(PYTHON_PACKAGES, "asyncssh")],
      "python3-asyncssh",
    ),
    start: () =>
      start((site) => [
        PYTHON,
        ...["-W", "ignore", script("asyncssh_server.py")],
        ...[site.hostKey, site.publicKey, String(site.port)],
      ]),
  },
  {
    name: "paramiko",
    missing: needs(
      [PYTHON, join(PYTHON_PACKAGES, "paramiko")],
      "python3-paramiko",
    ),
    start: () =>
      start((site) => [
        PYTHON,
        ...["-W", "ignore", script("paramiko_server.py")],
        ...[site.hostKey, String(site.port)],
      ]),
  },
  {
    name: "Erlang/OTP",
    missing: isErlangHere() ? undefined : hint("erlang-base and erlang-ssh"),
    start: startErlang,
  },
  {
    name: "Go's x/crypto and pkg/sftp",
    missing: needs(
      GO,
      "golang-go, golang-golang-x-crypto-dev and golang-github-pkg-sftp-dev",
    ),
    start: startGo,
  },
  {
    name: "ProFTPD's mod_sftp",
    missing: isRoot
      ? needs(PROFTPD, "proftpd-core and proftpd-mod-crypto")
      : hint("proftpd-core and proftpd-mod-crypto"),
    start: startProftpd,
  },
];

function hint(packages: string): string {
  return `install ${packages} of Debian, and be root, to run this`;
}

function needs(
  paths: readonly string[],
  packages: string,
): string | undefined {
  return paths.every((path) => existsSync(path)) ? undefined : hint(packages);
}

function isErlangHere(): boolean {
  const folder = "/usr/lib/erlang/lib";
  return ERLANG.every((path) => existsSync(path)) && existsSync(folder) &&
    [...Deno.readDirSync(folder)].some(({ name }) => name.startsWith("ssh-"));
}

function script(name: string): string {
  return new URL(`servers/${name}`, import.meta.url).pathname;
}

/** A folder with keys, and a port that is free. */
interface Site {
  readonly folder: string;
  readonly port: number;
  readonly hostKey: string;
  readonly identityFile: string;
  readonly publicKey: string;
}

async function makeSite(): Promise<Site> {
  const folder = await Deno.makeTempDir({ prefix: "sshpool-interop-" });
  await Deno.chmod(folder, 0o755);
  const hostKey = join(folder, "ssh_host_rsa_key");
  const identityFile = join(folder, "user_key");
  // What all of them read.
  await output("ssh-keygen", [
    ...["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", hostKey],
  ]);
  await output("ssh-keygen", [
    ...["-q", "-t", "ed25519", "-N", "", "-f", identityFile],
  ]);
  const port = freePort();
  const publicKey = `${identityFile}.pub`;
  return { folder, port, hostKey, identityFile, publicKey };
}

/** Starts a program that listens on the port of its site. */
async function start(
  command: (site: Site) => readonly string[] | Promise<readonly string[]>,
  user = "ops",
  env: Record<string, string> = {},
): Promise<Running> {
  const site = await makeSite();
  const { port, identityFile } = site;
  const [program = "", ...args] = await command(site);
  const child = new Deno.Command(program, {
    args,
    env,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const running = {
    port,
    user,
    identityFile,
    async [Symbol.asyncDispose]() {
      // Erlang and proftpd take their time for a farewell.
      child.kill("SIGKILL");
      await child.status;
      await Deno.remove(site.folder, { recursive: true });
    },
  };
  for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
    if (await greets(port)) return running;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await running[Symbol.asyncDispose]();
  throw new Error(`Cannot start ${program}: no answer within 60 s`);
}

async function startOpenSsh(): Promise<Running> {
  const sshd = await startSshd();
  const { port, user, privateKeyPath: identityFile } = sshd;
  return {
    port,
    user,
    identityFile,
    [Symbol.asyncDispose]: () => sshd[Symbol.asyncDispose](),
  };
}

async function startDropbear(): Promise<Running> {
  const server = await Dropbear.start();
  const { port, identityFile } = server;
  return {
    port,
    user: server.host().user!,
    identityFile,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** It serves one connection, on its standard streams. */
async function startTiny(): Promise<Running> {
  const site = await makeSite();
  const user = await Dropbear.letIn(site.publicKey);
  const keys = join(site.folder, "keys");
  await output("tinysshd-makekey", [keys]);
  const children = new Set<Deno.ChildProcess>();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served: Promise<unknown>[] = [];
  const serve = async (socket: Deno.TcpConn) => {
    socket.setNoDelay(true);
    const child = new Deno.Command(TINY, {
      args: ["-x", `sftp=${SFTP_SERVER}`, keys],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    children.add(child);
    await Promise.allSettled([
      socket.readable.pipeTo(child.stdin),
      child.stdout.pipeTo(socket.writable),
      child.status,
    ]);
    children.delete(child);
  };
  const accepting = (async () => {
    for await (const socket of listener) served.push(serve(socket));
  })();
  return {
    port: listener.addr.port,
    user,
    identityFile: site.identityFile,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(served);
      await Deno.remove(site.folder, { recursive: true });
    },
  };
}

function startErlang(): Promise<Running> {
  return start(
    async ({ folder, publicKey, port }) => {
      await Deno.copyFile(publicKey, join(folder, "authorized_keys"));
      return [
        "/usr/bin/escript",
        script("erlang_server.escript"),
        ...[folder, folder, String(port)],
      ];
    },
    "ops",
    { HOME: "/tmp" },
  );
}

function startGo(): Promise<Running> {
  return start(async ({ folder, hostKey, port }) => {
    const program = join(folder, "server");
    await output("/usr/bin/go", [
      ...["build", "-o", program, script("go_server.go")],
    ], {
      GO111MODULE: "off",
      GOPATH: "/usr/share/gocode",
      GOCACHE: join(folder, "cache"),
      GOFLAGS: "",
      HOME: folder,
    });
    return [program, hostKey, String(port)];
  });
}

function startProftpd(): Promise<Running> {
  return start(async ({ folder, publicKey, hostKey, port }) => {
    const file = (name: string) => join(folder, name);
    const shown = await output("ssh-keygen", ["-e", "-f", publicKey]);
    await Deno.writeTextFile(file("keys"), shown);
    const { uid, gid } = await Deno.stat(folder);
    await Deno.writeTextFile(
      file("passwd"),
      `ops:*:${uid}:${gid}::${folder}:/bin/sh\n`,
      { mode: 0o600 },
    );
    const config = `
      ServerType standalone
      DefaultAddress 127.0.0.1
      Port ${port}
      PidFile ${file("pid")}
      ScoreboardFile ${file("scoreboard")}
      DelayEngine off
      User root
      Group root
      RootLogin on
      ModulePath /usr/lib/proftpd
      LoadModule mod_sftp.c
      AuthOrder mod_auth_file.c
      AuthUserFile ${file("passwd")}
      RequireValidShell off
      UseReverseDNS off
      WtmpLog off
      TransferLog none
      SystemLog none
      AllowOverwrite on
      SFTPEngine on
      SFTPHostKey ${hostKey}
      SFTPAuthorizedUserKeys file:${file("keys")}
      SFTPAuthMethods publickey
    `;
    await Deno.writeTextFile(file("conf"), config);
    return [PROFTPD[0]!, "-n", "-q", "-c", file("conf")];
  });
}

async function output(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    env,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${command}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}
